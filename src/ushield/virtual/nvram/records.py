"""What the NVRAM holds, record by record."""

from __future__ import annotations

import hashlib
import hmac
import os
from dataclasses import dataclass, field

from ushield.algorithms import KeyAlgorithm
from ushield.pin import PinReference, PinState
from ushield.piv.commands import ManagementAlgorithm, PinPolicy, TouchPolicy
from ushield.shield.commands import KeyUsageCode
from ushield.shield.objects import CertificateEntry, KeyEntry

__all__ = [
    "CertificateRecord",
    "ChannelKey",
    "Identity",
    "ManagementKey",
    "Personalisation",
    "PivKey",
    "SecretHash",
    "StoredKey",
    "StoredReference",
]

_SALT_SIZE = 16
_ITERATIONS = 100


@dataclass(frozen=True, slots=True)
class SecretHash:
    """A PIN or PUK as stored: salted PBKDF2-HMAC-SHA256 (RFC 8018, 5.2).

    Its count of iterations keeps VERIFY under half a millisecond. More would not help: six digits
    are a million guesses to whoever has the file, so what protects them is the file's mode 0600.
    """

    salt: bytes = field(repr=False)
    hash: bytes = field(repr=False)

    @classmethod
    def of(cls, secret: bytes) -> SecretHash:
        """Hash ``secret`` with a fresh random salt."""
        salt = os.urandom(_SALT_SIZE)
        return cls(salt, _hash(secret, salt))

    def matches(self, secret: bytes) -> bool:
        """Whether ``secret`` is the one that was hashed; the comparison takes constant time."""
        return hmac.compare_digest(self.hash, _hash(secret, self.salt))


def _hash(secret: bytes, salt: bytes) -> bytes:
    return hashlib.pbkdf2_hmac("sha256", secret, salt, _ITERATIONS)


@dataclass(frozen=True, slots=True)
class StoredReference:
    """A PIN or PUK with its counter. ``must_change``: it is still the one it was issued with."""

    secret: SecretHash
    tries_left: int
    max_tries: int
    must_change: bool = False

    def state(self, reference: PinReference, *, verified: bool = False) -> PinState:
        """The counter, as it is told to whoever asks for ``reference``."""
        return PinState(reference, self.tries_left, self.max_tries, self.must_change, verified)


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A key pair. ``reference`` is 1 to 255; ``key_id`` the SHA-1 of the public BIT STRING.

    ``public_key`` is a SubjectPublicKeyInfo, ``private_key`` a PrivateKeyInfo (RFC 5208), in DER.
    """

    reference: int
    algorithm: KeyAlgorithm
    usage: KeyUsageCode
    key_id: bytes
    label: str
    public_key: bytes
    private_key: bytes = field(repr=False)

    def entry(self) -> KeyEntry:
        """What the directory tells of it."""
        return KeyEntry(
            self.reference, self.algorithm, self.usage, self.key_id, self.label, self.public_key
        )


@dataclass(frozen=True, slots=True)
class CertificateRecord:
    """A certificate (DER) in a slot from 1 to 255; ``key_id`` is empty for one of the chain."""

    slot: int
    key_id: bytes
    label: str
    der: bytes
    is_ca: bool = False

    def entry(self) -> CertificateEntry:
        """What the directory tells of it."""
        return CertificateEntry(
            self.slot,
            self.key_id,
            self.label,
            len(self.der),
            hashlib.sha256(self.der).digest(),
        )


@dataclass(frozen=True, slots=True)
class PivKey:
    """A key pair of the PIV application, in DER like `StoredKey`'s; ``slot`` is its reference."""

    slot: int
    algorithm: KeyAlgorithm
    pin_policy: PinPolicy
    touch_policy: TouchPolicy
    generated: bool
    public_key: bytes
    private_key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class ManagementKey:
    """What opens the PIV application to whoever sets it up; ``touch``: and a press of OK."""

    algorithm: ManagementAlgorithm
    key: bytes = field(repr=False)
    touch: bool = False


@dataclass(frozen=True, slots=True)
class Identity:
    """What was set when the token was made, for good.

    ``device_key`` is a PrivateKeyInfo, ``device_certificate`` the certificate of it, and
    ``unblock_key`` the bank's SubjectPublicKeyInfo for remote unblocking, or ``None``; all DER.
    """

    serial: str
    label: str
    profile: str
    device_key: bytes = field(repr=False)
    device_certificate: bytes = field(repr=False)
    unblock_key: bytes | None = None


@dataclass(frozen=True, slots=True)
class ChannelKey:
    """The key that secure channels are agreed with: PrivateKeyInfo, and its certificate in DER.

    It only agrees on keys, and the device key only signs: no use of one says anything of the other.
    """

    private_key: bytes = field(repr=False)
    certificate: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Personalisation:
    """A token before its first power-up: who it is, its PIN and its PUK, all tries left.

    Without a ``channel_key`` it makes one when it first needs it.
    """

    identity: Identity
    user: StoredReference
    puk: StoredReference
    channel_key: ChannelKey | None = None
