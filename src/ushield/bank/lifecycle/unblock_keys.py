"""The key by which the bank unblocks tokens, and what a signer elsewhere (an HSM) must offer."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
)

from ushield.bank.key_files import private_pem, read_private_key, write_private
from ushield.errors import InputInvalid

__all__ = ["FileUnblockSigner", "UnblockSigner"]


class UnblockSigner(Protocol):
    """Signs unblock challenges by ECDSA on P-256 with SHA-256 (FIPS 186-5)."""

    @property
    def public_key(self) -> ec.EllipticCurvePublicKey:
        """What every token of the bank is given when it is made."""

    def sign(self, challenge: bytes) -> bytes:
        """The signature, in DER."""


class FileUnblockSigner:
    """A key in a file (PKCS #8, PEM) that its owner alone can read."""

    __slots__ = ("_key",)

    def __init__(self, key: ec.EllipticCurvePrivateKey) -> None:
        self._key = key

    @classmethod
    def create(cls, path: str | Path) -> FileUnblockSigner:
        """Make a new key and keep it in the new file ``path``; `InputInvalid` if it cannot be."""
        key = ec.generate_private_key(ec.SECP256R1())
        write_private(path, private_pem(key))
        return cls(key)

    @classmethod
    def load(cls, path: str | Path) -> FileUnblockSigner:
        """Read the key; `InputInvalid` if there is none, or if others may read it."""
        key = read_private_key(path)
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name != "secp256r1":
            raise InputInvalid(f"{path}: not a P-256 key")
        return cls(key)

    @property
    def public_key(self) -> ec.EllipticCurvePublicKey:
        """See `UnblockSigner.public_key`."""
        return self._key.public_key()

    @property
    def public_pem(self) -> bytes:
        """The public key, for whoever makes the bank's tokens."""
        return self.public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def sign(self, challenge: bytes) -> bytes:
        """See `UnblockSigner.sign`."""
        return self._key.sign(challenge, ec.ECDSA(SHA256()))
