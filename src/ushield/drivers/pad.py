"""PINs that the person enters on the reader's own keys: what the drivers have in common."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from ushield.errors import CapabilityMissing, PinEntryCancelled, PinEntryTimedOut, PinInvalid
from ushield.pin import PinReference
from ushield.transport.connection import CardConnection
from ushield.transport.pin_pad import PinBlock, PinSupport, pin_pad_of

__all__ = ["PadDriver", "change_by_pad", "pad_support", "verify_by_pad"]


@runtime_checkable
class PadDriver(Protocol):
    """A `TokenDriver` whose commands with PINs a reader's keys can fill in."""

    @property
    def pad_support(self) -> PinSupport:
        """What can be done at the reader that the token is in now; nothing without keys."""

    def verify_pin_by_pad(self) -> None:
        """`TokenDriver.verify_pin`, the PIN entered on the reader.

        Also `PinEntryCancelled` and `PinEntryTimedOut`, which spend no try; `CapabilityMissing`.
        """

    def change_pin_by_pad(self, reference: PinReference) -> None:
        """`TokenDriver.change_pin`, old and new entered on the reader; errors as above."""


def pad_support(connection: CardConnection) -> PinSupport:
    """What the keys of the reader behind ``connection`` can do."""
    pad = pin_pad_of(connection)
    return PinSupport(0) if pad is None else pad.support


def verify_by_pad(connection: CardConnection, block: PinBlock) -> int:
    """Have the user's PIN entered; the card's status word."""
    pad = pin_pad_of(connection)
    if pad is None:
        raise _no_keys()
    return _judged(pad.verify(block), PinReference.USER)


def change_by_pad(connection: CardConnection, block: PinBlock, reference: PinReference) -> int:
    """Have an old and a new PIN or PUK entered; the card's status word."""
    pad = pin_pad_of(connection)
    if pad is None:
        raise _no_keys()
    return _judged(pad.change(block), reference)


def _no_keys() -> CapabilityMissing:
    return CapabilityMissing("the reader has no keys for a PIN", capability="pin-pad")


def _judged(response: bytes, reference: PinReference) -> int:
    """The card's status word; the reader's own raise what they stand for (PC/SC part 10)."""
    sw = int.from_bytes(response[-2:], "big")
    if sw == 0x6400:
        raise PinEntryTimedOut("nobody finished the PIN on the reader", reference=reference.value)
    if sw == 0x6401:
        raise PinEntryCancelled(
            "the PIN entry was cancelled on the reader", reference=reference.value
        )
    if sw == 0x6402:
        raise PinInvalid(
            "the two entries of the new one differ", reference=reference.value, rule="repeat"
        )
    if sw == 0x6403:
        raise PinInvalid("too few or too many digits", reference=reference.value, rule="length")
    return sw
