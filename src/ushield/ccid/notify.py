"""Messages of the interrupt endpoint: slot changes and hardware errors (CCID Rev 1.1, 6.3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

from ushield.ccid.errors import FrameInvalid
from ushield.errors import InputInvalid

__all__ = ["HardwareError", "Notification", "SlotChange", "SlotState", "parse_notification"]

_SLOT_CHANGE: Final = 0x50
_HARDWARE_ERROR: Final = 0x51


@dataclass(frozen=True, slots=True)
class SlotState:
    """One slot: is a card present, and did that change since the last notice."""

    present: bool
    changed: bool


@dataclass(frozen=True, slots=True)
class SlotChange:
    """RDR_to_PC_NotifySlotChange: the state of every slot, from slot 0 on."""

    slots: tuple[SlotState, ...]

    def encode(self) -> bytes:
        """The message as sent; unused bits of the last byte are 0."""
        bits = 0
        for index, state in enumerate(self.slots):
            bits |= (state.present | state.changed << 1) << (2 * index)
        return bytes([_SLOT_CHANGE]) + bits.to_bytes((len(self.slots) + 3) // 4, "little")


@dataclass(frozen=True, slots=True)
class HardwareError:
    """RDR_to_PC_HardwareError: the error code met while the command ``seq`` ran on ``slot``.

    Code 1 is overcurrent; others are the maker's.
    """

    slot: int
    seq: int
    error: int

    def encode(self) -> bytes:
        """The message as sent; `InputInvalid` for a field that is no byte."""
        try:
            return bytes([_HARDWARE_ERROR, self.slot, self.seq, self.error])
        except ValueError as error:
            raise InputInvalid(f"a field of a hardware error is out of range: {error}") from error


Notification: TypeAlias = SlotChange | HardwareError


def parse_notification(data: bytes, slot_count: int) -> Notification:
    """Read one interrupt transfer of a reader with ``slot_count`` slots; `FrameInvalid`."""
    if not data:
        raise FrameInvalid("an empty interrupt message", offset=0)
    if data[0] == _SLOT_CHANGE:
        expected = 1 + (slot_count + 3) // 4
        if len(data) != expected:
            raise FrameInvalid(
                f"a slot change for {slot_count} slots has {expected} bytes, not {len(data)}",
                offset=1,
            )
        bits = int.from_bytes(data[1:], "little")
        return SlotChange(
            tuple(
                SlotState(bool(bits >> 2 * index & 1), bool(bits >> 2 * index & 2))
                for index in range(slot_count)
            )
        )
    if data[0] == _HARDWARE_ERROR:
        if len(data) != 4:
            raise FrameInvalid(f"a hardware error has 4 bytes, not {len(data)}", offset=1)
        return HardwareError(slot=data[1], seq=data[2], error=data[3])
    raise FrameInvalid(f"unknown interrupt message {data[0]:#04x}", offset=0)
