"""Requests for certificates (PKCS #10, RFC 2986), which nobody has looked at yet."""

from __future__ import annotations

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from ushield.errors import InputInvalid

__all__ = [
    "MAX_REQUEST",
    "CertificateRequestInvalid",
    "check_possession",
    "parse_request",
    "read_request",
]

MAX_REQUEST = 1 << 14
"""Longest request that is looked at, in bytes."""

_UNREADABLE = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)


class CertificateRequestInvalid(InputInvalid):
    """The certification request (RFC 2986) cannot be read, or its own key did not sign it."""

    code = "certificate-request-invalid"
    default_remedy = "Make the request anew, on the token: `ushield cert request`."


def read_request(request: bytes) -> x509.CertificateSigningRequest:
    """Read a request (DER); `CertificateRequestInvalid` unless its own key signed it."""
    found = parse_request(request)
    check_possession(found)
    return found


def parse_request(request: bytes) -> x509.CertificateSigningRequest:
    """Read a request (DER) that anybody may have signed; `CertificateRequestInvalid`."""
    if len(request) > MAX_REQUEST:
        raise CertificateRequestInvalid(f"a request of {len(request)} bytes, at most {MAX_REQUEST}")
    try:
        found = x509.load_der_x509_csr(request)
        _ = found.public_key(), found.subject, found.signature_hash_algorithm
    except _UNREADABLE as error:
        raise CertificateRequestInvalid(
            "not a certificate request (PKCS #10) that can be read"
        ) from error
    return found


def check_possession(request: x509.CertificateSigningRequest) -> None:
    """`CertificateRequestInvalid` unless the request is signed by its own key (RFC 2986, 3)."""
    try:
        holds = request.is_signature_valid
    except _UNREADABLE as error:
        raise CertificateRequestInvalid("the request's signature cannot be read") from error
    if not holds:
        raise CertificateRequestInvalid("the request is not signed by its own key")
