"""PC_to_RDR messages as types, both ways: the host encodes them, a device decodes them.

Every message encodes to exactly one frame and every frame that decodes encodes to itself again:
reserved bytes must be 0. Source: CCID Rev 1.1, section 6.1.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, TypeAlias

from ushield.ccid.errors import FrameInvalid
from ushield.ccid.messages import Frame, MessageType, pack_frame, unpack_frame, xfr_block
from ushield.errors import InputInvalid

__all__ = [
    "Abort",
    "Command",
    "Escape",
    "GetParameters",
    "GetSlotStatus",
    "IccClock",
    "IccPowerOff",
    "IccPowerOn",
    "Mechanical",
    "PowerSelect",
    "ResetParameters",
    "Secure",
    "SetDataRateAndClockFrequency",
    "SetParameters",
    "T0Apdu",
    "XfrBlock",
    "decode_command",
]

_RATES: Final = struct.Struct("<II")


class PowerSelect(IntEnum):
    """bPowerSelect: the voltage to apply."""

    AUTOMATIC = 0
    V5 = 1
    V3 = 2
    V1_8 = 3


@dataclass(frozen=True, slots=True)
class IccPowerOn:
    """Power the card, cold or, where it is powered already, warm (6.1.1)."""

    slot: int
    seq: int
    power_select: PowerSelect = PowerSelect.AUTOMATIC

    def encode(self) -> bytes:
        """The frame; `InputInvalid` for a field out of range, as with every message here."""
        return pack_frame(MessageType.ICC_POWER_ON, self.slot, self.seq, self.power_select, 0, 0)


@dataclass(frozen=True, slots=True)
class IccPowerOff:
    """Take the power from the card (6.1.2)."""

    slot: int
    seq: int

    def encode(self) -> bytes:
        """The frame."""
        return pack_frame(MessageType.ICC_POWER_OFF, self.slot, self.seq, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class GetSlotStatus:
    """Ask for the slot's state (6.1.3)."""

    slot: int
    seq: int

    def encode(self) -> bytes:
        """The frame."""
        return pack_frame(MessageType.GET_SLOT_STATUS, self.slot, self.seq, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class XfrBlock:
    """Carry a block, TPDU or APDU to the card (6.1.4).

    ``waiting_multiplier`` is bBWI, ``level_parameter`` is wLevelParameter: see `ChainParameter` for
    the extended APDU level.
    """

    slot: int
    seq: int
    data: bytes
    waiting_multiplier: int = 0
    level_parameter: int = 0

    def encode(self) -> bytes:
        """The frame."""
        return xfr_block(
            self.slot, self.seq, self.data, self.waiting_multiplier, self.level_parameter
        )


@dataclass(frozen=True, slots=True)
class GetParameters:
    """Ask for the protocol parameters in force (6.1.5)."""

    slot: int
    seq: int

    def encode(self) -> bytes:
        """The frame."""
        return pack_frame(MessageType.GET_PARAMETERS, self.slot, self.seq, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class ResetParameters:
    """Go back to the reader's default parameters (6.1.6)."""

    slot: int
    seq: int

    def encode(self) -> bytes:
        """The frame."""
        return pack_frame(MessageType.RESET_PARAMETERS, self.slot, self.seq, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class SetParameters:
    """Set the protocol, 0 or 1, and its parameters in wire form (6.1.7)."""

    slot: int
    seq: int
    protocol: int
    data: bytes

    def encode(self) -> bytes:
        """The frame."""
        return pack_frame(
            MessageType.SET_PARAMETERS, self.slot, self.seq, self.protocol, 0, 0, self.data
        )


@dataclass(frozen=True, slots=True)
class Escape:
    """Bytes for the reader itself, with a meaning of its maker's (6.1.8)."""

    slot: int
    seq: int
    data: bytes

    def encode(self) -> bytes:
        """The frame."""
        return pack_frame(MessageType.ESCAPE, self.slot, self.seq, 0, 0, 0, self.data)


@dataclass(frozen=True, slots=True)
class IccClock:
    """Stop (``True``) or restart the card's clock (6.1.9)."""

    slot: int
    seq: int
    stop: bool

    def encode(self) -> bytes:
        """The frame."""
        return pack_frame(MessageType.ICC_CLOCK, self.slot, self.seq, self.stop, 0, 0)


@dataclass(frozen=True, slots=True)
class T0Apdu:
    """Which class bytes the reader uses for GET RESPONSE and ENVELOPE at T=0 (6.1.10)."""

    slot: int
    seq: int
    changes: int
    class_get_response: int = 0
    class_envelope: int = 0

    def encode(self) -> bytes:
        """The frame."""
        return pack_frame(
            MessageType.T0_APDU,
            self.slot,
            self.seq,
            self.changes,
            self.class_get_response,
            self.class_envelope,
        )


@dataclass(frozen=True, slots=True)
class Secure:
    """Let the person enter a PIN on the reader's own pad (6.1.11).

    ``data`` is bPINOperation and its data structure.
    """

    slot: int
    seq: int
    data: bytes
    waiting_multiplier: int = 0
    level_parameter: int = 0

    def encode(self) -> bytes:
        """The frame."""
        low, high = self.level_parameter & 0xFF, self.level_parameter >> 8
        return pack_frame(
            MessageType.SECURE, self.slot, self.seq, self.waiting_multiplier, low, high, self.data
        )


@dataclass(frozen=True, slots=True)
class Mechanical:
    """Accept, eject, capture, lock or unlock the card: ``function`` 1 to 5 (6.1.12)."""

    slot: int
    seq: int
    function: int

    def encode(self) -> bytes:
        """The frame."""
        return pack_frame(MessageType.MECHANICAL, self.slot, self.seq, self.function, 0, 0)


@dataclass(frozen=True, slots=True)
class Abort:
    """The bulk half of an abort; the control request has the same ``seq`` (6.1.13)."""

    slot: int
    seq: int

    def encode(self) -> bytes:
        """The frame."""
        return pack_frame(MessageType.ABORT, self.slot, self.seq, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class SetDataRateAndClockFrequency:
    """Set both by hand: kHz and bit/s (6.1.14)."""

    slot: int
    seq: int
    clock_frequency: int
    data_rate: int

    def encode(self) -> bytes:
        """The frame."""
        try:
            data = _RATES.pack(self.clock_frequency, self.data_rate)
        except struct.error as error:
            raise InputInvalid(f"a rate is out of range: {error}") from error
        kind = MessageType.SET_DATA_RATE_AND_CLOCK_FREQUENCY
        return pack_frame(kind, self.slot, self.seq, 0, 0, 0, data)


Command: TypeAlias = (
    Abort
    | Escape
    | GetParameters
    | GetSlotStatus
    | IccClock
    | IccPowerOff
    | IccPowerOn
    | Mechanical
    | ResetParameters
    | Secure
    | SetDataRateAndClockFrequency
    | SetParameters
    | T0Apdu
    | XfrBlock
)


def _reserved(*values: int, offset: int) -> None:
    for index, value in enumerate(values):
        if value:
            raise FrameInvalid(
                f"the reserved byte {offset + index} is {value:#04x}, not 0", offset=offset + index
            )


def _no_data(data: bytes) -> None:
    if data:
        raise FrameInvalid(f"this message carries no data, here are {len(data)} bytes", offset=1)


def _bare(kind: Callable[[int, int], Command]) -> Callable[[Frame], Command]:
    def decode(frame: Frame) -> Command:
        _, slot, seq, first, second, third, data = frame
        _no_data(data)
        _reserved(first, second, third, offset=7)
        return kind(slot, seq)

    return decode


def _power_on(frame: Frame) -> Command:
    _, slot, seq, select, second, third, data = frame
    _no_data(data)
    if select > PowerSelect.V1_8:
        raise FrameInvalid(f"unknown bPowerSelect {select:#04x}", offset=7)
    _reserved(second, third, offset=8)
    return IccPowerOn(slot, seq, PowerSelect(select))


def _xfr_block(frame: Frame) -> Command:
    _, slot, seq, multiplier, low, high, data = frame
    return XfrBlock(slot, seq, data, multiplier, low | high << 8)


def _secure(frame: Frame) -> Command:
    _, slot, seq, multiplier, low, high, data = frame
    return Secure(slot, seq, data, multiplier, low | high << 8)


def _set_parameters(frame: Frame) -> Command:
    _, slot, seq, protocol, second, third, data = frame
    _reserved(second, third, offset=8)
    return SetParameters(slot, seq, protocol, data)


def _escape(frame: Frame) -> Command:
    _, slot, seq, first, second, third, data = frame
    _reserved(first, second, third, offset=7)
    return Escape(slot, seq, data)


def _clock(frame: Frame) -> Command:
    _, slot, seq, command, second, third, data = frame
    _no_data(data)
    if command > 1:
        raise FrameInvalid(f"unknown bClockCommand {command:#04x}", offset=7)
    _reserved(second, third, offset=8)
    return IccClock(slot, seq, stop=bool(command))


def _t0_apdu(frame: Frame) -> Command:
    _, slot, seq, changes, get_response, envelope, data = frame
    _no_data(data)
    if changes > 3:
        raise FrameInvalid(f"unknown bmChanges {changes:#04x}", offset=7)
    return T0Apdu(slot, seq, changes, get_response, envelope)


def _mechanical(frame: Frame) -> Command:
    _, slot, seq, function, second, third, data = frame
    _no_data(data)
    if not 1 <= function <= 5:
        raise FrameInvalid(f"unknown bFunction {function:#04x}", offset=7)
    _reserved(second, third, offset=8)
    return Mechanical(slot, seq, function)


def _rates(frame: Frame) -> Command:
    _, slot, seq, first, second, third, data = frame
    if len(data) != _RATES.size:
        raise FrameInvalid(f"two rates take {_RATES.size} bytes, not {len(data)}", offset=1)
    _reserved(first, second, third, offset=7)
    return SetDataRateAndClockFrequency(slot, seq, *_RATES.unpack(data))


_DECODERS: Final[dict[int, Callable[[Frame], Command]]] = {
    MessageType.ICC_POWER_ON: _power_on,
    MessageType.ICC_POWER_OFF: _bare(IccPowerOff),
    MessageType.GET_SLOT_STATUS: _bare(GetSlotStatus),
    MessageType.XFR_BLOCK: _xfr_block,
    MessageType.GET_PARAMETERS: _bare(GetParameters),
    MessageType.RESET_PARAMETERS: _bare(ResetParameters),
    MessageType.SET_PARAMETERS: _set_parameters,
    MessageType.ESCAPE: _escape,
    MessageType.ICC_CLOCK: _clock,
    MessageType.T0_APDU: _t0_apdu,
    MessageType.SECURE: _secure,
    MessageType.MECHANICAL: _mechanical,
    MessageType.ABORT: _bare(Abort),
    MessageType.SET_DATA_RATE_AND_CLOCK_FREQUENCY: _rates,
}


def decode_command(frame: bytes) -> Command:
    """Read one PC_to_RDR message; `FrameInvalid`, with the offset of the first wrong field."""
    parts = unpack_frame(frame)
    decoder = _DECODERS.get(parts[0])
    if decoder is None:
        raise FrameInvalid(f"{parts[0]:#04x} is no PC_to_RDR message", offset=0)
    return decoder(parts)
