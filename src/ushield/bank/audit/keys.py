"""The key that signs heads of the audit log, and what a signer elsewhere (an HSM) must offer."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Protocol

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_public_key,
)

from ushield.bank.key_files import private_pem, read_private_key, write_private
from ushield.errors import InputInvalid

__all__ = ["AuditPublicKey", "AuditSigner", "FileAuditSigner", "key_id", "load_public_key"]

AuditPublicKey = Ed25519PublicKey


class AuditSigner(Protocol):
    """Signs heads by Ed25519 (RFC 8032)."""

    @property
    def public_key(self) -> AuditPublicKey:
        """What its signatures are verified with."""

    def sign(self, data: bytes) -> bytes:
        """The signature (64 bytes)."""


class FileAuditSigner:
    """A key in a file (PKCS #8, PEM) that its owner alone can read."""

    __slots__ = ("_key",)

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key

    @classmethod
    def create(cls, path: str | Path) -> FileAuditSigner:
        """Make a new key and keep it in the new file ``path``; `InputInvalid` if it cannot be."""
        key = Ed25519PrivateKey.generate()
        write_private(path, private_pem(key))
        return cls(key)

    @classmethod
    def load(cls, path: str | Path) -> FileAuditSigner:
        """Read the key; `InputInvalid` if there is none, or if others may read it."""
        key = read_private_key(path)
        if not isinstance(key, Ed25519PrivateKey):
            raise InputInvalid(f"{path}: not an Ed25519 key")
        return cls(key)

    @property
    def public_key(self) -> AuditPublicKey:
        """See `AuditSigner.public_key`."""
        return self._key.public_key()

    @property
    def public_pem(self) -> bytes:
        """The public key, for whoever verifies the log."""
        return self.public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def sign(self, data: bytes) -> bytes:
        """See `AuditSigner.sign`."""
        return self._key.sign(data)


def load_public_key(pem: bytes) -> AuditPublicKey:
    """Read a public key (SubjectPublicKeyInfo in PEM); `InputInvalid`."""
    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise InputInvalid("not an Ed25519 public key in PEM")
    return key


def key_id(key: AuditPublicKey) -> str:
    """The name of a key: SHA-256 of its SubjectPublicKeyInfo, in hexadecimal."""
    encoded = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return sha256(encoded).hexdigest()
