"""A token's USB device over TCP, driven by the `usbip` package's own client."""

from __future__ import annotations

import errno
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Final

import pytest
from usbip.core import NotFound
from usbip.host import Connection
from usbip.protocol import client_devlist
from usbip.transport import USBIP

from tests.transport.cards import ATR, OK, SLOW, EchoCard, device, echo
from ushield.ccid.commands import IccPowerOn, XfrBlock
from ushield.ccid.messages import ChainParameter
from ushield.ccid.responses import DataBlock, Outcome, decode_response
from ushield.virtual.faces.usbip import AddressUnavailable, UsbIpServer
from ushield.virtual.usb import VirtualUsbDevice

OUT, IN, PANEL = 1, 1, 3
SIZE: Final = 65_600
RETURN: Final = struct.Struct(">IIIIIii20x")


@pytest.fixture
def card() -> EchoCard:
    return EchoCard()


@pytest.fixture
def plugged(card: EchoCard) -> VirtualUsbDevice:
    return device(card)


@pytest.fixture
def server(plugged: VirtualUsbDevice) -> Iterator[UsbIpServer]:
    with UsbIpServer.listen(plugged, port=0) as listening:
        yield listening


def attach(server: UsbIpServer) -> Connection:
    host = Connection(USBIP(*server.address).connect())
    host.sock.settimeout(30)
    host.import_device()
    host.control(0x00, 0x09, 1, 0, b"")
    return host


def ask(host: Connection, frame: bytes) -> bytes:
    assert host.transfer_out(OUT, frame) == len(frame)
    answer: bytes = host.transfer_in(IN, SIZE)
    return answer


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def submit(host: Connection, seqnum: int, endpoint: int) -> None:
    """Ask for a transfer from the device, and do not wait for it."""
    host.sock.sendall(
        struct.pack(">IIIIIIiiii8x", 1, seqnum, host.devid, 1, endpoint, 0, 64, 0, -1, 8)
    )


def unlink(host: Connection, seqnum: int, target: int) -> None:
    host.sock.sendall(struct.pack(">IIIIII24x", 2, seqnum, host.devid, 0, 0, target))


def returned(host: Connection) -> tuple[int, int, int, bytes]:
    """Kind, number, status and data of what comes next."""
    head = host.sock.recv(RETURN.size, socket.MSG_WAITALL)
    kind, seqnum, _, _, _, status, actual = RETURN.unpack(head)
    data = host.sock.recv(actual, socket.MSG_WAITALL) if kind == 3 and actual else b""
    return kind, seqnum, status, data


def test_it_listens_on_this_machine_only(server: UsbIpServer) -> None:
    assert server.address[0] == "127.0.0.1"


def test_the_device_is_listed_while_nobody_has_it(server: UsbIpServer) -> None:
    def listed() -> list[dict[str, object]]:
        with closing(USBIP(*server.address).connect()) as asking:
            found: list[dict[str, object]] = client_devlist(asking)
            return found

    (entry,) = listed()
    assert entry["busid"] == "1-1"
    assert entry["interfaces"] == [(0x0B, 0, 0), (0xFF, 0x50, 0x01)]
    with closing(attach(server)):
        assert listed() == []


def test_a_card_is_powered_and_answers(server: UsbIpServer) -> None:
    with closing(attach(server)) as host:
        answer = decode_response(ask(host, IccPowerOn(0, 0).encode()))
        assert answer == DataBlock(0, 0, Outcome(), ATR)
        data = bytes(range(256)) * 200
        answer = decode_response(ask(host, XfrBlock(0, 1, echo(data)).encode()))
        assert answer == DataBlock(0, 1, Outcome(), data + OK, ChainParameter.WHOLE)


def test_a_slow_command_is_answered_through_a_waiting_transfer(
    server: UsbIpServer, card: EchoCard
) -> None:
    with closing(attach(server)) as host:
        ask(host, IccPowerOn(0, 0).encode())
        host.transfer_out(OUT, XfrBlock(0, 1, echo(b"key", ins=SLOW)).encode())
        card.release.set()
        while (answer := decode_response(host.transfer_in(IN, SIZE))).outcome.command:
            pass
        assert answer == DataBlock(0, 1, Outcome(), b"key" + OK)


def test_a_second_client_is_told_that_the_device_is_taken(server: UsbIpServer) -> None:
    with closing(attach(server)) as host:
        second = Connection(USBIP(*server.address).connect())
        with closing(second), pytest.raises(NotFound, match="status 2"):
            second.import_device()
        assert decode_response(ask(host, IccPowerOn(0, 0).encode())) is not None


