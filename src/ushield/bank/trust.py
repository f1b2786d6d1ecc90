"""Whether a certificate leads to a CA the bank trusts, for signing transactions, at a time.

A path is checked by RFC 5280, 6.1, in its strict parts: names, signatures, validity, basic
constraints, key usage, path length. Policies and name constraints are not processed; a
certificate that needs them is refused. Revocation is `ushield.bank.revocation`'s part.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID

from ushield.bank.rejection import RejectionReason, TransactionRejected
from ushield.errors import CertificateInvalid, InputInvalid

__all__ = ["TrustStore"]

_MAX_DEPTH = 6
_MAX_PATHS = 64
# As many signatures of certificates are verified in a search: no path worth having needs more.
_MAX_STEPS = 128
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
_UNREADABLE = (
    ValueError,
    TypeError,
    KeyError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)


@dataclass(frozen=True, slots=True)
class TrustStore:
    """The CA certificates a caller trusts.

    The self-signed ones (by a hash that is not weak) are ``anchors``, where a path ends. The
    others are ``intermediates``: they may stand in a path, and end none. A certificate that came
    with a signature is never an issuer.
    """

    anchors: tuple[x509.Certificate, ...]
    intermediates: tuple[x509.Certificate, ...] = ()

    @classmethod
    def load(cls, data: bytes) -> TrustStore:
        """Read a bundle of PEM certificates, or one in DER.

        One whose names or key cannot be read leads nowhere and is left out. `CertificateInvalid`
        if the bundle cannot be read or has no self-signed certificate in it.
        """
        try:
            if b"-----BEGIN" in data:
                certificates = x509.load_pem_x509_certificates(data)
            else:
                certificates = [x509.load_der_x509_certificate(data)]
        except (ValueError, x509.InvalidVersion) as error:
            raise CertificateInvalid(
                "the CA file holds no readable certificate",
                remedy="Give certificates in PEM, one after the other, or one in DER.",
            ) from error
        certificates = [each for each in certificates if _can_lead(each)]
        anchors = tuple(each for each in certificates if _issued(each, each))
        if not anchors:
            raise CertificateInvalid(
                "the CA file has no self-signed certificate, where a path could end",
                remedy="Add the root CA's certificate to the file.",
            )
        return cls(anchors, tuple(each for each in certificates if each not in anchors))

    def shares_issuer(self, other: TrustStore) -> bool:
        """Whether a key of both could issue certificates, by whatever certificates of its own."""
        return not self._issuers().isdisjoint(other._issuers())

    def _issuers(self) -> set[bytes]:
        keys = set()
        for each in (*self.anchors, *self.intermediates):
            # One whose key cannot be read issues nothing.
            with suppress(*_UNREADABLE):
                keys.add(
                    each.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
                )
        return keys

    def check(self, certificate: x509.Certificate, at: datetime) -> tuple[x509.Certificate, ...]:
        """The path from ``certificate`` to an anchor, both included, if it may sign at ``at``.

        ``at`` is an aware datetime, `InputInvalid` for another. `TransactionRejected` says why
        there is no such path; with several issuers of one name, why the last one did not do.
        """
        if not isinstance(at, datetime) or at.utcoffset() is None:
            raise InputInvalid("the time at which a signature must hold has no time zone")
        _check_signer(certificate, at)
        problem: TransactionRejected | None = None
        steps = iter(range(_MAX_STEPS))
        for path in islice(self._paths((certificate,), steps), _MAX_PATHS):
            try:
                _check_issuers(path, at)
            except TransactionRejected as error:
                problem = error
            else:
                return path
        if next(steps, None) is None:
            raise _broken(certificate, "leads into too many CAs")
        raise problem or TransactionRejected(
            f"no trusted CA issued the certificate of {_name(certificate)}",
            reason=RejectionReason.ISSUER_UNKNOWN,
        )

    def _paths(
        self, path: tuple[x509.Certificate, ...], steps: Iterator[int]
    ) -> Iterator[tuple[x509.Certificate, ...]]:
        name = path[-1].issuer
        for anchor in self.anchors:
            if anchor.subject == name and _takes(steps) and _issued(path[-1], anchor):
                yield (*path, anchor)
        if len(path) == _MAX_DEPTH:
            return
        for issuer in self.intermediates:
            if (
                issuer.subject == name
                and not any(_same_key(issuer, each) for each in path)
                and _takes(steps)
                and _issued(path[-1], issuer)
            ):
                yield from self._paths((*path, issuer), steps)


def _can_lead(certificate: x509.Certificate) -> bool:
    try:
        _ = certificate.subject, certificate.issuer, certificate.public_key()
    except _UNREADABLE:
        return False
    return True


def _takes(steps: Iterator[int]) -> bool:
    return next(steps, None) is not None


def _same_key(one: x509.Certificate, other: x509.Certificate) -> bool:
    # A path never needs one key twice (RFC 4158, 2.4.2). CAs that have certified each other, and
    # renewed that, would otherwise have paths to be searched without number.
    return one.public_key() == other.public_key()


def _issued(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _check_signer(certificate: x509.Certificate, at: datetime) -> None:
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


def _check_issuers(path: tuple[x509.Certificate, ...], at: datetime) -> None:
    for below, issuer in enumerate(path[1:]):
        _check_form(issuer)
        constraints = _extension(issuer, x509.BasicConstraints)
        if constraints is None or not constraints.ca:
            raise _broken(issuer, "is no CA")
        if constraints.path_length is not None and below > constraints.path_length:
            raise _broken(issuer, "may not stand so far above a signer")
        usage = _extension(issuer, x509.KeyUsage)
        if usage is None or not usage.key_cert_sign:
            raise _broken(issuer, "may not sign certificates")
        if _extension(issuer, x509.NameConstraints) is not None:
            raise _broken(issuer, "constrains names, which is not supported")
        _check_key(issuer, RejectionReason.PATH_INVALID)
        if issuer is not path[-1]:
            _check_signature_hash(issuer)
        if not issuer.not_valid_before_utc <= at <= issuer.not_valid_after_utc:
            raise _broken(issuer, "is not valid at that time")


def _check_form(certificate: x509.Certificate) -> None:
    try:
        extensions = certificate.extensions
        certificate.public_key()
        certificate.subject.rfc4514_string()
        certificate.issuer.rfc4514_string()
        names = [attribute.value for attribute in certificate.subject]
        _ = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    except _UNREADABLE as error:
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
            raise _broken(
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
    except _UNREADABLE:
        algorithm = None
    if algorithm is None or algorithm.name not in _HASHES:
        raise _broken(certificate, "was signed with a weak or unknown hash")


def _extension(
    certificate: x509.Certificate, kind: type[_ExtensionValue]
) -> _ExtensionValue | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _name(certificate: x509.Certificate) -> str:
    try:
        return certificate.subject.rfc4514_string()
    except _UNREADABLE:
        return f"serial number {certificate.serial_number:x}"


def _broken(certificate: x509.Certificate, problem: str) -> TransactionRejected:
    return _rejected(certificate, problem, RejectionReason.PATH_INVALID)


def _rejected(
    certificate: x509.Certificate, problem: str, reason: RejectionReason
) -> TransactionRejected:
    return TransactionRejected(f"the certificate of {_name(certificate)} {problem}", reason=reason)
