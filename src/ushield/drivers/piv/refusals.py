"""What a PIV card means by a status word, as the error that a caller can act on."""

from __future__ import annotations

from ushield.drivers.meanings import Meanings, meant
from ushield.errors import (
    CapabilityMissing,
    InputInvalid,
    KeyUsageRefused,
    LoginRequired,
    ManagementKeyIncorrect,
    ManagementKeyRequired,
    ObjectNotFound,
    PinIncorrect,
    PinInvalid,
    PinLocked,
    StorageFull,
    TokenFull,
    UShieldError,
)
from ushield.iso7816.status import StatusWord
from ushield.iso7816.status import tries_left as tries_in
from ushield.pin import PinReference

__all__ = [
    "ATTEST",
    "EMPTY",
    "GENERAL",
    "MANAGE",
    "MANAGED",
    "USE",
    "pin_refusal",
    "refusal",
    "tries_left",
]

EMPTY = frozenset(
    {
        StatusWord.FILE_NOT_FOUND,
        StatusWord.REFERENCED_DATA_NOT_FOUND,
        StatusWord.WRONG_PARAMETERS,
        StatusWord.WRONG_P1_P2,
        StatusWord.WRONG_DATA,
    }
)
"""How cards say, in one way or another, that nothing is in a slot they are asked about."""


def _cannot() -> UShieldError:
    return CapabilityMissing("this card does not know the command", capability="instruction")


GENERAL: Meanings = {
    StatusWord.SECURITY_STATUS_NOT_SATISFIED: lambda: LoginRequired("the card wants the PIN"),
    StatusWord.AUTHENTICATION_BLOCKED: lambda: PinLocked(reference="user"),
    StatusWord.NOT_ENOUGH_MEMORY: lambda: TokenFull("the card has no room for it"),
    StatusWord.MEMORY_FAILURE: lambda: StorageFull("the card's memory took no write"),
    StatusWord.FILE_NOT_FOUND: lambda: ObjectNotFound("the card has no such object"),
    StatusWord.REFERENCED_DATA_NOT_FOUND: lambda: ObjectNotFound("the card has no such key"),
    StatusWord.INS_NOT_SUPPORTED: _cannot,
    StatusWord.FUNCTION_NOT_SUPPORTED: _cannot,
}

MANAGED: Meanings = {
    StatusWord.SECURITY_STATUS_NOT_SATISFIED: lambda: ManagementKeyRequired(
        "the card wants its management key"
    ),
    StatusWord.WRONG_LENGTH: lambda: TokenFull("too long for the card"),
    StatusWord.WRONG_DATA: lambda: InputInvalid("the card makes or takes no such thing"),
    StatusWord.WRONG_PARAMETERS: lambda: InputInvalid("the card has no such slot, or algorithm"),
}
MANAGE: Meanings = {
    sw: lambda: ManagementKeyIncorrect("this is not the card's management key")
    for sw in (
        StatusWord.SECURITY_STATUS_NOT_SATISFIED,
        StatusWord.STATE_CHANGED,
        StatusWord.WRONG_DATA,
        StatusWord.WRONG_PARAMETERS,
    )
}
USE: Meanings = {
    StatusWord.WRONG_PARAMETERS: lambda: ObjectNotFound("no key of this kind is in the slot"),
    StatusWord.WRONG_P1_P2: lambda: ObjectNotFound("no key of this kind is in the slot"),
    StatusWord.CONDITIONS_NOT_SATISFIED: lambda: KeyUsageRefused(
        "the card does not let this key be used now",
        remedy="If its PIN is still the one it came with, change it: `ushield pin change`.",
    ),
}
ATTEST: Meanings = {
    sw: lambda: ObjectNotFound(
        "the card attests no key there",
        remedy="Only a key that was made on the card can be attested.",
    )
    for sw in (StatusWord.CONDITIONS_NOT_SATISFIED, *EMPTY)
}


def refusal(sw: int, meanings: Meanings | None = None) -> UShieldError:
    """The error for ``sw``: by ``meanings`` of the command at hand, else by the general ones, else
    a `StatusWordError` with its words.
    """
    return meant(sw, meanings or {}, GENERAL)


def tries_left(sw: int) -> int | None:
    """The tries that ``sw`` tells; old cards write 63XX where the standard has 63CX."""
    if sw == StatusWord.AUTHENTICATION_BLOCKED:
        return 0
    if tries_in(sw) is None and 0x6301 <= sw <= 0x630F:
        return sw & 0xF
    return tries_in(sw)


def pin_refusal(sw: int, proof: PinReference) -> UShieldError:
    """The error for the answer to a command with secrets, ``proof`` the one to be proven."""
    tries = tries_left(sw)
    if tries:
        return PinIncorrect(reference=proof.value, tries_left=tries)
    if tries == 0:
        return PinLocked(reference=proof.value)
    if sw in (StatusWord.WRONG_DATA, StatusWord.WRONG_LENGTH):
        return PinInvalid("the card refuses its form", reference=proof.value, rule="length")
    return refusal(sw)
