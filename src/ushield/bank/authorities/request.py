"""Requests for certificates (PKCS #10, RFC 2986), which nobody has looked at yet."""

from __future__ import annotations

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from ushield.errors import InputInvalid

__all__ = ["MAX_REQUEST", "read_request"]

MAX_REQUEST = 1 << 14
"""Longest request that is looked at, in bytes."""

_UNREADABLE = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)


def read_request(request: bytes) -> x509.CertificateSigningRequest:
    """Read a request (DER); `InputInvalid` unless its own key signed it."""
    if len(request) > MAX_REQUEST:
        raise InputInvalid(f"a request of {len(request)} bytes, at most {MAX_REQUEST}")
    try:
        found = x509.load_der_x509_csr(request)
        signed = found.is_signature_valid
        _ = found.public_key(), found.subject
    except _UNREADABLE as error:
        raise InputInvalid("not a certificate request (PKCS #10) that can be read") from error
    if not signed:
        raise InputInvalid("the request is not signed by its own key")
    return found
