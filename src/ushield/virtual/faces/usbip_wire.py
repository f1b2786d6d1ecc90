"""USB/IP as bytes: what a client asks, and what a server answers; no I/O.

Source: Documentation/usb/usbip_protocol.rst of the Linux kernel. Headers are big-endian; a SETUP
packet and the data of a transfer go through as they are.
"""

from __future__ import annotations

import errno
import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, TypeAlias

from usbip.core import OUT, Urb
from usbip.device import USBDevice
from usbip.protocol import pack_usb_device

from ushield.errors import ProtocolViolation

__all__ = [
    "BUS_ID",
    "MAX_TRANSFER",
    "Import",
    "ListDevices",
    "Request",
    "RequestDecoder",
    "Status",
    "Unlink",
    "device_list",
    "import_accepted",
    "import_refused",
    "submit_reply",
    "unlink_reply",
]

BUS_ID: Final = "1-1"
"""Where the only device of a server is plugged in, by the server's own account."""

MAX_TRANSFER: Final = 1 << 20
"""The most bytes of one transfer; the longest CCID message is a sixteenth of it."""

_VERSION: Final = 0x0111
_REQUEST_LIST, _REPLY_LIST = 0x8005, 0x0005
_REQUEST_IMPORT, _REPLY_IMPORT = 0x8003, 0x0003
_SUBMIT, _UNLINK, _SUBMITTED, _UNLINKED = 1, 2, 3, 4

_OPERATION: Final = struct.Struct(">HHI")
_BUS_ID_SIZE: Final = 32
_COMMAND: Final = struct.Struct(">IIIIIIiIII8s")
_RETURN: Final = struct.Struct(">IIIIIiiIII8x")


class Status(IntEnum):
    """Why a device cannot be imported, as the tool ``usbip`` reads it."""

    BUSY = 2
    NO_DEVICE = 4


@dataclass(frozen=True, slots=True)
class ListDevices:
    """The client wants to know what there is."""


@dataclass(frozen=True, slots=True)
class Import:
    """The client wants the device at ``bus_id``; from then on it sends transfers."""

    bus_id: str


@dataclass(frozen=True, slots=True)
class Unlink:
    """Take the transfer ``target`` back; to be answered by `unlink_reply` with ``seqnum``."""

    seqnum: int
    target: int


Request: TypeAlias = ListDevices | Import | Unlink | Urb


class RequestDecoder:
    """Cuts what a client sends into requests: first an operation, and transfers after an import."""

    __slots__ = ("_buffer", "_imported")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._imported = False

    def feed(self, data: bytes) -> None:
        """Take what was received."""
        self._buffer += data

    def next(self) -> Request | None:
        """The next request, or ``None`` until there is more; `ProtocolViolation`."""
        return self._command() if self._imported else self._operation()

    def _operation(self) -> Request | None:
        buffer = self._buffer
        if len(buffer) < _OPERATION.size:
            return None
        version, code, _ = _OPERATION.unpack_from(buffer)
        if version != _VERSION:
            raise ProtocolViolation(f"USB/IP version {version:04X} is not {_VERSION:04X}")
        if code == _REQUEST_LIST:
            del buffer[: _OPERATION.size]
            return ListDevices()
        if code != _REQUEST_IMPORT:
            raise ProtocolViolation(f"USB/IP has no request {code:04X}")
        if len(buffer) < _OPERATION.size + _BUS_ID_SIZE:
            return None
        name = bytes(buffer[_OPERATION.size : _OPERATION.size + _BUS_ID_SIZE])
        del buffer[: _OPERATION.size + _BUS_ID_SIZE]
        self._imported = True
        return Import(name.partition(b"\0")[0].decode("ascii", "replace"))

    def _command(self) -> Request | None:
        buffer = self._buffer
        if len(buffer) < _COMMAND.size:
            return None
        command, seqnum, device, direction, endpoint, flags, length, _, _, interval, setup = (
            _COMMAND.unpack_from(buffer)
        )
        if command == _UNLINK:
            del buffer[: _COMMAND.size]
            # The union's first word is here the number of the transfer to take back.
            return Unlink(seqnum, flags)
        if command != _SUBMIT:
            raise ProtocolViolation(f"USB/IP has no command {command}")
        if not 0 <= length <= MAX_TRANSFER:
            raise ProtocolViolation(f"a USB/IP transfer of {length} bytes")
        end = _COMMAND.size + (length if direction == OUT else 0)
        if len(buffer) < end:
            return None
        data = bytes(memoryview(buffer)[_COMMAND.size : end])
        del buffer[:end]
        urb: Urb = Urb(
            command, seqnum, device, direction, endpoint, flags, length, interval, setup, data
        )
        return urb


def device_list(device: USBDevice | None) -> bytes:
    """The answer to `ListDevices`: this device, or none."""
    head = _OPERATION.pack(_VERSION, _REPLY_LIST, 0)
    if device is None:
        return head + bytes(4)
    interfaces = b"".join(bytes((*triple, 0)) for triple in device.interface_triples())
    packed: bytes = pack_usb_device(device)
    return head + (1).to_bytes(4, "big") + packed + interfaces


def import_accepted(device: USBDevice) -> bytes:
    """The answer to `Import` that lets transfers begin."""
    packed: bytes = pack_usb_device(device)
    return _OPERATION.pack(_VERSION, _REPLY_IMPORT, 0) + packed


def import_refused(status: Status) -> bytes:
    """The answer to `Import` that ends the conversation."""
    return _OPERATION.pack(_VERSION, _REPLY_IMPORT, status)


def submit_reply(urb: Urb) -> bytes:
    """The answer to a transfer that is completed."""
    actual = urb.actual if not urb.status else 0
    head = _RETURN.pack(_SUBMITTED, urb.seqnum, 0, 0, 0, urb.status, actual, 0, 0, 0)
    if urb.direction == OUT or not actual:
        return head
    data: bytes = urb.buffer
    return head + data[:actual]


def unlink_reply(unlink: Unlink, *, taken_back: bool) -> bytes:
    """The answer to `Unlink`: taken back, or completed before (its answer went out already)."""
    status = -errno.ECONNRESET if taken_back else 0
    return _RETURN.pack(_UNLINKED, unlink.seqnum, 0, 0, 0, status, 0, 0, 0, 0)
