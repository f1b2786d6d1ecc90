"""A reader that says anything: descriptor, activation, exchange and recovery.

Its answers are nonsense, or almost right, or right up to a card that lies. However that went, it
then behaves, and an APDU must go through.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from typing import Any, Final

from tests.ccid.simulation import ATR_T0, ATR_T1, Pipes, SimulatedReader, descriptor
from tests.fuzz.source import Source, blob
from tests.fuzz.target import Target
from ushield.ccid import CcidReader, ClassDescriptor, Control, Feature, Quirks
from ushield.ccid.errors import EndpointHalted
from ushield.ccid.messages import CommandStatus, data_block, unpack_frame
from ushield.ccid.pin_entry import PinVerification
from ushield.errors import (
    CapabilityMissing,
    InputInvalid,
    TransferFailed,
    TransferTimeout,
    TransportError,
)

__all__ = ["TARGET"]

_T0_ATR: Final = bytes.fromhex("3B9F96803FC7828031E073F62157574A4D020B60010051")
_ATRS: Final = (ATR_T0, ATR_T1, _T0_ATR, bytes.fromhex("3BD518FF8191FE1FC38073C8211309"))
_MANUAL: Final = 0
_DESCRIPTORS: Final = (
    descriptor(),
    descriptor(max_message_length=64, slots=2),
    descriptor(Feature.SHORT_APDU),
    descriptor(Feature.SHORT_APDU, features=_MANUAL, data_rate_count=3),
    descriptor(Feature.TPDU),
    descriptor(Feature.TPDU, features=_MANUAL, data_rate_count=2),
    descriptor(Feature.TPDU, features=Feature.AUTO_VOLTAGE | Feature.AUTO_PPS, slots=3),
    descriptor(Feature.EXTENDED_APDU, features=_MANUAL),
)
_QUIRKS: Final = (Quirks(), Quirks(aborts=False), Quirks(lists_rates=False, read_timeout=0.5))
_COMMANDS: Final = (
    bytes.fromhex("00A4040000"),
    bytes.fromhex("00A40400023F00"),
    bytes.fromhex("00CB3FFF025C0000"),
    bytes.fromhex("00200081"),
    bytes.fromhex("00DB3FFF") + b"\0\x02\x58" + bytes(600) + b"\0\0",
    bytes.fromhex("805000000002580000") + bytes(300),
)
_TIMEOUT: Final = 5.0
_LONGEST: Final = 600.0
_HEALTHY: Final = bytes.fromhex("00B0000004")
_GOOD: Final = b"good\x90\x00"

_Programs = tuple[Callable[[CcidReader, int, Source], Generator[Any, Any, Any]], ...]


class _LyingReader(SimulatedReader):
    """A reader whose every answer the fuzzer chooses, until ``honest``."""

    def __init__(self, source: Source, atr: bytes, max_message_length: int) -> None:
        super().__init__(self._card, atr=atr, max_message_length=max_message_length)
        self.source = source
        self.honest = False

    def _card(self, command: bytes) -> bytes | None:
        return self.source.blob() or None

    def write(self, frame: bytes) -> None:
        if self.honest:
            super().write(frame)
            return
        Pipes.write(self, frame)
        self.clock.now += 0.01
        kind, slot, seq, first, second, third, data = unpack_frame(frame)
        for _ in range(4):
            choice = self.source.byte()
            if choice < 0x60:
                self.incoming.append(self.reply(kind, slot, seq, (first, second, third), data))
            elif choice < 0x80:
                self.incoming.append(self._almost(slot, seq))
            elif choice < 0x90:
                self.incoming.append(self.source.blob())
            elif choice < 0xA0:
                extension = data_block(slot, seq, b"", CommandStatus.TIME_EXTENSION)
                self.incoming.append(extension[:8] + bytes((self.source.byte(),)) + extension[9:])
                continue
            elif choice < 0xA8:
                self.incoming.append(EndpointHalted("stalled"))
            elif choice < 0xB0:
                self.incoming.append(TransferFailed("failed"))
            elif choice < 0xC0:
                self.icc = self.source.byte() % 3
                self.incoming.append(self.reply(kind, slot, seq, (first, second, third), data))
            # What is above says nothing; what is odd says more.
            if not choice & 1:
                return

    def _almost(self, slot: int, seq: int) -> bytes:
        """A whole frame with one or more fields of the fuzzer's."""
        source = self.source
        kind, changes = source.pick((0x80, 0x81, 0x82, 0x83, 0x84, 0x50, 0xFF)), source.byte()
        if changes & 1:
            slot = source.byte()
        if changes & 2:
            seq = source.byte()
        status = source.byte() if changes & 4 else 0
        error = source.byte() if changes & 8 else 0
        third = source.byte() if changes & 16 else 0
        data = source.blob() if changes & 32 else b"\x90\x00"
        frame = data_block(slot, seq, data, status, error, third)
        return bytes((kind,)) + frame[1:]

    def control(self, step: Control) -> bytes | None:
        Pipes.control(self, step)
        if self.honest:
            return b"" if step.length else None
        self.clock.now += 0.01
        choice = self.source.byte()
        if choice & 0xC0 == 0xC0:
            raise EndpointHalted("stalled")
        if choice & 0xC0 == 0x80:
            self.clock.now += step.timeout
            raise TransferTimeout("nothing came")
        return self.source.take(step.length) if step.length else None


