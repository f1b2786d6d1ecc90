"""The two bulk endpoints of a claimed reader."""

from __future__ import annotations

from array import array

import usb.core

from ushield.errors import TransferFailed
from ushield.transport.usb.interfaces import ReaderInterface

__all__ = ["BulkPipes"]


class BulkPipes:
    """Transfers on the bulk endpoints of ``reader``, whose interface ``device`` has claimed.

    They go to pyusb's backend at once. Its ``Device`` would look up endpoint, interface and claim
    for each of them again, at about the cost of a short transfer. Raises `usb.core.USBError`;
    `TransferFailed` once closed. Waits are in milliseconds.
    """

    def __init__(self, device: usb.core.Device, reader: ReaderInterface) -> None:
        self._write = device.backend.bulk_write
        self._read = device.backend.bulk_read
        # The handle that has the claim; there is no public name for it.
        self._handle = device._ctx.handle
        self._interface = reader.number
        self._out = reader.bulk_out
        self._in = reader.bulk_in

    def write(self, data: bytes, timeout: int) -> int:
        """Send ``data`` as one transfer; how many bytes were taken."""
        handle = self._handle
        if handle is None:
            raise _closed()
        written: int = self._write(handle, self._out, self._interface, array("B", data), timeout)
        return written

    def read_into(self, buffer: array[int], timeout: int) -> int:
        """Receive one transfer; how many bytes of ``buffer`` it has filled."""
        handle = self._handle
        if handle is None:
            raise _closed()
        count: int = self._read(handle, self._in, self._interface, buffer, timeout)
        return count

    def close(self) -> None:
        """Use the handle no more: the backend would follow it into freed memory."""
        self._handle = None


def _closed() -> TransferFailed:
    return TransferFailed("the device was given back", remedy="Open the token again.")