def test_another_place_on_the_bus_is_empty(server: UsbIpServer) -> None:
    asking = Connection(USBIP(*server.address).connect())
    with closing(asking), pytest.raises(NotFound, match="status 4"):
        asking.import_device("1-2")


def test_a_client_that_goes_takes_the_power_from_the_card(
    server: UsbIpServer, card: EchoCard
) -> None:
    with closing(attach(server)) as host:
        ask(host, IccPowerOn(0, 0).encode())
        assert card.powered
    eventually(lambda: not card.powered)
    eventually(lambda: not server.attached)
    with closing(attach(server)) as again:
        answer = decode_response(ask(again, IccPowerOn(0, 0).encode()))
        assert answer == DataBlock(0, 0, Outcome(), ATR)


def test_pulling_the_token_ends_the_connection(
    server: UsbIpServer, plugged: VirtualUsbDevice
) -> None:
    with closing(attach(server)) as host:
        plugged.detach()
        assert host.sock.recv(1) == b""
        asking = Connection(USBIP(*server.address).connect())
        with closing(asking), pytest.raises(NotFound, match="status 4"):
            asking.import_device()
    plugged.attach()
    eventually(lambda: not server.attached)
    attach(server).close()


def test_a_waiting_transfer_is_taken_back(server: UsbIpServer, plugged: VirtualUsbDevice) -> None:
    with closing(attach(server)) as host:
        submit(host, 100, PANEL)
        unlink(host, 101, 100)
        assert returned(host) == (4, 101, -errno.ECONNRESET, b"")
        plugged.report(b"sixteen bytes ok")
        submit(host, 102, PANEL)
        assert returned(host) == (3, 102, 0, b"sixteen bytes ok")


def test_taking_back_what_is_completed_is_answered_after_it(
    server: UsbIpServer, plugged: VirtualUsbDevice
) -> None:
    with closing(attach(server)) as host:
        for round_ in range(200):
            seqnum = 1000 + 2 * round_
            submit(host, seqnum, PANEL)
            reporting = threading.Thread(target=plugged.report, args=(b"sixteen bytes ok",))
            reporting.start()
            unlink(host, seqnum + 1, seqnum)
            kind, number, status, data = returned(host)
            if kind == 3:
                assert (number, status, data) == (seqnum, 0, b"sixteen bytes ok")
                assert returned(host) == (4, seqnum + 1, 0, b"")
            else:
                assert (kind, number, status) == (4, seqnum + 1, -errno.ECONNRESET)
                submit(host, 9000 + round_, PANEL)
                assert returned(host)[3] == b"sixteen bytes ok"
            reporting.join()


@pytest.mark.parametrize(
    "words",
    [
        b"GET / HTTP/1.1\r\n\r\n" + bytes(64),
        bytes(200),
        b"\x01\x11\x80\x03" + bytes(4) + b"\xff" * 32,
    ],
)
def test_a_stranger_is_shown_the_door(server: UsbIpServer, words: bytes) -> None:
    with closing(socket.create_connection(server.address, timeout=30)) as stranger:
        stranger.sendall(words)
        while stranger.recv(4096):
            pass
    attach(server).close()


def test_transfers_without_end_cost_the_client_its_device(server: UsbIpServer) -> None:
    with closing(attach(server)) as host:
        for seqnum in range(100, 100_000):
            try:
                submit(host, seqnum, PANEL)
            except OSError:
                break
        else:
            pytest.fail("the server took everything")
    eventually(lambda: not server.attached)


def test_closing_ends_every_client_and_thread(plugged: VirtualUsbDevice) -> None:
    before = threading.active_count()
    server = UsbIpServer.listen(plugged, port=0)
    host = attach(server)
    silent = socket.create_connection(server.address)
    with closing(host), closing(silent):
        server.close()
        assert host.sock.recv(1) == b""
    assert threading.active_count() == before
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(server.address)
    server.close()


def test_an_address_in_use_is_told(server: UsbIpServer, plugged: VirtualUsbDevice) -> None:
    with pytest.raises(AddressUnavailable, match="already in use") as refused:
        UsbIpServer.listen(plugged, port=server.address[1])
    assert refused.value.facts == {"address": f"127.0.0.1:{server.address[1]}"}


def test_an_address_of_another_machine_is_told(plugged: VirtualUsbDevice) -> None:
    with pytest.raises(AddressUnavailable):
        UsbIpServer.listen(plugged, host="192.0.2.1", port=0)
