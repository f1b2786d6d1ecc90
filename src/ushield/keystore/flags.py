"""PKCS #11 slot and token flags (OASIS PKCS #11 v3.1, tables 5 and 6), computed from a token."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntFlag

from ushield.pin import PinReference, PinState

__all__ = ["SlotFlag", "TokenFlag", "token_flags"]


class SlotFlag(IntFlag):
    """``CKF_`` of a slot."""

    TOKEN_PRESENT = 0x01
    REMOVABLE_DEVICE = 0x02
    HW_SLOT = 0x04


class TokenFlag(IntFlag):
    """``CKF_`` of a token. Where PKCS #11 says SO PIN, read PUK: it is what sets the user's PIN."""

    RNG = 0x0000_0001
    WRITE_PROTECTED = 0x0000_0002
    LOGIN_REQUIRED = 0x0000_0004
    USER_PIN_INITIALIZED = 0x0000_0008
    PROTECTED_AUTHENTICATION_PATH = 0x0000_0100
    TOKEN_INITIALIZED = 0x0000_0400
    USER_PIN_COUNT_LOW = 0x0001_0000
    USER_PIN_FINAL_TRY = 0x0002_0000
    USER_PIN_LOCKED = 0x0004_0000
    USER_PIN_TO_BE_CHANGED = 0x0008_0000
    SO_PIN_COUNT_LOW = 0x0010_0000
    SO_PIN_FINAL_TRY = 0x0020_0000
    SO_PIN_LOCKED = 0x0040_0000
    SO_PIN_TO_BE_CHANGED = 0x0080_0000
    ERROR_STATE = 0x0100_0000


_SO_SHIFT = 4


def _pin_flags(state: PinState) -> TokenFlag:
    flags = TokenFlag(0)
    if state.count_low:
        flags |= TokenFlag.USER_PIN_COUNT_LOW
    if state.final_try:
        flags |= TokenFlag.USER_PIN_FINAL_TRY
    if state.locked:
        flags |= TokenFlag.USER_PIN_LOCKED
    if state.must_change:
        flags |= TokenFlag.USER_PIN_TO_BE_CHANGED
    return flags


def token_flags(states: Mapping[PinReference, PinState]) -> TokenFlag:
    """A token's flags from its PIN states; a token without a PUK has none of the SO's flags."""
    flags = TokenFlag.LOGIN_REQUIRED | TokenFlag.TOKEN_INITIALIZED
    user = states.get(PinReference.USER)
    if user is not None:
        flags |= TokenFlag.USER_PIN_INITIALIZED | _pin_flags(user)
    puk = states.get(PinReference.PUK)
    if puk is not None:
        flags |= TokenFlag(_pin_flags(puk) << _SO_SHIFT)
    return flags
