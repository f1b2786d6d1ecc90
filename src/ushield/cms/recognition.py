"""Recognising a signature in its one encoding, quickly.

`ushield.cms.assemble` writes one encoding for the parts of a signature. So the parts are cut out
from where they stand in it, put together again, and every byte is compared. A wrong cut makes
other bytes, so nothing rests on the cutting: what is recognised is in that one encoding. What is
not recognised, or says that no screen showed it, is left to `ushield.cms.parsing`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from ushield.algorithms import HashAlgorithm
from ushield.cms import der
from ushield.cms.attributes import RECEIPT_AT, RECEIPT_TYPE_LENGTH, attributes_with_receipt
from ushield.cms.blind import BlindStatement
from ushield.cms.receipt import Receipt, ReceiptInvalid
from ushield.cms.signed_data import DIGEST_ALGORITHM, SIGNATURE_ALGORITHM, assemble_for

if TYPE_CHECKING:
    from cryptography import x509

__all__ = [
    "ParsedSignature",
    "ReadCertificate",
    "SignerIdentity",
    "read_certificate",
    "read_identity",
    "recognise",
]


class SignerIdentity(NamedTuple):
    """What a signature says of its certificate: the IssuerAndSerialNumber (DER), the SHA-256."""

    issuer_and_serial: bytes
    sha256: bytes


class ParsedSignature(NamedTuple):
    """What a SignedData holds. Its signature is not verified yet, nor its certificate trusted.

    ``certificate`` (DER) is the signer's; ``signed_attributes`` (DER, SET OF) is what
    ``signature`` is over: PKCS #1 v1.5 if ``is_rsa``, else ECDSA, with ``hash_algorithm``.
    ``display`` is what is said of the screen: the token's receipt, or that there was none.
    """

    message: bytes
    certificate: bytes
    display: Receipt | BlindStatement
    signed_attributes: bytes
    signature: bytes
    is_rsa: bool
    hash_algorithm: HashAlgorithm


# ContentInfo, its content type, [0], SignedData, version and digest algorithms stand before the
# content: no signature is shorter than 256 bytes, nor longer than 65,535.
_CONTENT_AT = 4 + 11 + 4 + 4 + 3 + 15
_CONTENT_TYPE_LENGTH = 11
# SignerInfos, the signer's, and its version stand before its name: both are longer than 256 bytes.
_SIGNER_AT = 4 + 4 + 3
_VERSION_TAG = 0xA0
_DIGEST_ALGORITHM_LENGTH = 13
_HASH_OF = {
    encoded: (algorithm, getattr(hashlib, algorithm))
    for algorithm, encoded in DIGEST_ALGORITHM.items()
}
_IS_RSA = {encoded: is_rsa for (is_rsa, _), encoded in SIGNATURE_ALGORITHM.items()}


def recognise(data: bytes, identify: Callable[[bytes], SignerIdentity]) -> ParsedSignature | None:
    """The parts of ``data`` if it is what `assemble` writes for them, otherwise nothing.

    ``identify`` is asked for what `read_identity` says of the certificate, so that a caller may
    know it already; `ValueError` from it means that it is none.
    """
    try:
        start, _ = der.value_at(data, _CONTENT_AT)
        start, _ = der.value_at(data, start + _CONTENT_TYPE_LENGTH)
        start, end = der.value_at(data, start)
        message = data[start:end]
        start, end = der.value_at(data, end)
        certificate = data[start:end]
        identity = identify(certificate)
        start = end + _SIGNER_AT + len(identity.issuer_and_serial)
        end = start + _DIGEST_ALGORITHM_LENGTH
        hash_algorithm, hashed = _HASH_OF[data[start:end]]
        start, end = der.value_at(data, end)
        start, _ = der.value_at(data, start + RECEIPT_AT[hash_algorithm])
        start, _ = der.value_at(data, start + RECEIPT_TYPE_LENGTH)
        encoded = data[start:end]
        receipt = Receipt.decode(encoded)
        start = end + 2 + data[end + 1]
        is_rsa = _IS_RSA[data[end:start]]
        start, end = der.value_at(data, start)
        signature = data[start:end]
    except (ValueError, LookupError, ReceiptInvalid):
        return None
    # Decoding has compared the receipt with its one encoding.
    attributes = attributes_with_receipt(hashed(message).digest(), identity.sha256, encoded)
    again = assemble_for(
        identity.issuer_and_serial,
        message=message,
        certificate=certificate,
        signed_attributes=attributes,
        signature=signature,
        is_rsa=is_rsa,
        hash_algorithm=hash_algorithm,
    )
    if again != data:
        return None
    return ParsedSignature(
        message, certificate, receipt, attributes, signature, is_rsa, hash_algorithm
    )


ReadCertificate: TypeAlias = "tuple[SignerIdentity, x509.Certificate]"
"""What a signature says of a certificate, and the certificate as cryptography has read it."""


def read_identity(certificate: bytes) -> SignerIdentity:
    """What a signature says of ``certificate`` (DER); `ValueError` if it cannot be read."""
    return read_certificate(certificate)[0]


def read_certificate(certificate: bytes) -> ReadCertificate:
    """The same, and the certificate as cryptography, which reads only DER, has read it."""
    from cryptography import x509

    try:
        start, _ = der.value_at(certificate, 0)
        start, _ = der.value_at(certificate, start)
        if certificate[start] == _VERSION_TAG:
            _, start = der.value_at(certificate, start)
        number, number_end = der.value_at(certificate, start)
        _, issuer = der.value_at(certificate, number_end)
        _, issuer_end = der.value_at(certificate, issuer)
        # RFC 5280, 4.1.2.2. cryptography would still read others, with a warning.
        if not 0 < int.from_bytes(certificate[number:number_end], "big", signed=True) < 1 << 160:
            raise ValueError("a serial number that is not positive, or above 20 bytes")
        loaded = x509.load_der_x509_certificate(certificate)
    except (LookupError, x509.InvalidVersion) as error:
        raise ValueError("not a certificate") from error
    named = der.sequence(certificate[issuer:issuer_end], certificate[start:number_end])
    return SignerIdentity(named, hashlib.sha256(certificate).digest()), loaded
