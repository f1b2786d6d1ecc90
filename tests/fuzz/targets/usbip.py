"""What a token that is served hears from other processes: USB/IP, and its panel's socket.

The first byte says which. The USB/IP stream comes in pieces; each transfer goes to a virtual token,
which completes it or keeps it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from usbip.core import IN, OUT, Urb

from tests.fuzz.source import Source
from tests.fuzz.target import Target
from tests.transport.cards import EchoCard
from ushield.ccid.messages import MessageType, pack_frame
from ushield.errors import ProtocolViolation
from ushield.shield.events import PanelKey
from ushield.virtual.faces.panel_messages import PanelRequest, PanelView
from ushield.virtual.faces.usbip_wire import (
    MAX_TRANSFER,
    Import,
    ListDevices,
    RequestDecoder,
    Unlink,
    device_list,
    submit_reply,
    unlink_reply,
)
from ushield.virtual.usb import VirtualUsbDevice

__all__ = ["TARGET"]

_LIST: Final = bytes.fromhex("0111800500000000")
_IMPORT: Final = bytes.fromhex("0111800300000000") + b"1-1".ljust(32, b"\0")
_WIRE, _REQUEST, _VIEW = range(3)


def _run(data: bytes) -> None:
    if data:
        (_listen, _read_request, _read_view)[data[0] % 3](data[1:])


def _listen(data: bytes) -> None:
    source = Source(data)
    device = VirtualUsbDevice(
        EchoCard(),
        vendor_id=1,
        product_id=2,
        manufacturer="",
        product="",
        serial="1",
        max_message_length=271,
    )
    decoder = RequestDecoder()
    kept: list[Urb] = []
    with suppress(ProtocolViolation):
        while source:
            decoder.feed(source.take(source.byte() + 1))
            while (request := decoder.next()) is not None:
                _serve(device, request, kept)
    device.detach()


def _serve(
    device: VirtualUsbDevice, request: Urb | Import | ListDevices | Unlink, kept: list[Urb]
) -> None:
    match request:
        case ListDevices():
            assert device_list(device)
        case Unlink():
            assert unlink_reply(request, taken_back=True)
        case Urb():
            assert 0 <= request.length <= MAX_TRANSFER
            done = device.handle_urb(request, kept.append)
            for urb in (*([] if done is None else [done]), *kept):
                assert len(submit_reply(urb)) <= 48 + MAX_TRANSFER
            kept.clear()


def _read_request(data: bytes) -> None:
    with suppress(ProtocolViolation):
        request = PanelRequest.decode(data)
        assert PanelRequest.decode(request.encode()) == request


def _read_view(data: bytes) -> None:
    with suppress(ProtocolViolation):
        view = PanelView.decode(data)
        assert PanelView.decode(view.encode()) == view


def _submit(direction: int, endpoint: int, data: bytes, length: int, setup: bytes = b"") -> bytes:
    head = struct.pack(">IIIII", 1, 7, 0x00010002, direction, endpoint)
    return head + struct.pack(">Iiiii", 0, length, 0, -1, 0) + setup.ljust(8, b"\0") + data


def _pieces(stream: bytes) -> bytes:
    return b"".join(
        bytes((len(piece) - 1,)) + piece
        for piece in (stream[at : at + 256] for at in range(0, len(stream), 256))
    )


def _seeds() -> Iterator[bytes]:
    yield bytes((_WIRE,)) + _pieces(_LIST)
    for kind in MessageType:
        frame = pack_frame(kind, 0, 0, 0, 0, 0, b"\0\xa4\4\0")
        stream = _submit(OUT, 2, frame, len(frame)) + _submit(IN, 1, b"", 271)
        yield bytes((_WIRE,)) + _pieces(_IMPORT + stream)
        for endpoint in (1, 3, 4):
            frame = pack_frame(kind, 0, 0, 0, 0, 0)
            stream = _submit(OUT, endpoint, frame, len(frame)) + _submit(IN, endpoint, b"", 64)
            yield bytes((_WIRE,)) + _pieces(_IMPORT + stream)
    for setup in ("8006000100001200", "8006000200000902", "8006000300000004", "0009010000000000"):
        yield bytes((_WIRE,)) + _pieces(_IMPORT + _submit(IN, 0, b"", 512, bytes.fromhex(setup)))
    for setup in ("2101000000000000", "a103000000001000", "0201000081000000", "010b000000000000"):
        yield bytes((_WIRE,)) + _pieces(_IMPORT + _submit(OUT, 0, b"", 0, bytes.fromhex(setup)))
    yield bytes((_WIRE,)) + _pieces(_IMPORT + struct.pack(">IIIIII", 2, 9, 2, 0, 0, 7) + bytes(24))
    yield bytes((_REQUEST,)) + PanelRequest(tuple(PanelKey)).encode()
    yield bytes((_VIEW,)) + PanelView("V1", ("一", "b"), 1, 2).encode()


TARGET = Target(_run, _seeds, max_length=4096)
