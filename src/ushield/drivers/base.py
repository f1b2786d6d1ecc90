"""What a driver does for the layers above, whatever the vendor: the `TokenDriver` protocol."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from ushield.algorithms import HashAlgorithm, KeyAlgorithm
from ushield.pin import (
    KnownManagementKey,
    ManagementKey,
    Pin,
    PinReference,
    PinRules,
    PinState,
)
from ushield.shield.application import Counters, ScreenInfo
from ushield.shield.events import PanelEvent
from ushield.shield.requests import Begun, RequestState, Signed, Voucher
from ushield.transport.connection import CardConnection, DeviceInfo

__all__ = [
    "USUAL",
    "Capability",
    "CertificateInfo",
    "Demand",
    "DriverFactory",
    "KeyInfo",
    "KeyOptions",
    "KeyUsage",
    "TokenDriver",
    "TokenInfo",
]


class Capability(StrEnum):
    """What a token can do, beyond holding keys and certificates behind a PIN."""

    DISPLAY_SIGNING = "display-signing"
    PANEL_EVENTS = "panel-events"
    VOUCHERS = "vouchers"
    ATTESTATION = "attestation"
    REMOTE_UNBLOCK = "remote-unblock"
    KEY_GENERATION = "key-generation"
    MANAGEMENT_KEY = "management-key"
    """Key pairs and certificates want this key proven, and not the PIN."""
    SECURE_CHANNEL = "secure-channel"


class KeyUsage(StrEnum):
    """What a key signs: only what the token's screen showed, or digests from the host."""

    DISPLAY = "display"
    AUTHENTICATION = "authentication"


class Demand(StrEnum):
    """How often a key wants something of the person: the PIN, or a touch of the token.

    ``ONCE``: as long as it lasts (a login, or some seconds after a touch). ``UNKNOWN``: the token
    does not tell.
    """

    NEVER = "never"
    ONCE = "once"
    ALWAYS = "always"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class KeyOptions:
    """What a key pair to be made should be like, on tokens that let one choose.

    ``place`` is the slot's name ("9c"); the token's own choice for what is ``None``. ``replace``:
    what is in that place may be lost.
    """

    place: str | None = None
    pin: Demand | None = None
    touch: Demand | None = None
    replace: bool = False


USUAL: Final = KeyOptions()
"""What the token makes of itself."""


@dataclass(frozen=True, slots=True)
class TokenInfo:
    """What a token tells of itself without a PIN.

    ``virtual`` says that no hardware guards its keys. ``max_message`` and ``max_certificate`` in
    bytes, ``timeout`` of a confirmation in seconds; 0 where a token does not tell.
    """

    driver: str
    manufacturer: str
    model: str
    serial: str
    label: str
    firmware: str
    capabilities: frozenset[Capability]
    pin_rules: PinRules
    screen: ScreenInfo | None = None
    max_message: int = 0
    max_keys: int = 0
    max_certificate: int = 0
    timeout: int = 0
    virtual: bool = False


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """A key pair on the token. ``key_id`` is CKA_ID, ``public_key`` SubjectPublicKeyInfo in DER.

    ``pin`` and ``touch`` are what each use wants, ``None`` where that is the same for all keys of
    the token (`PinRules`, and its screen); ``generated`` is ``None`` where it is not told.
    """

    reference: int
    algorithm: KeyAlgorithm
    usage: KeyUsage
    key_id: bytes
    label: str
    public_key: bytes
    pin: Demand | None = None
    touch: Demand | None = None
    generated: bool | None = True


@dataclass(frozen=True, slots=True)
class CertificateInfo:
    """A certificate's directory entry; ``key_id`` is empty for a certificate of the chain."""

    slot: int
    key_id: bytes
    label: str
    size: int
    sha256: bytes


