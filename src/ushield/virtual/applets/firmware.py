"""What the commands of the shield applet work on, and how they say no."""

from __future__ import annotations

from dataclasses import dataclass

from ushield.errors import (
    CertificateInvalid,
    InputInvalid,
    ObjectNotFound,
    PinIncorrect,
    PinInvalid,
    PinLocked,
    StatusWordError,
    StorageFull,
    TokenFull,
    UShieldError,
)
from ushield.iso7816.status import StatusWord, describe
from ushield.pin import PinReference
from ushield.shield.commands import ShieldStatus
from ushield.transaction.pages import Screen
from ushield.virtual.channel_key import ChannelKeys
from ushield.virtual.clock import Clock
from ushield.virtual.confirmation import Refusal
from ushield.virtual.keys import KeyStore
from ushield.virtual.nvram import Nvram
from ushield.virtual.panel import Panel
from ushield.virtual.pins import PinStore
from ushield.virtual.profile import VirtualProfile

__all__ = ["Firmware", "refused", "status_of_refusal", "status_word"]

_MAX_TRIES_TOLD = 15
_STATUS_OF_REFUSAL = {
    Refusal.PIN_NEEDED: StatusWord.SECURITY_STATUS_NOT_SATISFIED,
    Refusal.BUSY: ShieldStatus.BUSY,
    Refusal.KEY_HELD: ShieldStatus.KEY_HELD,
    Refusal.UNKNOWN: StatusWord.REFERENCED_DATA_NOT_FOUND,
    Refusal.PENDING: ShieldStatus.PENDING,
    Refusal.REJECTED: ShieldStatus.REJECTED,
    Refusal.TIMED_OUT: ShieldStatus.TIMED_OUT,
    Refusal.CANCELLED: ShieldStatus.CANCELLED,
}
_STATUS_OF_ERROR: tuple[tuple[type[UShieldError], int], ...] = (
    (PinLocked, StatusWord.AUTHENTICATION_BLOCKED),
    (CertificateInvalid, StatusWord.WRONG_DATA),
    (InputInvalid, StatusWord.WRONG_DATA),
    (ObjectNotFound, StatusWord.REFERENCED_DATA_NOT_FOUND),
    (TokenFull, StatusWord.NOT_ENOUGH_MEMORY),
    (StorageFull, StatusWord.MEMORY_FAILURE),
)


def refused(sw: int) -> StatusWordError:
    """The error that makes the applet answer ``sw``."""
    return StatusWordError(describe(sw), sw=sw)


def status_of_refusal(refusal: Refusal) -> StatusWordError:
    """The error that stands for a refusal by the panel."""
    return refused(_STATUS_OF_REFUSAL[refusal])


def status_word(error: UShieldError) -> int:
    """What the applet answers when a command ended with ``error``."""
    if isinstance(error, StatusWordError):
        return error.sw
    if isinstance(error, PinIncorrect):
        return StatusWord.TRIES_LEFT | min(error.tries_left, _MAX_TRIES_TOLD)
    if isinstance(error, PinInvalid) and error.rule in ("weak", "unchanged"):
        return ShieldStatus.PIN_WEAK
    for kind, sw in _STATUS_OF_ERROR:
        if isinstance(error, kind):
            return sw
    return StatusWord.EXECUTION_ERROR


@dataclass(frozen=True, slots=True)
class Firmware:
    """The parts of one token that its applet's commands share."""

    profile: VirtualProfile
    nvram: Nvram
    pins: PinStore
    keys: KeyStore
    channel_keys: ChannelKeys
    panel: Panel
    screen: Screen
    clock: Clock

    def require_pin(self) -> None:
        """Refuse unless the user's PIN is verified, for upkeep that signs nothing."""
        if not self.panel.state.pin_verified:
            raise refused(StatusWord.SECURITY_STATUS_NOT_SATISFIED)

    def require_own_pin(self) -> None:
        """Refuse while `has_foreign_pin`."""
        if self.has_foreign_pin():
            raise refused(ShieldStatus.PIN_MUST_CHANGE)

    def has_foreign_pin(self) -> bool:
        """Whether the PIN, or the PUK that could set it, must be changed first: others know it."""
        return self.profile.pin_rules.must_change_default and any(
            self.nvram.reference(reference).must_change for reference in PinReference
        )
