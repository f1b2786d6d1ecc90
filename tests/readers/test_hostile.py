"""Readers and cards that lie, over real frames: a typed error in time, and no growth of memory."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Final

import pytest

from tests.readers.bench import KINDS, Kind, scheme
from tests.transport.cards import OK, EchoCard, echo
from ushield.ccid.descriptor import PinSupport
from ushield.ccid.messages import time_extension
from ushield.errors import ProtocolViolation, TokenRemoved, TransferTimeout, TransportError
from ushield.iso7816.apdu import CommandApdu
from ushield.iso7816.channel import ApduChannel
from ushield.transport.connection import CardConnection
from ushield.transport.pin_pad import PinBlock, pin_pad_of
from ushield.virtual.usb import Direction, FaultKind, ReaderModel, VirtualReader

PATIENCE: Final = 0.3
"""What a caller grants."""

ENOUGH: Final = 3.0
"""When it must be over on a machine that does much else; waits of its own are a second."""

GROWTH: Final = 1_000_000

Lie = Callable[[bytes], list[bytes]]


class LyingReader(VirtualReader):
    """Tells ``lie`` in place of each answer. `flood` sends time extensions until it is honest."""

    lie: Lie | None = None
    flooding: threading.Thread | None = None

    def _answer(self, frame: bytes) -> None:
        if self.lie is None:
            super()._answer(frame)
            return
        for told in self.lie(frame):
            super()._answer(told)

    def flood(self, frame: bytes) -> list[bytes]:
        def send() -> None:
            while self.lie is not None:
                super(LyingReader, self)._answer(time_extension(frame[5], frame[6], 255, 0x6F))
                time.sleep(0.001)

        if self.flooding is None:
            self.flooding = threading.Thread(target=send, daemon=True)
            self.flooding.start()
        return []


def edited(offset: int, change: Callable[[int], int]) -> Lie:
    def lie(frame: bytes) -> list[bytes]:
        return [frame[:offset] + bytes([change(frame[offset]) & 0xFF]) + frame[offset + 1 :]]

    return lie


LIES: Final[dict[str, Lie]] = {
    "silent": lambda _: [],
    "empty": lambda _: [b""],
    "half a header": lambda frame: [frame[:5]],
    "cut short": lambda frame: [frame[:-1]],
    "too long": lambda frame: [frame + b"\x00"],
    "another slot": edited(5, lambda slot: slot + 1),
    "the number before": edited(6, lambda seq: seq - 1),
    "another type": edited(0, lambda kind: kind ^ 0x07),
    "reserved status": edited(7, lambda status: status | 0xC0),
    "4 GiB announced": lambda frame: [frame[:1] + b"\xff\xff\xff\xff" + frame[5:]],
    "a thousand old answers": lambda frame: [frame[:6] + bytes([frame[6] ^ 1]) + frame[7:]] * 1000,
    "a longer wait asked for": lambda frame: [time_extension(frame[5], frame[6], 255, 0x6F)],
}

OF_A_LEVEL = [
    kind for kind in KINDS if kind.name in {"extended APDU", "short APDU", "TPDU T=0", "TPDU T=1"}
]


def with_pad(model: ReaderModel) -> ReaderModel:
    descriptor = dataclasses.replace(model.descriptor, pin_support=PinSupport.VERIFICATION)
    return dataclasses.replace(model, descriptor=descriptor)


@pytest.fixture(params=OF_A_LEVEL, ids=str)
def kind(request: pytest.FixtureRequest) -> Kind:
    chosen: Kind = request.param
    return chosen


@pytest.fixture
def reader(kind: Kind) -> Iterator[LyingReader]:
    made = LyingReader(with_pad(kind.model), extension_interval=0.02)
    made.insert(kind.contacts(EchoCard()))
    yield made
    made.lie = None
    if made.flooding is not None:
        made.flooding.join()


@contextlib.contextmanager
def in_time(expected: type[Exception] = TransportError) -> Iterator[None]:
    """What is done inside raises ``expected`` in time and takes no memory worth the name."""
    tracemalloc.start()
    began = time.monotonic()
    try:
        with pytest.raises(expected):
            yield
        assert time.monotonic() - began < ENOUGH
        assert tracemalloc.get_traced_memory()[1] < GROWTH
    finally:
        tracemalloc.stop()


def works_again(reader: LyingReader, connection: CardConnection) -> None:
    """Once it is honest, the reader is used again: by this connection, reset if need be."""
    reader.lie = None
    with contextlib.suppress(TransportError):
        connection.transmit(echo(b"whatever state that was") + b"\x00", timeout=10)
    connection.reset()
    assert connection.transmit(echo(b"x") + b"\x00", timeout=10) == b"x" + OK
    connection.close()


@pytest.mark.parametrize("name", LIES)
def test_a_reader_that_lies_is_given_up_in_time(name: str, reader: LyingReader) -> None:
    connection = scheme(reader).open("0-1")
    reader.lie = LIES[name]
    with in_time():
        connection.transmit(echo(b"x") + b"\x00", timeout=PATIENCE)
    works_again(reader, connection)


@pytest.mark.parametrize("name", ["silent", "cut short", "another slot", "a longer wait asked for"])
def test_a_reader_that_lies_from_the_start_is_not_opened(name: str, reader: LyingReader) -> None:
    bus = scheme(reader)
    reader.lie = LIES[name]
    with in_time():
        bus.open("0-1", timeout=PATIENCE)
    reader.lie = None
    works_again(reader, bus.open("0-1"))


def test_time_extensions_for_ever_end_with_the_callers_time(reader: LyingReader) -> None:
    connection = scheme(reader).open("0-1")
    reader.lie = reader.flood
    with in_time(TransferTimeout):
        connection.transmit(echo(b"x") + b"\x00", timeout=PATIENCE)
    works_again(reader, connection)


def test_a_late_answer_is_no_answer_to_the_next_command(reader: LyingReader) -> None:
    connection = scheme(reader).open("0-1")
    reader.faults.order(FaultKind.DELAY, Direction.IN, seconds=PATIENCE)
    with pytest.raises(TransferTimeout):
        connection.transmit(echo(b"late") + b"\x00", timeout=PATIENCE / 3)
    for number in range(3):
        answer = connection.transmit(echo(bytes([number])) + b"\x00", timeout=10)
        assert answer == bytes([number]) + OK
    connection.close()


@pytest.mark.parametrize("direction", Direction)
def test_a_reader_that_stalls_for_ever_is_given_up(
    reader: LyingReader, direction: Direction
) -> None:
    connection = scheme(reader).open("0-1")
    for _ in range(40):
        reader.faults.order(FaultKind.STALL, direction)
    for _ in range(3):
        with in_time():
            connection.transmit(echo(b"x") + b"\x00", timeout=PATIENCE)
    reader.faults.clear()
    works_again(reader, connection)


@pytest.mark.parametrize("direction", Direction)
def test_a_reader_that_vanishes_is_removed(reader: LyingReader, direction: Direction) -> None:
    connection = scheme(reader).open("0-1")
    reader.faults.order(FaultKind.UNPLUG, direction)
    with in_time(TokenRemoved):
        connection.transmit(echo(b"x") + b"\x00", timeout=PATIENCE)
    connection.close()


@pytest.mark.parametrize("name", ["cut short", "another type", "reserved status"])
def test_a_pad_that_lies_is_an_error_and_no_pin_entry(name: str, reader: LyingReader) -> None:
    connection = scheme(reader).open("0-1")
    pad = pin_pad_of(connection)
    assert pad is not None
    reader.lie = LIES[name]
    with in_time(ProtocolViolation):
        pad.verify(PinBlock(bytes.fromhex("00200081"), 4, 8))
    works_again(reader, connection)


class Endless(EchoCard):
    """Says with each answer that there is more, for ever."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self.data = data

    def transmit(self, command: bytes) -> bytes:
        if command[1] in {0x88, 0xC0}:
            return self.data + b"\x61\x00"
        return super().transmit(command)


@pytest.mark.parametrize("data", [b"", b"x", bytes(200)], ids=["nothing", "a byte", "200 bytes"])
def test_61xx_for_ever_ends_in_time(kind: Kind, data: bytes) -> None:
    plugged = kind.plug()
    # At T=0 the card is the one that says 61xx, with nothing between it and the wire.
    plugged.insert(
        kind.contacts(Endless(data)) if "T=1" in kind.name else _Bare(Endless(data), kind)
    )
    connection = scheme(plugged).open("0-1")
    channel = ApduChannel(connection)
    with in_time():
        channel.send(CommandApdu(0, 0x88, 0, 0, b"x", 256), timeout=2 * PATIENCE)
    connection.close()


class _Bare:
    """``card`` with the ATR of its kind, its answers as they are."""

    def __init__(self, card: EchoCard, kind: Kind) -> None:
        self._card = card
        self._contacts = kind.contacts(card)

    def power_on(self) -> bytes:
        return self._contacts.power_on()

    def power_off(self) -> None:
        self._contacts.power_off()

    def is_slow(self, command: bytes) -> bool:
        return self._card.is_slow(command)

    def transmit(self, command: bytes) -> bytes:
        return self._card.transmit(command)
