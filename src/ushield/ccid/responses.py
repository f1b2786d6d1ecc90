"""RDR_to_PC messages as types, both ways: a device encodes them, the host decodes them.

Strict like the commands: a frame that decodes encodes to itself again. The reader's hot path reads
frames without them. Source: CCID Rev 1.1, section 6.2.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final, TypeAlias

from ushield.ccid.errors import FrameInvalid
from ushield.ccid.messages import (
    ChainParameter,
    CommandStatus,
    IccStatus,
    MessageType,
    data_block,
    escape_data,
    pack_frame,
    parameters_block,
    slot_status,
    unpack_frame,
)
from ushield.errors import InputInvalid

__all__ = [
    "DataBlock",
    "DataRateAndClockFrequency",
    "EscapeData",
    "Outcome",
    "Parameters",
    "Response",
    "SlotStatus",
    "decode_response",
]

_RATES: Final = struct.Struct("<II")


@dataclass(frozen=True, slots=True)
class Outcome:
    """bStatus and bError: the card's state, how the command went, and why it failed (6.2.6).

    ``error`` is the slot error of a failed command, or the multiplier of a time extension.
    """

    icc: IccStatus = IccStatus.ACTIVE
    command: CommandStatus = CommandStatus.PROCESSED
    error: int = 0

    @property
    def status(self) -> int:
        """bStatus."""
        return self.icc | self.command


@dataclass(frozen=True, slots=True)
class DataBlock:
    """An ATR, or what the card answered (6.2.1)."""

    slot: int
    seq: int
    outcome: Outcome
    data: bytes
    chain: ChainParameter = ChainParameter.WHOLE

    def encode(self) -> bytes:
        """The frame; `InputInvalid` for a field out of range, as with every message here."""
        outcome = self.outcome
        return data_block(self.slot, self.seq, self.data, outcome.status, outcome.error, self.chain)


@dataclass(frozen=True, slots=True)
class SlotStatus:
    """The state of the slot (6.2.2); ``clock`` is 0 running, 1 to 3 stopped (low, high, unsaid)."""

    slot: int
    seq: int
    outcome: Outcome
    clock: int = 0

    def encode(self) -> bytes:
        """The frame."""
        outcome = self.outcome
        return slot_status(self.slot, self.seq, outcome.status, outcome.error, self.clock)


@dataclass(frozen=True, slots=True)
class Parameters:
    """The protocol and its parameters in wire form (6.2.3)."""

    slot: int
    seq: int
    outcome: Outcome
    protocol: int
    data: bytes

    def encode(self) -> bytes:
        """The frame."""
        outcome = self.outcome
        return parameters_block(
            self.slot, self.seq, self.protocol, self.data, outcome.status, outcome.error
        )


@dataclass(frozen=True, slots=True)
class EscapeData:
    """What the reader itself answers (6.2.4)."""

    slot: int
    seq: int
    outcome: Outcome
    data: bytes

    def encode(self) -> bytes:
        """The frame."""
        outcome = self.outcome
        return escape_data(self.slot, self.seq, self.data, outcome.status, outcome.error)


@dataclass(frozen=True, slots=True)
class DataRateAndClockFrequency:
    """The rates now in force: kHz and bit/s (6.2.5)."""

    slot: int
    seq: int
    outcome: Outcome
    clock_frequency: int
    data_rate: int

    def encode(self) -> bytes:
        """The frame."""
        try:
            data = _RATES.pack(self.clock_frequency, self.data_rate)
        except struct.error as error:
            raise InputInvalid(f"a rate is out of range: {error}") from error
        outcome = self.outcome
        kind = MessageType.DATA_RATE_AND_CLOCK_FREQUENCY
        return pack_frame(kind, self.slot, self.seq, outcome.status, outcome.error, 0, data)


Response: TypeAlias = DataBlock | DataRateAndClockFrequency | EscapeData | Parameters | SlotStatus


def _outcome(status: int, error: int) -> Outcome:
    icc, reserved, command = status & 0x03, status & 0x3C, status & 0xC0
    if icc == 3 or reserved or command == 0xC0:
        raise FrameInvalid(f"bStatus {status:#04x} uses reserved bits", offset=7)
    return Outcome(IccStatus(icc), CommandStatus(command), error)


def decode_response(frame: bytes) -> Response:
    """Read one RDR_to_PC message; `FrameInvalid`, with the offset of the first wrong field."""
    kind, slot, seq, status, error, third, data = unpack_frame(frame)
    if kind not in _RESPONSE_TYPES:
        raise FrameInvalid(f"{kind:#04x} is no RDR_to_PC message", offset=0)
    outcome = _outcome(status, error)
    if kind == MessageType.DATA_BLOCK:
        if third not in _CHAIN_PARAMETERS:
            raise FrameInvalid(f"unknown bChainParameter {third:#04x}", offset=9)
        return DataBlock(slot, seq, outcome, data, ChainParameter(third))
    if kind == MessageType.PARAMETERS:
        return Parameters(slot, seq, outcome, third, data)
    if kind == MessageType.SLOT_STATUS:
        if data:
            raise FrameInvalid(f"a slot status carries no data, here are {len(data)}", offset=1)
        if third > 3:
            raise FrameInvalid(f"unknown bClockStatus {third:#04x}", offset=9)
        return SlotStatus(slot, seq, outcome, third)
    if third:
        raise FrameInvalid(f"the reserved byte 9 is {third:#04x}, not 0", offset=9)
    if kind == MessageType.ESCAPE_DATA:
        return EscapeData(slot, seq, outcome, data)
    if len(data) != _RATES.size:
        raise FrameInvalid(f"two rates take {_RATES.size} bytes, not {len(data)}", offset=1)
    return DataRateAndClockFrequency(slot, seq, outcome, *_RATES.unpack(data))


_RESPONSE_TYPES: Final = frozenset(kind for kind in MessageType if kind >= 0x80)
_CHAIN_PARAMETERS: Final = frozenset(ChainParameter)
