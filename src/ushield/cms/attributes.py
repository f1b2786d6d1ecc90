"""The signed attributes: what the token writes around a message's digest, and signs."""

from __future__ import annotations

import hashlib

from ushield.algorithms import HashAlgorithm
from ushield.cms import der, oids
from ushield.cms.blind import BlindStatement
from ushield.cms.receipt import Receipt

__all__ = ["signed_attributes"]


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
    certificate_hash = der.octet_string(hashlib.sha256(certificate).digest())
    return der.set_of(
        _attribute(oids.CONTENT_TYPE, der.object_identifier(oids.DATA)),
        _attribute(oids.MESSAGE_DIGEST, der.octet_string(digest)),
        _attribute(
            oids.SIGNING_CERTIFICATE_V2,
            der.sequence(der.sequence(der.sequence(certificate_hash))),
        ),
        _attribute(_display_oid(display), display.encode()),
    )


def _display_oid(display: Receipt | BlindStatement) -> str:
    return oids.RECEIPT if isinstance(display, Receipt) else oids.BLIND_STATEMENT


def _attribute(oid: str, value: bytes) -> bytes:
    return der.sequence(der.object_identifier(oid), der.set_of(value))
