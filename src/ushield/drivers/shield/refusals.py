"""What the shield applet means by a status word, as the error that a caller can act on."""

from __future__ import annotations

import unicodedata

from ushield.drivers.meanings import Meanings, meant
from ushield.errors import (
    CapabilityMissing,
    CertificateInvalid,
    DisplayRefused,
    HostCancelled,
    InputInvalid,
    KeyHeld,
    KeyUsageRefused,
    LoginRequired,
    ObjectNotFound,
    PinChangeRequired,
    PinIncorrect,
    PinInvalid,
    PinLocked,
    Rejected,
    RequestPending,
    RequestUnknown,
    ScreenBusy,
    StorageFull,
    TimedOut,
    TokenFull,
    UShieldError,
)
from ushield.iso7816.status import StatusWord, tries_left
from ushield.pin import PinReference
from ushield.shield.commands import ShieldStatus
from ushield.shield.requests import DisplayRefusal, RefusalReason

__all__ = [
    "BARE_SIGNATURE",
    "BEGIN",
    "CERTIFICATE",
    "DELETE_KEY",
    "GENERAL",
    "GENERATE",
    "LABEL",
    "REQUEST",
    "UNBLOCK",
    "display_refusal",
    "pin_refusal",
    "refusal",
]

GENERAL: Meanings = {
    StatusWord.SECURITY_STATUS_NOT_SATISFIED: lambda: LoginRequired("the token wants the PIN"),
    StatusWord.NOT_ENOUGH_MEMORY: lambda: TokenFull("the token has no room for it"),
    StatusWord.MEMORY_FAILURE: lambda: StorageFull("the token's memory took no write"),
    StatusWord.REFERENCED_DATA_NOT_FOUND: lambda: ObjectNotFound("the token has no such object"),
    ShieldStatus.PENDING: lambda: RequestPending("no key was pressed yet"),
    ShieldStatus.REJECTED: lambda: Rejected("rejected on the token"),
    ShieldStatus.TIMED_OUT: lambda: TimedOut("no key was pressed in time"),
    ShieldStatus.BUSY: lambda: ScreenBusy("another request is on the token's screen"),
    ShieldStatus.CANCELLED: lambda: HostCancelled("cancelled on this side"),
    ShieldStatus.KEY_HELD: lambda: KeyHeld("a key of the token is held down"),
    ShieldStatus.PIN_MUST_CHANGE: lambda: PinChangeRequired(
        "the PIN is still the one the token came with"
    ),
}

REQUEST: Meanings = {
    StatusWord.REFERENCED_DATA_NOT_FOUND: lambda: RequestUnknown(
        "the token knows no such request (any more)"
    ),
}
BEGIN: Meanings = {
    StatusWord.REFERENCED_DATA_NOT_FOUND: lambda: ObjectNotFound(
        "the token has no such key, or no certificate for it",
        remedy="Import the certificate of the key first: `ushield cert import`.",
    ),
    StatusWord.CONDITIONS_NOT_SATISFIED: lambda: KeyUsageRefused(
        "this key signs no transactions", remedy="Use a display key."
    ),
}
GENERATE: Meanings = {
    StatusWord.WRONG_DATA: lambda: InputInvalid(
        "the token makes no such key, or takes no such label"
    ),
}
DELETE_KEY: Meanings = {
    StatusWord.REFERENCED_DATA_NOT_FOUND: lambda: ObjectNotFound("the token has no such key"),
    StatusWord.CONDITIONS_NOT_SATISFIED: lambda: ScreenBusy(
        "a request with this key is on the token's screen"
    ),
}
LABEL: Meanings = {
    StatusWord.WRONG_DATA: lambda: InputInvalid("the token takes no such label"),
}
UNBLOCK: Meanings = {
    ShieldStatus.PIN_WEAK: lambda: PinInvalid(
        "too easy to guess", reference=PinReference.USER.value, rule="weak"
    ),
    StatusWord.WRONG_DATA: lambda: InputInvalid(
        "this is not the bank's signature over the token's last challenge",
        remedy="Take a new challenge from the token to the bank.",
    ),
    StatusWord.CONDITIONS_NOT_SATISFIED: lambda: InputInvalid(
        "the token waits for no signature of the bank",
        remedy="Take a new challenge from the token to the bank.",
    ),
    StatusWord.REFERENCE_DATA_NOT_USABLE: lambda: CapabilityMissing(
        "this token was made without a bank's key to unblock it", capability="remote-unblock"
    ),
}
BARE_SIGNATURE: Meanings = {
    StatusWord.CONDITIONS_NOT_SATISFIED: lambda: KeyUsageRefused(
        "this key signs only what the token showed"
    ),
    StatusWord.REFERENCED_DATA_NOT_FOUND: lambda: ObjectNotFound("the token has no such key"),
}
CERTIFICATE: Meanings = {
    StatusWord.WRONG_DATA: lambda: CertificateInvalid(
        "the token cannot read the certificate or its label, or has not its key"
    ),
    StatusWord.REFERENCED_DATA_NOT_FOUND: lambda: ObjectNotFound("no certificate in this slot"),
}


def refusal(sw: int, meanings: Meanings | None = None) -> UShieldError:
    """The error for ``sw``: by ``meanings`` of the command at hand, else by the general ones, else
    a `StatusWordError` with its words.
    """
    return meant(sw, meanings or {}, GENERAL)


def pin_refusal(sw: int, proof: PinReference, new: PinReference) -> UShieldError:
    """The error for the answer to a command with secrets: ``proof`` is whose secret was to be
    proven, ``new`` whose was to be set.
    """
    tries = tries_left(sw)
    if tries:
        return PinIncorrect(reference=proof.value, tries_left=tries)
    if tries == 0 or sw == StatusWord.AUTHENTICATION_BLOCKED:
        return PinLocked(reference=proof.value)
    if sw == ShieldStatus.PIN_WEAK:
        return PinInvalid("too easy to guess", reference=new.value, rule="weak")
    if sw in (StatusWord.WRONG_DATA, StatusWord.WRONG_LENGTH):
        return PinInvalid("the token refuses its form", reference=new.value, rule="length")
    return refusal(sw)


def display_refusal(why: DisplayRefusal) -> DisplayRefused:
    """The error for 9504, by what the token says of its last refusal."""
    if why.reason is RefusalReason.GLYPH:
        character = chr(why.code_point)
        name = unicodedata.name(character, "a character without a name")
        return DisplayRefused(
            f"the token has no glyph for U+{why.code_point:04X} ({name})",
            reason="glyph",
            character=character,
        )
    if why.reason is RefusalReason.TOO_LONG:
        return DisplayRefused("the token has not enough pages for the message", reason="too-long")
    return DisplayRefused("the token cannot read the message", reason="malformed")
