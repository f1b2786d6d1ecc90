"""The token's key pairs: made on it, kept in its NVRAM, and never handed out."""

from __future__ import annotations

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
)
from cryptography.x509 import SubjectKeyIdentifier

from ushield.algorithms import HashAlgorithm, KeyAlgorithm
from ushield.errors import InputInvalid, TokenFileInvalid
from ushield.shield.commands import KeyUsageCode
from ushield.virtual.nvram import Nvram, StoredKey

__all__ = [
    "KeyStore",
    "PrivateKey",
    "PublicKey",
    "encode_private_key",
    "encode_public_key",
    "generate_private_key",
    "key_id",
    "load_private_key",
]

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey

_RSA_BITS = {KeyAlgorithm.RSA_2048: 2048, KeyAlgorithm.RSA_3072: 3072, KeyAlgorithm.RSA_4096: 4096}
_CURVE = {KeyAlgorithm.P256: ec.SECP256R1(), KeyAlgorithm.P384: ec.SECP384R1()}
_PREHASHED = {
    HashAlgorithm.SHA256: Prehashed(hashes.SHA256()),
    HashAlgorithm.SHA384: Prehashed(hashes.SHA384()),
    HashAlgorithm.SHA512: Prehashed(hashes.SHA512()),
}
_PKCS1 = padding.PKCS1v15()


def generate_private_key(algorithm: KeyAlgorithm) -> PrivateKey:
    """A fresh key; up to some seconds for RSA-4096."""
    if algorithm.is_rsa:
        return rsa.generate_private_key(public_exponent=65537, key_size=_RSA_BITS[algorithm])
    return ec.generate_private_key(_CURVE[algorithm])


def encode_private_key(key: PrivateKey) -> bytes:
    """PrivateKeyInfo (RFC 5208) in DER, not encrypted."""
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def encode_public_key(key: PublicKey) -> bytes:
    """SubjectPublicKeyInfo (RFC 5280, 4.1) in DER."""
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def key_id(key: PublicKey) -> bytes:
    """The SHA-1 of the public key's BIT STRING (RFC 5280, 4.2.1.2 (1)): CKA_ID."""
    return SubjectKeyIdentifier.from_public_key(key).digest


def load_private_key(data: bytes) -> PrivateKey:
    """Read what `encode_private_key` wrote; ``ValueError`` for anything else."""
    # Checking the primes again would take longer than the signature.
    key = load_der_private_key(data, None, unsafe_skip_rsa_key_validation=True)
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        # What was read is wrong, not what was handed in.
        raise ValueError("neither an RSA key nor an EC key")  # noqa: TRY004
    return key


class KeyStore:
    """The key pairs in a token's NVRAM. Each private key is read once, when it first signs."""

    def __init__(self, nvram: Nvram) -> None:
        self._nvram = nvram
        self._loaded: dict[int, PrivateKey] = {}

    def generate(self, algorithm: KeyAlgorithm, usage: KeyUsageCode, label: str) -> StoredKey:
        """Make a key pair and store it; `TokenFull` before any work if there is no room."""
        reference = self._nvram.free_key_reference()
        private_key = generate_private_key(algorithm)
        public_key = private_key.public_key()
        stored = StoredKey(
            reference=reference,
            algorithm=algorithm,
            usage=usage,
            key_id=key_id(public_key),
            label=label,
            public_key=encode_public_key(public_key),
            private_key=encode_private_key(private_key),
        )
        self._nvram.add_key(stored)
        self._loaded[reference] = private_key
        return stored

    def delete(self, reference: int) -> None:
        """Delete a key pair with its certificate; `ObjectNotFound`."""
        self._nvram.delete_key(reference)
        self._loaded.pop(reference, None)

    def sign(self, reference: int, algorithm: HashAlgorithm, digest: bytes) -> bytes:
        """Sign a digest: PKCS #1 v1.5 (RFC 8017, 8.2), or ECDSA (FIPS 186-5) in DER.

        `ObjectNotFound` if there is no such key, `InputInvalid` if the digest has not the length
        that ``algorithm`` says.
        """
        key = self._loaded.get(reference) or self._load(reference)
        hashed = _PREHASHED[algorithm]
        if len(digest) != hashed.digest_size:
            raise InputInvalid(f"{algorithm} has {hashed.digest_size} bytes, not {len(digest)}")
        if isinstance(key, rsa.RSAPrivateKey):
            return key.sign(digest, _PKCS1, hashed)
        return key.sign(digest, ec.ECDSA(hashed))

    def _load(self, reference: int) -> PrivateKey:
        stored = self._nvram.key(reference)
        try:
            key = load_private_key(stored.private_key)
        except ValueError:
            key = None
        if key is None or encode_public_key(key.public_key()) != stored.public_key:
            raise TokenFileInvalid(
                f"key {reference} in {self._nvram.path} is damaged",
                path=self._nvram.path,
                remedy="Restore the file from a copy, or create a new token.",
            )
        self._loaded[reference] = key
        return key
