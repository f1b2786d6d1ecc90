"""The T=1 block: prologue, information, epilogue (ISO/IEC 7816-3, clause 11.3)."""

from __future__ import annotations

from enum import Enum, IntEnum
from functools import reduce
from operator import xor
from typing import Final, NamedTuple

from ushield.errors import ProtocolViolation

__all__ = [
    "MAX_INFORMATION",
    "Block",
    "BlockInvalid",
    "Edc",
    "Supervision",
    "crc16",
    "decode_block",
    "encode_block",
    "i_block",
    "r_block",
    "s_request",
    "s_response",
]

MAX_INFORMATION: Final = 254

MORE: Final = 0x20
R_BLOCK: Final = 0x80
S_REQUEST: Final = 0xC0
S_RESPONSE: Final = 0xE0


class Supervision(IntEnum):
    """What an S-block is about: the low bits of its PCB."""

    RESYNCH = 0
    IFS = 1
    ABORT = 2
    WTX = 3


class BlockInvalid(ProtocolViolation):
    """Bytes that are no block; ``corrupted`` if only the epilogue tells so."""

    code = "block-invalid"
    carries = ("corrupted",)

    def __init__(self, message: str, *, corrupted: bool = False) -> None:
        super().__init__(message)
        self.corrupted = corrupted


def _crc_table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = value >> 1 ^ (0x8408 if value & 1 else 0)
        table.append(value)
    return tuple(table)


_CRC_TABLE: Final = _crc_table()


def crc16(data: bytes) -> int:
    """The CRC of ISO/IEC 13239 as T=1 cards use it: start at 0xFFFF, no final inversion."""
    value = 0xFFFF
    for byte in data:
        value = value >> 8 ^ _CRC_TABLE[(value ^ byte) & 0xFF]
    return value


class Edc(Enum):
    """Which error detection code is in the epilogue; the value is its length in bytes."""

    LRC = 1
    CRC = 2

    def compute(self, data: bytes) -> bytes:
        """The code over prologue and information, high byte first."""
        if self is Edc.LRC:
            return bytes([reduce(xor, data, 0)])
        return crc16(data).to_bytes(2, "big")


class Block(NamedTuple):
    """A block without its epilogue. NAD is 0 always: no addressing is used."""

    pcb: int
    information: bytes = b""

    @property
    def is_i(self) -> bool:
        """An information block."""
        return self.pcb < R_BLOCK

    @property
    def is_r(self) -> bool:
        """A receive-ready block."""
        return self.pcb & 0xC0 == R_BLOCK

    @property
    def is_s_request(self) -> bool:
        """A supervisory block that asks."""
        return self.pcb & 0xE0 == S_REQUEST

    @property
    def sequence(self) -> int:
        """N(S) of an I-block, N(R) of an R-block."""
        return self.pcb >> 6 & 1 if self.is_i else self.pcb >> 4 & 1

    @property
    def more(self) -> bool:
        """The M bit of an I-block."""
        return bool(self.pcb & MORE)


def i_block(sequence: int, information: bytes, *, more: bool = False) -> Block:
    """I(N(S), M)."""
    return Block(sequence << 6 | (MORE if more else 0), information)


def r_block(sequence: int, error: int = 0) -> Block:
    """R(N(R)); ``error`` is 0 for none, 1 for a wrong EDC, 2 for another error."""
    return Block(R_BLOCK | sequence << 4 | error)


def s_request(kind: Supervision, information: bytes = b"") -> Block:
    """S(.. request)."""
    return Block(S_REQUEST | kind, information)


def s_response(kind: Supervision, information: bytes = b"") -> Block:
    """S(.. response)."""
    return Block(S_RESPONSE | kind, information)


def encode_block(block: Block, edc: Edc) -> bytes:
    """The block as sent, from NAD to the epilogue."""
    body = bytes([0, block.pcb, len(block.information)]) + block.information
    return body + edc.compute(body)


def decode_block(data: bytes, edc: Edc) -> Block:
    """Read exactly one block; `BlockInvalid` for what clause 11.3.2 forbids."""
    if len(data) < 3 + edc.value:
        raise BlockInvalid(f"a block has at least {3 + edc.value} bytes, this one {len(data)}")
    body, epilogue = data[: -edc.value], data[-edc.value :]
    if edc.compute(body) != epilogue:
        raise BlockInvalid(f"wrong {edc.name} in a block", corrupted=True)
    nad, pcb, length = body[:3]
    if nad:
        raise BlockInvalid(f"NAD {nad:#04x} where no addressing is used")
    if length > MAX_INFORMATION:
        raise BlockInvalid("LEN 0xff is reserved")
    if length != len(body) - 3:
        raise BlockInvalid(f"LEN is {length}, the information field has {len(body) - 3} bytes")
    block = Block(pcb, body[3:])
    _check_pcb(block)
    return block


def _check_pcb(block: Block) -> None:
    pcb, length = block.pcb, len(block.information)
    if block.is_i:
        valid = not pcb & 0x1F
    elif block.is_r:
        valid = not pcb & 0x20 and pcb & 0x0F <= 2 and not length
    else:
        kind = pcb & 0x1F
        with_byte = kind in {Supervision.IFS, Supervision.WTX}
        valid = kind <= Supervision.WTX and length == with_byte
    if not valid:
        raise BlockInvalid(f"PCB {pcb:#04x} with {length} bytes of information is no known block")