class TokenDriver(Protocol):
    """One open token. PIN errors are `PinError`, refusals `CardError`, both from ``errors``.

    A method that a token has no `Capability` for raises `CapabilityMissing`.
    """

    @property
    def connection(self) -> CardConnection:
        """The card below."""

    @property
    def info(self) -> TokenInfo:
        """What the token told when it was opened."""

    def counters(self) -> Counters:
        """What the token has counted up to now."""

    def set_label(self, label: str) -> None:
        """Name the token. Wants the PIN."""

    def pin_states(self) -> Mapping[PinReference, PinState]:
        """The tries left now, of those secrets that the token tells it of; spends none."""

    def verify_pin(self, pin: Pin) -> None:
        """Prove the user's PIN to the token."""

    def logout(self) -> None:
        """Make the token forget what was proven to it."""

    @property
    def management_touch(self) -> Demand:
        """Whether proving the management key wants a touch."""

    def prove_management_key(self, key: ManagementKey | KnownManagementKey) -> None:
        """Prove the key that key pairs and certificates want, on tokens that have one."""

    def change_pin(self, reference: PinReference, old: Pin, new: Pin) -> None:
        """Replace the user's PIN or the PUK."""

    def unblock_pin(self, puk: Pin, new_pin: Pin) -> None:
        """Set a new user's PIN and restore its tries, by the PUK."""

    def unblock_challenge(self) -> bytes:
        """The bytes for the bank to sign so that the PIN may be unblocked."""

    def unblock_by_bank(self, signature: bytes, new_pin: Pin) -> None:
        """Set a new user's PIN and restore its tries, by the bank's signature on the challenge."""

    def keys(self) -> tuple[KeyInfo, ...]:
        """The key directory."""

    def generate_key(
        self,
        algorithm: KeyAlgorithm,
        usage: KeyUsage,
        label: str,
        options: KeyOptions = USUAL,
    ) -> KeyInfo:
        """Make a key pair on the token; takes up to a minute for RSA-4096.

        This, and what else writes keys and certificates, wants the PIN, or the management key on
        tokens that have one.
        """

    def introduce_key(self, place: str, public_key: bytes) -> KeyInfo:
        """Say which key pair is in ``place``, for tokens that do not tell: until they are closed.

        ``public_key`` is SubjectPublicKeyInfo in DER.
        """

    def delete_key(self, key_reference: int) -> None:
        """Delete a key pair with its certificate."""

    def certificates(self) -> tuple[CertificateInfo, ...]:
        """The certificate directory."""

    def read_certificate(self, slot: int) -> bytes:
        """One certificate in DER."""

    def write_certificate(self, der: bytes, label: str, *, is_ca: bool = False) -> int:
        """Store a certificate, all or nothing; its slot."""

    def delete_certificate(self, slot: int) -> None:
        """Delete one."""

    def sign_digest(self, key_reference: int, algorithm: HashAlgorithm, digest: bytes) -> bytes:
        """Sign a digest with an authentication key: PKCS #1 v1.5, or ECDSA in DER."""

    def sign_challenge(self, key_reference: int, challenge: bytes) -> bytes:
        """Sign a challenge, hashed on the token, with an authentication key."""

    def begin(self, key_reference: int, message: bytes) -> Begun:
        """Put a transaction's message on the screen. `DisplayRefused` if not all of it fits."""

    def begin_certification_request(self, key_reference: int, subject: bytes) -> Begun:
        """Put a certificate request's subject (Name, DER) on the screen."""

    def request_state(self, request_id: bytes) -> RequestState:
        """Where a request stands."""

    def finish(self, request_id: bytes) -> Signed:
        """Fetch the signature of a confirmed request, once. `ConfirmationError` otherwise."""

    def cancel(self, request_id: bytes) -> None:
        """Take a request off the screen; harmless if it has ended."""

    def panel_event(self, timeout: float) -> PanelEvent | None:
        """The panel's next event, or ``None`` after ``timeout`` seconds."""

    def vouchers(self) -> Iterator[Voucher]:
        """The token's own log, newest first. Wants the PIN."""

    def attest(self, key_reference: int) -> bytes:
        """A certificate (DER) by the device key: this key was made on this token."""

    def device_certificate(self) -> bytes:
        """The certificate (DER) of the device key."""

    def reset(self) -> None:
        """Power the card off and on and open the token again: ends any request and the login."""

    def close(self) -> None:
        """Log out and close the connection; harmless to repeat."""


class DriverFactory(Protocol):
    """What an entry point of ``ushield.drivers`` names."""

    @property
    def name(self) -> str:
        """The driver's name, as `TokenInfo.driver` tells it."""

    def knows(self, device: DeviceInfo) -> bool:
        """Whether a profile lists this device; nothing is sent to it."""

    def probe(self, connection: CardConnection) -> TokenDriver | None:
        """Open the token if it is one of this driver's. Never changes the token's state."""
