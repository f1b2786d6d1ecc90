"""The PIN pad of a CCID reader."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ushield.ccid.pin_entry import PinEntry, PinModification, PinVerification
from ushield.errors import CapabilityMissing, InputInvalid
from ushield.transport.pin_pad import PinBlock, PinSupport

__all__ = ["UsbPinPad"]

# bmFormatString: positions in bytes, the PIN's is 0, left-justified, ASCII.
_ASCII: Final = 0x82
_PADDING: Final = b"\xff"


@dataclass(frozen=True, slots=True)
class UsbPinPad:
    """A `PinPad` whose entries ``enter`` carries out."""

    support: PinSupport
    enter: Callable[[PinEntry], bytes]

    def verify(self, block: PinBlock, *, timeout: int = 30) -> bytes:
        """Have a PIN entered, and sent to the card."""
        self._want(PinSupport.VERIFICATION)
        # Where nothing is padded, the reader makes Lc of what was entered.
        data = bytes([block.size]) + _PADDING * block.size
        return self.enter(
            PinVerification(
                timeout=timeout,
                format_string=_ASCII,
                block_string=block.size,
                length_format=0,
                min_digits=block.min_digits,
                max_digits=block.max_digits,
                apdu=block.header + data,
            )
        )

    def change(self, block: PinBlock, *, timeout: int = 30) -> bytes:
        """Have an old PIN and twice a new one entered, and sent to the card."""
        self._want(PinSupport.MODIFICATION)
        if not block.size:
            raise InputInvalid("two PINs without a size cannot be told apart")
        data = bytes([2 * block.size]) + _PADDING * (2 * block.size)
        return self.enter(
            PinModification(
                timeout=timeout,
                format_string=_ASCII,
                block_string=block.size,
                length_format=0,
                old_offset=0,
                new_offset=block.size,
                min_digits=block.min_digits,
                max_digits=block.max_digits,
                apdu=block.header + data,
            )
        )

    def _want(self, support: PinSupport) -> None:
        if not self.support & support:
            raise CapabilityMissing(
                "this reader has no keys for that", capability=f"pin-pad-{support.name}".lower()
            )
