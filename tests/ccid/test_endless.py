"""Readers and cards that never come to an end: neither time nor memory is theirs to take."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Final

import pytest

from tests.ccid.card_t1 import frame as block
from tests.ccid.simulation import ATR_T0, ATR_T1, Clock, descriptor
from ushield.ccid import CcidReader, ClassDescriptor, Feature, Program, Receive, Send
from ushield.ccid.messages import data_block, slot_status, time_extension
from ushield.errors import TransportError

TIMEOUT: Final = 3.0
PACE: Final = 0.001
"""Seconds that each step costs: a device that answers at once is the busiest one."""
MOST_MEMORY: Final = 256 * 1024

EXTENDED = descriptor(Feature.EXTENDED_APDU)
TPDU = descriptor(Feature.TPDU)
COMMAND: Final = bytes.fromhex("00B0000000")


def _drive(program: Program[Any], answers: Callable[[bytes], Iterator[bytes]], clock: Clock) -> int:
    """Run ``program`` against what follows each frame it sends; how many steps it took."""
    steps = 0
    received: bytes | None = None
    coming: Iterator[bytes] = iter(())
    with suppress(StopIteration):
        while True:
            step = program.send(received)
            received = None
            steps += 1
            clock.now += PACE
            if isinstance(step, Send):
                coming = answers(step.data)
            elif isinstance(step, Receive):
                received = next(coming)
    return steps


def _powered(described: ClassDescriptor, atr: bytes, clock: Clock) -> CcidReader:
    def behaves(sent: bytes) -> Iterator[bytes]:
        slot, seq = sent[5], sent[6]
        yield data_block(slot, seq, atr) if sent[0] == 0x62 else slot_status(slot, seq, 0)

    reader = CcidReader(described, clock=clock)
    _drive(reader.power_on(0), behaves, clock)
    return reader


def _time_for_ever(sent: bytes) -> Iterator[bytes]:
    while True:
        yield time_extension(0, sent[6], 255, sent[0])


def _old_answers(sent: bytes) -> Iterator[bytes]:
    while True:
        yield data_block(0, sent[6] ^ 1, bytes(200))


def _chain_of_single_bytes(sent: bytes) -> Iterator[bytes]:
    begun = sent[8:10] == b"\x10\x00"
    yield data_block(0, sent[6], b"x", 0, 0, 3 if begun else 1)


def _chain_of_full_messages(sent: bytes) -> Iterator[bytes]:
    begun = sent[8:10] == b"\x10\x00"
    yield data_block(0, sent[6], bytes(261), 0, 0, 3 if begun else 1)


def _more_data_without_end(sent: bytes) -> Iterator[bytes]:
    yield data_block(0, sent[6], b"x\x61\x00")


class _Blocks:
    """A card that answers each block by one of ``pcbs`` in turn, with ``information``."""

    def __init__(self, information: bytes, *pcbs: int) -> None:
        self.information = information
        self.pcbs = pcbs
        self.turn = 0

    def __call__(self, sent: bytes) -> Iterator[bytes]:
        pcb = self.pcbs[self.turn % len(self.pcbs)]
        self.turn += 1
        yield data_block(0, sent[6], block(pcb, self.information))


@pytest.mark.parametrize(
    ("described", "atr", "answers"),
    [
        (EXTENDED, ATR_T0, _time_for_ever),
        (EXTENDED, ATR_T0, _old_answers),
        (EXTENDED, ATR_T0, _chain_of_single_bytes),
        (EXTENDED, ATR_T0, _chain_of_full_messages),
        (TPDU, ATR_T0, _time_for_ever),
        (TPDU, ATR_T0, _more_data_without_end),
        (TPDU, ATR_T1, _Blocks(b"\xff", 0xC3)),
        (TPDU, ATR_T1, _Blocks(b"\x10", 0xC1)),
        (TPDU, ATR_T1, _Blocks(b"x", 0x20, 0x60)),
        (TPDU, ATR_T1, _Blocks(bytes(32), 0x20, 0x60)),
        (TPDU, ATR_T1, _Blocks(b"", 0x80, 0x90)),
    ],
    ids=[
        "time extensions",
        "answers to old commands",
        "a chained response of single bytes",
        "a chained response of full messages",
        "time extensions at TPDU level",
        "61xx",
        "S(WTX)",
        "S(IFS)",
        "a chain of single bytes at T=1",
        "a chain of full blocks at T=1",
        "R-blocks",
    ],
)
def test_a_device_without_end_ends_in_time_and_in_little_memory(
    described: ClassDescriptor, atr: bytes, answers: Callable[[bytes], Iterator[bytes]]
) -> None:
    clock = Clock()
    reader = _powered(described, atr, clock)
    started = clock.now
    tracemalloc.start()
    try:
        with suppress(TransportError):
            _drive(reader.transmit(0, COMMAND, TIMEOUT), answers, clock)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert clock.now - started <= TIMEOUT + 2 * PACE
    assert peak < MOST_MEMORY
