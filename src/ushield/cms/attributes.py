"""The signed attributes: what the token writes around a message's digest, and signs."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from ushield.algorithms import HashAlgorithm
from ushield.cms import der, oids
from ushield.cms.blind import BlindStatement
from ushield.cms.receipt import Receipt

__all__ = ["RECEIPT_AT", "RECEIPT_TYPE_LENGTH", "attributes_with_receipt", "signed_attributes"]


def signed_attributes(
    message: bytes,
    certificate: bytes,
    display: Receipt | BlindStatement,
    hash_algorithm: HashAlgorithm,
) -> bytes:
    """The attributes for a signature over ``message`` by the key of ``certificate`` (DER).

    They are the SET OF in DER, the bytes that are hashed and signed (RFC 5652, 5.4); in the
    SignerInfo the same bytes stand with the tag [0] instead of SET OF.

    Content-type *data* and message-digest by ``hash_algorithm`` (RFC 5652, 11.1 and 11.2),
    signing-certificate-v2 with the SHA-256 of the certificate (RFC 5035, 3; the default hash
    is left out, and so is issuerSerial: the hash covers the whole certificate), and what is said of
    the ``display``: the token's receipt, or the host's word that there was none.
    """
    digest = hashlib.new(hash_algorithm, message).digest()
    said = _RECEIPT if isinstance(display, Receipt) else _BLIND_STATEMENT
    return der.set_of(
        _CONTENT_TYPE,
        _MESSAGE_DIGEST[len(digest)] + digest,
        _SIGNING_CERTIFICATE_V2 + hashlib.sha256(certificate).digest(),
        der.sequence(said, der.set_of(display.encode())),
    )


def attributes_with_receipt(digest: bytes, certificate_hash: bytes, receipt: bytes) -> bytes:
    """The same from the message's digest, the certificate's SHA-256, and the encoded receipt."""
    values = der.header(_SET, len(receipt))
    attribute_length = len(_RECEIPT) + len(values) + len(receipt)
    attribute = der.header(_SEQUENCE, attribute_length)
    size = len(digest)
    before = _MESSAGE_DIGEST[size], digest, _SIGNING_CERTIFICATE_V2, certificate_hash
    if size > _SHORTEST:
        before = _SIGNING_CERTIFICATE_V2, certificate_hash, _MESSAGE_DIGEST[size], digest
    length = _BEFORE_RECEIPT[size] + len(attribute) + attribute_length
    return b"".join(
        (
            der.header(_SET, length),
            _CONTENT_TYPE,
            *before,
            attribute,
            _RECEIPT,
            values,
            receipt,
        )
    )


_SEQUENCE, _SET = 0x30, 0x31
_CONTENT_TYPE = der.sequence(
    der.object_identifier(oids.CONTENT_TYPE), der.set_of(der.object_identifier(oids.DATA))
)
# Of these, all but the bytes at the end is the same in each signature.
_MESSAGE_DIGEST = {
    size: der.sequence(
        der.object_identifier(oids.MESSAGE_DIGEST), der.set_of(der.octet_string(bytes(size)))
    )[:-size]
    for size in (algorithm.digest_size for algorithm in HashAlgorithm)
}
_SIGNING_CERTIFICATE_V2 = der.sequence(
    der.object_identifier(oids.SIGNING_CERTIFICATE_V2),
    der.set_of(der.sequence(der.sequence(der.sequence(der.octet_string(bytes(32)))))),
)[:-32]
_RECEIPT = der.object_identifier(oids.RECEIPT)
_BLIND_STATEMENT = der.object_identifier(oids.BLIND_STATEMENT)

RECEIPT_TYPE_LENGTH = len(_RECEIPT)
# The order that DER wants is that of the lengths here. The attribute of the certificate is longer
# than that of the shortest digest, and shorter than the others; the receipt's is the longest.
_SHORTEST = min(_MESSAGE_DIGEST)
_BEFORE_RECEIPT = {
    size: len(_CONTENT_TYPE) + len(before) + size + len(_SIGNING_CERTIFICATE_V2) + 32
    for size, before in _MESSAGE_DIGEST.items()
}
RECEIPT_AT: Mapping[HashAlgorithm, int] = {
    algorithm: _BEFORE_RECEIPT[algorithm.digest_size] for algorithm in HashAlgorithm
}
"""How many bytes of attributes stand before the receipt's."""
