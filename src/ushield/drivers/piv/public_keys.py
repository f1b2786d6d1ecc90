"""What a SubjectPublicKeyInfo says of its key, for cards that say nothing themselves."""

from __future__ import annotations

import hashlib

from ushield.algorithms import KeyAlgorithm
from ushield.errors import InputInvalid

__all__ = ["algorithm_of", "key_id_of", "public_key_in"]

_OF_RSA_BITS = {
    2048: KeyAlgorithm.RSA_2048,
    3072: KeyAlgorithm.RSA_3072,
    4096: KeyAlgorithm.RSA_4096,
}
_OF_CURVE = {"secp256r1": KeyAlgorithm.P256, "secp384r1": KeyAlgorithm.P384}


def algorithm_of(public_key: bytes) -> KeyAlgorithm:
    """The kind of key; `InputInvalid` for one that no token here signs with."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec, rsa
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    try:
        key = load_der_public_key(public_key)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InputInvalid(f"a public key that cannot be read: {error}") from error
    found = None
    if isinstance(key, rsa.RSAPublicKey):
        found = _OF_RSA_BITS.get(key.key_size)
    elif isinstance(key, ec.EllipticCurvePublicKey):
        found = _OF_CURVE.get(key.curve.name)
    if found is None:
        raise InputInvalid("a public key of another kind than are used here")
    return found


def key_id_of(public_key: bytes) -> bytes:
    """The SHA-1 of the public key's BIT STRING (RFC 5280, 4.2.1.2 (1)): CKA_ID."""
    from asn1crypto.keys import PublicKeyInfo

    key = PublicKeyInfo.load(public_key)["public_key"]
    return hashlib.sha1(key.contents[1:], usedforsecurity=False).digest()


def public_key_in(certificate: bytes) -> bytes | None:
    """The SubjectPublicKeyInfo (DER) in a certificate, or ``None`` if it cannot be read."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    from ushield.cms.unreadable import unreadable

    try:
        key = x509.load_der_x509_certificate(certificate).public_key()
        return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except unreadable():
        return None
