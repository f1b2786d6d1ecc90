"""Certificates and requests in files, PEM or DER."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ushield.cli.files import read_file

if TYPE_CHECKING:
    from cryptography import x509

__all__ = ["read_certificate", "read_certificates", "read_request"]

_LONGEST = 1 << 16
_PEM = b"-----BEGIN"


def read_certificates(path: str) -> list[x509.Certificate]:
    """All certificates of a file in PEM, or the one of a file in DER; `CertificateInvalid`."""
    from cryptography import x509

    from ushield.errors import CertificateInvalid

    data = read_file(path, at_most=_LONGEST)
    try:
        if _PEM in data:
            return x509.load_pem_x509_certificates(data)
        return [x509.load_der_x509_certificate(data)]
    except (ValueError, x509.InvalidVersion) as error:
        raise CertificateInvalid(f"{path}: no certificate that can be read") from error


def read_certificate(path: str) -> x509.Certificate:
    """The first certificate of a file; `CertificateInvalid`."""
    return read_certificates(path)[0]


def read_request(path: str) -> bytes:
    """The certification request (PKCS #10) of a file, in DER; `CertificateRequestInvalid`."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    from ushield.bank.authorities.request import CertificateRequestInvalid

    data = read_file(path, at_most=_LONGEST)
    if _PEM not in data:
        return data
    try:
        return x509.load_pem_x509_csr(data).public_bytes(Encoding.DER)
    except (ValueError, x509.InvalidVersion) as error:
        raise CertificateRequestInvalid(f"{path}: no certification request in PEM") from error
