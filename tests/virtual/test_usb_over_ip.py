"""The same device behind USB/IP frames: what a kernel would see of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pytest
from usbip.host import Connection
from usbip.transport import Loopback

from tests.transport.cards import ATR, OK, SLOW, EchoCard, device, echo
from ushield.ccid.commands import IccPowerOn, XfrBlock
from ushield.ccid.messages import ChainParameter
from ushield.ccid.responses import DataBlock, Outcome, decode_response
from ushield.virtual.usb import VirtualUsbDevice
from ushield.virtual.usb.descriptors import configuration

OUT, IN, PANEL = 1, 1, 3
SIZE: Final = 65_600


@pytest.fixture
def card() -> EchoCard:
    return EchoCard()


@pytest.fixture
def plugged(card: EchoCard) -> VirtualUsbDevice:
    return device(card)


@pytest.fixture
def host(plugged: VirtualUsbDevice) -> Iterator[Connection]:
    wire = Loopback()
    with plugged.plug(via=wire):
        connection = Connection(wire.connect())
        connection.import_device()
        connection.control(0x00, 0x09, 1, 0, b"")
        yield connection
        connection.close()


def ask(host: Connection, frame: bytes) -> bytes:
    assert host.transfer_out(OUT, frame) == len(frame)
    answer: bytes = host.transfer_in(IN, SIZE)
    return answer


def test_its_descriptors_are_served(host: Connection) -> None:
    tree = configuration(host.control(0x80, 0x06, 0x0200, 0, 4096))
    assert len(tree.interfaces) == 2


def test_a_card_is_powered_and_answers(host: Connection) -> None:
    assert decode_response(ask(host, IccPowerOn(0, 0).encode())) == DataBlock(0, 0, Outcome(), ATR)
    data = bytes(range(256)) * 16
    answer = ask(host, XfrBlock(0, 1, echo(data)).encode())
    assert decode_response(answer) == DataBlock(0, 1, Outcome(), data + OK, ChainParameter.WHOLE)


def test_a_message_may_come_in_pieces_of_16_kilobytes_as_linux_sends_it(host: Connection) -> None:
    ask(host, IccPowerOn(0, 0).encode())
    data = bytes(40_000)
    frame = XfrBlock(0, 1, echo(data)).encode()
    for start in range(0, len(frame), 16_384):
        host.transfer_out(OUT, frame[start : start + 16_384])
    answer = decode_response(host.transfer_in(IN, SIZE))
    assert answer == DataBlock(0, 1, Outcome(), data + OK)


def test_a_slow_command_is_answered_through_a_waiting_transfer(
    host: Connection, card: EchoCard
) -> None:
    ask(host, IccPowerOn(0, 0).encode())
    host.transfer_out(OUT, XfrBlock(0, 1, echo(b"key", ins=SLOW)).encode())
    card.release.set()
    while True:
        answer = decode_response(host.transfer_in(IN, SIZE))
        if not answer.outcome.command:
            break
    assert answer == DataBlock(0, 1, Outcome(), b"key" + OK)


def test_panel_events_come_on_the_second_interface(
    host: Connection, plugged: VirtualUsbDevice
) -> None:
    plugged.report(b"sixteen bytes ok")
    assert host.transfer_in(PANEL, 16, interval=8) == b"sixteen bytes ok"
