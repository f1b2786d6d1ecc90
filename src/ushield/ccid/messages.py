"""CCID bulk messages as frames: the ten-byte header, and the few built for every APDU.

Both sides use these: the host unpacks what a device sends, a virtual device unpacks what the host
sends. The typed messages stand on them (`ushield.ccid.commands`, `ushield.ccid.responses`). Source:
CCID Rev 1.1, section 6.
"""

from __future__ import annotations

import struct
from enum import IntEnum, IntFlag
from typing import Final, TypeAlias

from ushield.ccid.errors import FrameInvalid
from ushield.errors import InputInvalid

__all__ = [
    "HEADER",
    "HEADER_LENGTH",
    "MAX_EXTENDED_COMMAND",
    "MAX_EXTENDED_RESPONSE",
    "ChainParameter",
    "CommandStatus",
    "Frame",
    "IccStatus",
    "MessageType",
    "answer_type",
    "data_block",
    "escape_data",
    "pack_frame",
    "parameters_block",
    "slot_status",
    "time_extension",
    "unpack_frame",
    "xfr_block",
]

HEADER: Final = struct.Struct("<BIBBBBB")
"""bMessageType, dwLength, bSlot, bSeq, and three bytes that depend on the message."""

HEADER_LENGTH: Final = HEADER.size

MAX_EXTENDED_COMMAND: Final = 4 + 3 + 65535 + 2
"""Bytes of the longest command APDU: what dwMaxCCIDMessageLength leaves room for (section 5.1)."""

MAX_EXTENDED_RESPONSE: Final = 65536 + 2
"""Bytes of the longest response APDU (ISO/IEC 7816-4, clause 5.2)."""

_XFR_HEADER: Final = struct.Struct("<BIBBBH")


class MessageType(IntEnum):
    """bMessageType of every bulk message, commands below 0x80 and answers from there."""

    SET_PARAMETERS = 0x61
    ICC_POWER_ON = 0x62
    ICC_POWER_OFF = 0x63
    GET_SLOT_STATUS = 0x65
    SECURE = 0x69
    T0_APDU = 0x6A
    ESCAPE = 0x6B
    GET_PARAMETERS = 0x6C
    RESET_PARAMETERS = 0x6D
    ICC_CLOCK = 0x6E
    XFR_BLOCK = 0x6F
    MECHANICAL = 0x71
    ABORT = 0x72
    SET_DATA_RATE_AND_CLOCK_FREQUENCY = 0x73
    DATA_BLOCK = 0x80
    SLOT_STATUS = 0x81
    PARAMETERS = 0x82
    ESCAPE_DATA = 0x83
    DATA_RATE_AND_CLOCK_FREQUENCY = 0x84


class IccStatus(IntEnum):
    """bmICCStatus, bits 0 and 1 of bStatus (section 6.2.6)."""

    ACTIVE = 0
    INACTIVE = 1
    ABSENT = 2


class CommandStatus(IntFlag):
    """bmCommandStatus, bits 6 and 7 of bStatus (section 6.2.6)."""

    PROCESSED = 0x00
    FAILED = 0x40
    TIME_EXTENSION = 0x80


class ChainParameter(IntEnum):
    """wLevelParameter and bChainParameter at extended APDU level (sections 6.1.4 and 6.2.1)."""

    WHOLE = 0x00
    FIRST = 0x01
    LAST = 0x02
    MIDDLE = 0x03
    CONTINUE = 0x10


_ANSWER_TYPES: Final[dict[int, int]] = {
    MessageType.SET_PARAMETERS: MessageType.PARAMETERS,
    MessageType.ICC_POWER_ON: MessageType.DATA_BLOCK,
    MessageType.ICC_POWER_OFF: MessageType.SLOT_STATUS,
    MessageType.GET_SLOT_STATUS: MessageType.SLOT_STATUS,
    MessageType.SECURE: MessageType.DATA_BLOCK,
    MessageType.T0_APDU: MessageType.SLOT_STATUS,
    MessageType.ESCAPE: MessageType.ESCAPE_DATA,
    MessageType.GET_PARAMETERS: MessageType.PARAMETERS,
    MessageType.RESET_PARAMETERS: MessageType.PARAMETERS,
    MessageType.ICC_CLOCK: MessageType.SLOT_STATUS,
    MessageType.XFR_BLOCK: MessageType.DATA_BLOCK,
    MessageType.MECHANICAL: MessageType.SLOT_STATUS,
    MessageType.ABORT: MessageType.SLOT_STATUS,
    MessageType.SET_DATA_RATE_AND_CLOCK_FREQUENCY: MessageType.DATA_RATE_AND_CLOCK_FREQUENCY,
}


