"""A card that speaks T=1 as it likes.

The first byte chooses code and sizes. Then each answer is bytes, or a block with the right epilogue
and anything before it, or silence.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from tests.fuzz.source import Source, blob
from tests.fuzz.target import Target
from ushield.ccid.block import (
    MAX_INFORMATION,
    Block,
    BlockInvalid,
    Edc,
    Supervision,
    decode_block,
    encode_block,
    i_block,
    r_block,
    s_request,
    s_response,
)
from ushield.ccid.messages import MAX_EXTENDED_RESPONSE
from ushield.ccid.t1 import BlockProgram, T1Host
from ushield.errors import ApduInvalid, TransportError

__all__ = ["TARGET"]

_COMMANDS: Final = (bytes(5), bytes(31), bytes(40), bytes(300), bytes(1000), b"")
_MOST_BLOCKS: Final = 4096
_LIKELY: Final = (
    i_block(0, b"\x90\x00"),
    i_block(1, b"\x90\x00"),
    i_block(0, b"data", more=True),
    i_block(1, b"data", more=True),
    r_block(0),
    r_block(1),
    r_block(0, 1),
    r_block(1, 2),
    s_request(Supervision.WTX, b"\x02"),
    s_request(Supervision.IFS, b"\x08"),
    s_request(Supervision.ABORT),
    s_response(Supervision.RESYNCH),
    s_response(Supervision.IFS, b"\xfe"),
)
_SILENT, _GARBAGE, _BLOCK = 0xFF, 0xFE, 0xFD


def _run(data: bytes) -> None:
    source = Source(data)
    head = source.byte()
    edc = (Edc.LRC, Edc.CRC)[head & 1]
    host = T1Host(edc, (32, 1, 254)[head >> 1 & 3 if head >> 1 & 3 < 3 else 0])
    while source:
        choice = source.byte()
        if choice == 0xFF:
            _drive(host.negotiate_ifsd(source.byte() or 1), source, edc)
        else:
            response = _drive(host.transmit(source.pick(_COMMANDS)), source, edc)
            assert response is None or len(response) <= MAX_EXTENDED_RESPONSE


def _drive(
    program: BlockProgram[bytes] | BlockProgram[None], source: Source, edc: Edc
) -> bytes | None:
    blocks = 0
    try:
        sent = next(program)
        while True:
            blocks += 1
            assert blocks < _MOST_BLOCKS
            block = decode_block(sent.data, edc)
            assert len(block.information) <= MAX_INFORMATION
            sent = program.send(_answer(source, edc))
    except StopIteration as finished:
        response: bytes | None = finished.value
        return response
    except (TransportError, ApduInvalid):
        return None


def _answer(source: Source, edc: Edc) -> bytes | None:
    if not source:
        return None
    choice = source.byte()
    if choice == _SILENT:
        return None
    if choice == _GARBAGE:
        garbage = source.blob()
        with suppress(BlockInvalid):
            assert encode_block(decode_block(garbage, edc), edc) == garbage
        return garbage
    if choice == _BLOCK:
        return encode_block(Block(source.byte(), source.blob()[:255]), edc)
    return encode_block(_LIKELY[choice % len(_LIKELY)], edc)


def _seeds() -> Iterator[bytes]:
    for head in range(6):
        for command in range(len(_COMMANDS)):
            for first in range(len(_LIKELY)):
                yield bytes((head, 0, command, first, 5, 4, 5, 4, 0, 1, 0xFF, 0, 11, 0))
        yield bytes((head, 0xFF, 254, 12, 0, 0, 2, 3, 2, 3, 0, _GARBAGE)) + blob(bytes(5))
        yield bytes((head, 0, 0, _BLOCK, 0x20)) + blob(bytes(254)) + bytes(6)


TARGET = Target(_run, _seeds, max_length=8192)
