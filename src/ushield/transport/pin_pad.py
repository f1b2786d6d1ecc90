"""Readers with keys of their own: the person enters the PIN there, and it never is in the host."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from ushield.ccid.descriptor import PinSupport
from ushield.errors import InputInvalid

__all__ = ["HasPinPad", "PinBlock", "PinPad", "PinSupport", "pin_pad_of"]

_MAX_BLOCK = 15


@dataclass(frozen=True, slots=True)
class PinBlock:
    """A command without the PIN that a pad puts into it, in ASCII digits.

    ``header`` is CLA INS P1 P2. Where ``size`` is 0 the PIN is all of the data; else it is padded
    with FF to ``size`` bytes, and a change has a block for the old PIN and one for the new.
    `InputInvalid` for what no pad can do.
    """

    header: bytes
    min_digits: int
    max_digits: int
    size: int = 0

    def __post_init__(self) -> None:
        # bmPINBlockString has four bits for the size (CCID Rev 1.1, section 6.1.11.1).
        if len(self.header) != 4 or not 0 <= self.size <= _MAX_BLOCK:
            raise InputInvalid("no PIN pad can make such a command")
        if self.size and self.max_digits > self.size:
            raise InputInvalid(f"{self.max_digits} digits do not fit into {self.size} bytes")


class PinPad(Protocol):
    """The keys of one reader, for the card of one connection.

    Both methods return the card's response APDU, or for an entry that did not come to its end, as
    PC/SC part 10 does: 6400 nobody finished it in ``timeout`` seconds, 6401 cancelled there, 6402
    two new PINs that differ, 6403 too few or too many digits. They wait for the person; closing the
    connection from another thread ends that. Raise what `CardConnection.transmit` does.
    """

    @property
    def support(self) -> PinSupport:
        """What the reader can do."""

    def verify(self, block: PinBlock, *, timeout: int = 30) -> bytes:
        """Have a PIN entered, and sent to the card in the command ``block``."""

    def change(self, block: PinBlock, *, timeout: int = 30) -> bytes:
        """Have an old PIN and twice a new one entered, and sent in ``block``, which has a size."""


@runtime_checkable
class HasPinPad(Protocol):
    """A `CardConnection` whose reader may have keys."""

    @property
    def pin_pad(self) -> PinPad | None:
        """The keys, if there are any."""


def pin_pad_of(connection: object) -> PinPad | None:
    """The reader's own keys, where a `CardConnection` knows of any."""
    return connection.pin_pad if isinstance(connection, HasPinPad) else None