def answer_type(command_type: int) -> int:
    """Which RDR_to_PC message answers a PC_to_RDR message (section 6.1).

    A command type that CCID does not know is answered by a slot status.
    """
    return int(_ANSWER_TYPES.get(command_type, MessageType.SLOT_STATUS))


Frame: TypeAlias = tuple[int, int, int, int, int, int, bytes]
"""bMessageType, bSlot, bSeq, the three header bytes that depend on the message, abData."""


def unpack_frame(frame: bytes) -> Frame:
    """Take a message apart, either direction; `FrameInvalid` unless dwLength is what follows."""
    length = len(frame) - HEADER_LENGTH
    if length < 0:
        raise FrameInvalid(
            f"a CCID message has at least {HEADER_LENGTH} bytes, this one {len(frame)}", offset=0
        )
    kind, announced, slot, seq, first, second, third = HEADER.unpack_from(frame)
    if announced != length:
        raise FrameInvalid(
            f"a CCID message announces {announced} bytes of data and brings {length}", offset=1
        )
    return kind, slot, seq, first, second, third, frame[HEADER_LENGTH:]


def pack_frame(  # noqa: PLR0917 (the fields of a frame, in their order)
    kind: int, slot: int, seq: int, first: int, second: int, third: int, data: bytes = b""
) -> bytes:
    """Put a message together, either direction; `InputInvalid` for a field that is no byte."""
    try:
        return HEADER.pack(kind, len(data), slot, seq, first, second, third) + data
    except struct.error as error:
        raise InputInvalid(f"a field of a CCID message is out of range: {error}") from error


def xfr_block(
    slot: int, seq: int, data: bytes, waiting_multiplier: int = 0, level_parameter: int = 0
) -> bytes:
    """PC_to_RDR_XfrBlock (section 6.1.4)."""
    try:
        return (
            _XFR_HEADER.pack(0x6F, len(data), slot, seq, waiting_multiplier, level_parameter) + data
        )
    except struct.error as error:
        raise InputInvalid(f"a field of a CCID message is out of range: {error}") from error


def data_block(  # noqa: PLR0917 - as above
    slot: int, seq: int, data: bytes, status: int = 0, error: int = 0, chain: int = 0
) -> bytes:
    """RDR_to_PC_DataBlock (section 6.2.1); ``status`` is bStatus, ICC and command status in one."""
    return pack_frame(MessageType.DATA_BLOCK, slot, seq, status, error, chain, data)


def slot_status(slot: int, seq: int, status: int = 0, error: int = 0, clock: int = 0) -> bytes:
    """RDR_to_PC_SlotStatus (section 6.2.2)."""
    return pack_frame(MessageType.SLOT_STATUS, slot, seq, status, error, clock)


def parameters_block(  # noqa: PLR0917 - as above
    slot: int, seq: int, protocol: int, data: bytes, status: int = 0, error: int = 0
) -> bytes:
    """RDR_to_PC_Parameters (section 6.2.3); ``data`` is abProtocolDataStructure."""
    return pack_frame(MessageType.PARAMETERS, slot, seq, status, error, protocol, data)


def escape_data(slot: int, seq: int, data: bytes, status: int = 0, error: int = 0) -> bytes:
    """RDR_to_PC_Escape (section 6.2.4)."""
    return pack_frame(MessageType.ESCAPE_DATA, slot, seq, status, error, 0, data)


def time_extension(slot: int, seq: int, multiplier: int, command_type: int) -> bytes:
    """The answer that asks for ``multiplier`` times the usual wait (section 6.2.6, bStatus 0x80).

    It has the type of the command's own answer, so that a host that looks at the type first still
    takes it.
    """
    status = CommandStatus.TIME_EXTENSION
    return pack_frame(answer_type(command_type), slot, seq, status, multiplier, 0)