_PIN_ENTRY: Final = PinVerification(1, 0x82, 0, 0, 4, 8, bytes.fromhex("0020008100"))
_PROGRAMS: Final[_Programs] = (
    lambda reader, slot, source: reader.transmit(slot, source.pick(_COMMANDS), _TIMEOUT),
    lambda reader, slot, source: reader.power_on(slot),
    lambda reader, slot, source: reader.open(),
    lambda reader, slot, source: reader.slot_status(slot),
    lambda reader, slot, source: reader.transmit(slot, source.blob(), _TIMEOUT),
    lambda reader, slot, source: reader.power_off(slot),
    lambda reader, slot, source: reader.abort(slot),
    lambda reader, slot, source: reader.resynchronise(slot),
    lambda reader, slot, source: reader.escape(slot, source.blob(), _TIMEOUT),
    lambda reader, slot, source: reader.secure(slot, _PIN_ENTRY),
    lambda reader, slot, source: reader.get_parameters(slot),
    lambda reader, slot, source: reader.reset_parameters(slot),
    lambda reader, slot, source: reader.data_rates(),
    lambda reader, slot, source: reader.clock_frequencies(),
)
_HALF_WAY: Final = 0x80


def _run(data: bytes) -> None:
    source = Source(data)
    try:
        described = _describe(source)
    except TransportError:
        return
    pipes = _LyingReader(source, source.pick(_ATRS), described.max_message_length)
    if source.byte() & 1:
        pipes.atr = source.blob()
    reader = CcidReader(described, quirks=source.pick(_QUIRKS), clock=pipes.clock)
    while source:
        choice = source.byte()
        slot = source.byte() % (described.slot_count + 1)
        program = _PROGRAMS[choice % len(_PROGRAMS)](reader, slot, source)
        start = pipes.clock.now
        try:
            if choice & _HALF_WAY:
                next(program)
                program.close()
            else:
                pipes.run(program)
        except (TransportError, InputInvalid, CapabilityMissing, StopIteration):
            pass
        assert pipes.clock.now - start < _LONGEST
        notification = source.blob() if choice & 0x40 else b"\x50\x03"
        with suppress(TransportError):
            reader.parse_notification(notification)
    _recover(pipes, reader)


def _describe(source: Source) -> ClassDescriptor:
    choice = source.byte()
    if choice < 0xE0:
        return _DESCRIPTORS[choice % len(_DESCRIPTORS)]
    described = ClassDescriptor.find(source.take(80))
    assert ClassDescriptor.decode(described.encode()) == described
    return described


def _recover(pipes: _LyingReader, reader: CcidReader) -> None:
    """From whatever state: an honest reader, and a card that answers."""
    if reader.descriptor not in _DESCRIPTORS:
        return
    pipes.incoming.clear()
    pipes.honest, pipes.icc, pipes.atr = True, 1, ATR_T0
    pipes.card = lambda command: _GOOD
    pipes._command = b""
    pipes.run(reader.power_on(0))
    assert pipes.run(reader.transmit(0, _HEALTHY, _TIMEOUT)) == _GOOD


def _seeds() -> Iterator[bytes]:
    for index, described in enumerate(_DESCRIPTORS):
        for atr in range(len(_ATRS)):
            head = bytes((index, atr, 0, 0, 2, 0, 0, 0, 0, 0))
            on = bytes((1, 0)) + bytes(24)
            for first in (0x00, 0x60, 0x80, 0x91, 0xA0):
                exchange = bytes((0, 0, first & 7, first)) + blob(b"data\x61\x10") + bytes(30)
                yield head + on + exchange
        yield b"\xe0" + described.encode() + bytes(8) + bytes((1, 0)) + bytes(30)


TARGET = Target(_run, _seeds, max_length=1024)
