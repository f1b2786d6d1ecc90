"""What is looked at in each certificate of a path: form, key, use, time (RFC 5280, 6.1)."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID

from ushield.bank.rejection import RejectionReason, TransactionRejected

__all__ = ["UNREADABLE", "broken", "check_issuers", "check_signer", "name_of"]

_MIN_RSA_BITS = 2048
# Above these a single verification would keep a processor busy for long.
_MAX_RSA_BITS = 8192
_MAX_RSA_EXPONENT = 1 << 33
# FIPS 186-5, A.1.1
_MIN_RSA_EXPONENT = 1 << 16
_CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)
_HASHES = frozenset(("sha256", "sha384", "sha512"))
# RFC 9336 gives document signing an identifier that `ExtendedKeyUsageOID` does not name.
_DOCUMENT_SIGNING = x509.ObjectIdentifier("1.3.6.1.5.5.7.3.36")
_SIGNING_PURPOSES = frozenset(
    (
        ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
        ExtendedKeyUsageOID.CLIENT_AUTH,
        ExtendedKeyUsageOID.EMAIL_PROTECTION,
        _DOCUMENT_SIGNING,
    )
)
_PROCESSED = frozenset(
    (
        ExtensionOID.BASIC_CONSTRAINTS,
        ExtensionOID.KEY_USAGE,
        ExtensionOID.EXTENDED_KEY_USAGE,
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
    )
)
_ExtensionValue = TypeVar("_ExtensionValue", bound=x509.ExtensionType)
# What cryptography raises, as soon as they are looked at, for parts of a certificate that it
# cannot represent: a time in the year 0, an X.400 address, a TLS feature without a name.
UNREADABLE = (
    ValueError,
    TypeError,
    KeyError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)


def check_signer(certificate: x509.Certificate, at: datetime) -> None:
    """`TransactionRejected` unless the certificate is one for signing transactions at ``at``."""
    _check_form(certificate)
    constraints = _extension(certificate, x509.BasicConstraints)
    if constraints is not None and constraints.ca:
        raise _rejected(certificate, "is a CA", RejectionReason.CERTIFICATE_IS_CA)
    usage = _extension(certificate, x509.KeyUsage)
    if usage is None or not (usage.digital_signature or usage.content_commitment):
        raise _rejected(certificate, "is not for signing", RejectionReason.CERTIFICATE_USAGE)
    if usage.key_cert_sign:
        raise _rejected(certificate, "may sign certificates", RejectionReason.CERTIFICATE_USAGE)
    purposes = _extension(certificate, x509.ExtendedKeyUsage)
    if purposes is not None and _SIGNING_PURPOSES.isdisjoint(purposes):
        raise _rejected(certificate, "is for another purpose", RejectionReason.CERTIFICATE_USAGE)
    _check_key(certificate, RejectionReason.KEY_TOO_WEAK)
    _check_signature_hash(certificate)
    if at < certificate.not_valid_before_utc:
        raise _rejected(
            certificate,
            f"is valid only from {certificate.not_valid_before_utc:%Y-%m-%d %H:%M:%S} UTC",
            RejectionReason.CERTIFICATE_NOT_YET_VALID,
        )
    if at > certificate.not_valid_after_utc:
        raise _rejected(
            certificate,
            f"expired on {certificate.not_valid_after_utc:%Y-%m-%d %H:%M:%S} UTC",
            RejectionReason.CERTIFICATE_EXPIRED,
        )


def check_issuers(path: tuple[x509.Certificate, ...], at: datetime) -> None:
    """`TransactionRejected` unless all above the first may issue what is below them, at ``at``."""
    for below, issuer in enumerate(path[1:]):
        path_length = _path_length(issuer)
        if path_length is not None and below > path_length:
            raise broken(issuer, "may not stand so far above a signer")
        if issuer is not path[-1]:
            _check_signature_hash(issuer)
        if not issuer.not_valid_before_utc <= at <= issuer.not_valid_after_utc:
            raise broken(issuer, "is not valid at that time")


# A bank trusts few CAs, and meets them with every certificate that it has not seen before.
@lru_cache(maxsize=256)
def _path_length(issuer: x509.Certificate) -> int | None:
    """The pathLenConstraint of a CA that may issue certificates; `TransactionRejected` if it is
    none.
    """
    _check_form(issuer)
    constraints = _extension(issuer, x509.BasicConstraints)
    if constraints is None or not constraints.ca:
        raise broken(issuer, "is no CA")
    usage = _extension(issuer, x509.KeyUsage)
    if usage is None or not usage.key_cert_sign:
        raise broken(issuer, "may not sign certificates")
    if _extension(issuer, x509.NameConstraints) is not None:
        raise broken(issuer, "constrains names, which is not supported")
    _check_key(issuer, RejectionReason.PATH_INVALID)
    return constraints.path_length


def _check_form(certificate: x509.Certificate) -> None:
    try:
        extensions = certificate.extensions
        certificate.public_key()
        subject = certificate.subject
        subject.rfc4514_string()
        certificate.issuer.rfc4514_string()
        names = [attribute.value for attribute in subject]
        _ = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    except UNREADABLE as error:
        raise _rejected(
            certificate, "cannot be read", RejectionReason.CERTIFICATE_INVALID
        ) from error
    if not all(_is_seen(name) for name in names):
        raise _rejected(
            certificate,
            "has a name with characters that nobody sees",
            RejectionReason.CERTIFICATE_INVALID,
        )
    if certificate.version is not x509.Version.v3:
        raise _rejected(certificate, "is not of version 3", RejectionReason.CERTIFICATE_INVALID)
    for extension in extensions:
        if extension.critical and extension.oid not in _PROCESSED:
            raise broken(
                certificate, f"has the unknown critical extension {extension.oid.dotted_string}"
            )


def _is_seen(name: str | bytes) -> bool:
    # Of spaces only the ideographic one is as plain as the ordinary one.
    return isinstance(name, bytes) or name.replace("\u3000", "").isprintable()


def _check_key(certificate: x509.Certificate, reason: RejectionReason) -> None:
    key = certificate.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        numbers = key.public_numbers()
        exponent = numbers.e
        if not numbers.n % 2:
            raise _rejected(
                certificate, "has an even RSA modulus", RejectionReason.CERTIFICATE_INVALID
            )
        if key.key_size > _MAX_RSA_BITS or exponent > _MAX_RSA_EXPONENT:
            raise _rejected(
                certificate, "has an enormous RSA key", RejectionReason.CERTIFICATE_INVALID
            )
        if key.key_size < _MIN_RSA_BITS:
            raise _rejected(certificate, f"has an RSA key of {key.key_size} bits", reason)
        if exponent < _MIN_RSA_EXPONENT:
            raise _rejected(certificate, f"has an RSA key with the exponent {exponent}", reason)
    elif not (isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, _CURVES)):
        raise _rejected(certificate, "has a key of a kind that is not accepted", reason)


def _check_signature_hash(certificate: x509.Certificate) -> None:
    try:
        algorithm = certificate.signature_hash_algorithm
    except UNREADABLE:
        algorithm = None
    if algorithm is None or algorithm.name not in _HASHES:
        raise broken(certificate, "was signed with a weak or unknown hash")


def _extension(
    certificate: x509.Certificate, kind: type[_ExtensionValue]
) -> _ExtensionValue | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def name_of(certificate: x509.Certificate) -> str:
    """Its subject (RFC 4514); its serial number where that cannot be read."""
    try:
        return certificate.subject.rfc4514_string()
    except UNREADABLE:
        return f"serial number {certificate.serial_number:x}"


def broken(certificate: x509.Certificate, problem: str) -> TransactionRejected:
    """What to raise for a path that ``certificate`` spoils."""
    return _rejected(certificate, problem, RejectionReason.PATH_INVALID)


def _rejected(
    certificate: x509.Certificate, problem: str, reason: RejectionReason
) -> TransactionRejected:
    return TransactionRejected(
        f"the certificate of {name_of(certificate)} {problem}", reason=reason
    )
