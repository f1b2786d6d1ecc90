"""Certificates as they come from a bank: one in DER, or one or more in PEM, in any order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ushield.errors import CertificateInvalid, InputInvalid

if TYPE_CHECKING:
    from cryptography import x509

__all__ = [
    "MAX_BUNDLE",
    "authority_problem",
    "is_issued_by",
    "leaf_public_key",
    "public_key_der",
    "public_key_der_of",
    "read_bundle",
    "read_certificate",
    "read_extensions",
]

MAX_BUNDLE = 1 << 20
"""Longest bundle, in bytes."""

_PEM = b"-----BEGIN "
# What cryptography raises for parts that it cannot represent: KeyError for a number without a name.
_UNREADABLE = (ValueError, TypeError, KeyError)


def read_certificate(der: bytes) -> x509.Certificate:
    """One certificate in DER; `CertificateInvalid` if it, a name or a time in it cannot be read."""
    from cryptography import x509

    try:
        return _with_names(x509.load_der_x509_certificate(der))
    except (*_UNREADABLE, x509.InvalidVersion) as error:
        raise CertificateInvalid(f"not a certificate in DER: {error}") from error


def _with_names(certificate: x509.Certificate) -> x509.Certificate:
    # They are read on demand, and would fail later, where nobody expects it; with a TypeError where
    # a value is a BIT STRING. So is the time, of which there may be a year 0.
    _ = certificate.subject, certificate.issuer
    _ = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return certificate


def read_bundle(data: bytes) -> tuple[x509.Certificate, ...]:
    """The certificates in ``data``, each once, in its order.

    `CertificateInvalid` if any of it is cut short or no certificate, or if there is none.
    """
    from cryptography import x509

    if len(data) > MAX_BUNDLE:
        raise CertificateInvalid(f"{len(data)} bytes are more than any chain of certificates has")
    if _PEM not in data:
        return (read_certificate(data),)
    if data.count(b"-----") != 4 * data.count(_PEM):
        raise CertificateInvalid("PEM cut short: BEGIN and END lines do not match")
    if data.count(_PEM) != data.count(_PEM + b"CERTIFICATE-----"):
        raise CertificateInvalid("PEM with something else than certificates")
    try:
        found = x509.load_pem_x509_certificates(data)
        return tuple(dict.fromkeys(map(_with_names, found)))
    except (*_UNREADABLE, x509.InvalidVersion) as error:
        raise CertificateInvalid(f"PEM: {error}") from error


def read_extensions(certificate: x509.Certificate) -> x509.Extensions:
    """The extensions of a certificate; `CertificateInvalid` if they cannot be read."""
    from cryptography import x509

    try:
        return certificate.extensions
    except (
        *_UNREADABLE,
        x509.DuplicateExtension,
        x509.UnsupportedGeneralNameType,
    ) as error:
        raise CertificateInvalid(f"extensions of {_name(certificate)}: {error}") from error


def public_key_der(certificate: x509.Certificate) -> bytes:
    """SubjectPublicKeyInfo in DER; `CertificateInvalid` for a key that cannot be read."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    try:
        key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm) as error:
        raise CertificateInvalid(f"public key of {_name(certificate)}: {error}") from error
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def leaf_public_key(data: bytes) -> bytes:
    """SubjectPublicKeyInfo (DER) of the one certificate in a bundle that is no authority's.

    `CertificateInvalid` as `read_bundle`, and if there is not just one.
    """
    leaves = [one for one in read_bundle(data) if authority_problem(one) is not None]
    if len(leaves) != 1:
        raise CertificateInvalid(f"{len(leaves)} certificates that are no authority's, not one")
    return public_key_der(leaves[0])


def public_key_der_of(pem: bytes) -> bytes:
    """SubjectPublicKeyInfo in DER, from PEM (RFC 7468, 13); `InputInvalid` for anything else."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        PublicFormat,
        load_pem_public_key,
    )

    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InputInvalid(f"not a public key in PEM: {error}") from error
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def is_issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Whether ``issuer`` is named in ``certificate`` and its key verifies the signature."""
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def authority_problem(certificate: x509.Certificate) -> str | None:
    """Why a certificate cannot be an authority's (RFC 5280, 4.2.1.3 and 4.2.1.9), if so."""
    from cryptography import x509

    try:
        extensions = read_extensions(certificate)
        constraints = extensions.get_extension_for_class(x509.BasicConstraints).value
    except x509.ExtensionNotFound:
        return "it has no basic constraints"
    except CertificateInvalid as error:
        return str(error)
    if not constraints.ca:
        return "its basic constraints say that it is no authority"
    try:
        usage = extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return "it has no key usage"
    return None if usage.key_cert_sign else "its key usage does not allow to sign certificates"


def _name(certificate: x509.Certificate) -> str:
    return certificate.subject.rfc4514_string() or "a certificate without a name"
