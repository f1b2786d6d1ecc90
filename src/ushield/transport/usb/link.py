"""The claimed interfaces of one USB device: the steps of a CCID program, done by pyusb."""

from __future__ import annotations

import errno
from array import array
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final

import usb.core
import usb.util

from ushield.ccid.steps import ClearHalt, Control, Receive, Send, Step
from ushield.errors import TokenBusy, TokenRemoved, TransferFailed, TransportError
from ushield.transport.holder import Holder
from ushield.transport.pcsc.daemon import PROGRAM, remedy_for_holding, service_runs
from ushield.transport.usb.errors import transport_error
from ushield.transport.usb.interfaces import (
    PanelInterface,
    ReaderInterface,
    panel_interface,
    reader_interface,
)
from ushield.transport.usb.pipes import BulkPipes

__all__ = ["UsbLink"]

_CLASS_OUT: Final = 0x21
_CLASS_IN: Final = 0xA1
_GET_CONFIGURATION: Final = 0x08
_DEVICE_IN: Final = 0x80
_PROBE_TIMEOUT: Final = 200
_DRAIN_TIMEOUT: Final = 5
# 256 slots take 65 bytes, and a whole number of packets is asked for.
_NOTICE_SIZE: Final = 128
_DRAIN_SIZE: Final = 65_600
_MAX_DRAINED: Final = 64
_SLICE: Final = 250

# What Linux reports for a transfer that was under way when the plug was pulled, before the hub has
# told it that the device is gone.
_AMBIGUOUS: Final = frozenset({errno.EIO, errno.EPROTO, errno.EILSEQ, errno.EPIPE, errno.ENOENT})


def _milliseconds(seconds: float) -> int:
    # 0 would mean to wait for ever.
    return int(seconds * 1000) or 1


class UsbLink:
    """Transfers to ``device``, whose reader and panel interfaces this process has claimed.

    `open` makes one. Bulk and control transfers are for one thread at a time; `read_report` may
    wait in another meanwhile. Once ``abandoned`` is set, from any thread, no transfer waits on.
    Raises `TransportError` and its kinds.
    """

    def __init__(
        self,
        device: usb.core.Device,
        reader: ReaderInterface,
        panel: PanelInterface | None,
        drivers_detached: tuple[int, ...],
        pipes: BulkPipes,
    ) -> None:
        self.reader = reader
        self.panel = panel
        self.removed = False
        self.abandoned = False
        self._device = device
        self._drivers_detached = drivers_detached
        self._pipes = pipes
        self._buffer = array("B")
        self._view = memoryview(b"")

    @classmethod
    def open(
        cls, device: usb.core.Device, find_device_holder: Callable[[usb.core.Device], Holder | None]
    ) -> UsbLink:
        """Take the device from the kernel's drivers and claim its interfaces.

        `AccessDenied`, `TokenBusy` naming whom ``find_device_holder`` finds, `TokenRemoved`;
        `TransferFailed` for a device that is no reader. Leaves the device as it was if it fails.
        """
        detached: list[int] = []
        try:
            configuration = _configuration(device)
            reader = reader_interface(configuration)
            if reader is None:
                raise TransferFailed("the device has no CCID interface")
            panel = panel_interface(configuration)
            for number in (reader.number, *((panel.number,) if panel else ())):
                if _detach_driver(device, number):
                    detached.append(number)
                usb.util.claim_interface(device, number)
            link = cls(device, reader, panel, tuple(detached), BulkPipes(device, reader))
            link._drain()
        except usb.core.USBError as error:
            _give_back(device, detached)
            if error.errno == errno.EBUSY:
                raise _busy(find_device_holder(device)) from error
            raise transport_error(error, "opening the device") from error
        except TransportError:
            _give_back(device, detached)
            raise
        return link

    def perform(self, step: Step) -> bytes | None:
        """Do one step of a CCID program; what was received, if it receives."""
        if self.abandoned:
            self._check_wanted()
        try:
            if isinstance(step, Send):
                written = self._pipes.write(step.data, _milliseconds(step.timeout))
                if written != len(step.data):
                    raise TransferFailed(f"the device took {written} of {len(step.data)} bytes")
                return None
            if isinstance(step, Receive):
                return self._receive(step.size, _milliseconds(step.timeout))
            if isinstance(step, ClearHalt):
                self._device.clear_halt(self.reader.bulk_out)
                self._device.clear_halt(self.reader.bulk_in)
                return None
            return self._control(step)
        except usb.core.USBError as error:
            raise self._failure(error, "talking to the card") from error

    def read_report(self, timeout: float) -> bytes:
        """The next transfer of the panel's interrupt endpoint; `TransferTimeout`."""
        panel = self.panel
        if panel is None:
            raise TransferFailed("the device has no panel")
        return self._interrupt(panel.endpoint, panel.report_size, timeout, "the panel")

    def read_notice(self, timeout: float) -> bytes:
        """The next transfer of the reader's interrupt endpoint; `TransferTimeout`."""
        endpoint = self.reader.interrupt
        if endpoint is None:
            raise TransferFailed("the reader has no interrupt endpoint")
        return self._interrupt(endpoint, _NOTICE_SIZE, timeout, "a notice of the reader")

    def _interrupt(self, endpoint: int, size: int, timeout: float, what: str) -> bytes:
        try:
            report = self._device.read(endpoint, size, _milliseconds(timeout))
        except usb.core.USBError as error:
            if error.errno == errno.EPIPE:
                with suppress(usb.core.USBError):
                    self._device.clear_halt(endpoint)
            raise self._failure(error, f"waiting for {what}") from error
        return bytes(report)

    def sibling(self) -> UsbLink:
        """Another link to the same claimed interfaces, to be abandoned by itself.

        Only one of them is closed.
        """
        return UsbLink(self._device, self.reader, self.panel, self._drivers_detached, self._pipes)

    def close(self) -> None:
        """Release the interfaces and give them back to the kernel's drivers."""
        self._pipes.close()
        _give_back(self._device, self._drivers_detached)

    def _check_wanted(self) -> None:
        if self.abandoned:
            raise TransferFailed("the connection was closed meanwhile")

    def _receive(self, size: int, timeout: int) -> bytes:
        if len(self._buffer) != size:
            self._buffer = array("B", bytes(size))
            self._view = memoryview(self._buffer)
        while True:
            # In slices, because a device may ask for a long wait, and nothing ends a transfer from
            # outside: neither another thread's `close` nor an interrupt from the keyboard.
            within = timeout if timeout < _SLICE else _SLICE
            try:
                count = self._pipes.read_into(self._buffer, within)
            except usb.core.USBTimeoutError:
                timeout -= within
                if timeout <= 0:
                    raise
                self._check_wanted()
            else:
                return self._view[:count].tobytes()

    def _control(self, step: Control) -> bytes | None:
        request_type = _CLASS_IN if step.length else _CLASS_OUT
        answer = self._device.ctrl_transfer(
            request_type,
            step.request,
            step.value,
            self.reader.number,
            step.length or None,
            _milliseconds(step.timeout),
        )
        return bytes(answer) if step.length else None

    def _drain(self) -> None:
        """Throw away what an earlier program left unread: it answers nothing of ours."""
        for endpoint in (self.reader.interrupt, self.reader.bulk_in):
            if endpoint is None:
                continue
            try:
                for _ in range(_MAX_DRAINED):
                    self._device.read(endpoint, _DRAIN_SIZE, _DRAIN_TIMEOUT)
            except usb.core.USBTimeoutError:
                continue
            except usb.core.USBError as error:
                if error.errno != errno.EPIPE:
                    raise
                self._device.clear_halt(endpoint)

    def _failure(self, error: usb.core.USBError, doing: str) -> TransportError:
        failure = transport_error(error, doing)
        if error.errno in _AMBIGUOUS and self._is_gone():
            failure = TokenRemoved(f"the device was unplugged while {doing}")
        if isinstance(failure, TokenRemoved):
            self.removed = True
        return failure

    def _is_gone(self) -> bool:
        try:
            self._device.ctrl_transfer(_DEVICE_IN, _GET_CONFIGURATION, 0, 0, 1, _PROBE_TIMEOUT)
        except usb.core.USBError as error:
            return isinstance(transport_error(error, "probing"), TokenRemoved)
        return False


def _configuration(device: usb.core.Device) -> usb.core.Configuration:
    try:
        return device.get_active_configuration()
    except usb.core.USBError as error:
        # pyusb gives no errno for this one case: nobody has configured the device yet.
        if error.errno is not None:
            raise
    device.set_configuration()
    return device.get_active_configuration()


def _detach_driver(device: usb.core.Device, number: int) -> bool:
    try:
        if device.is_kernel_driver_active(number):
            device.detach_kernel_driver(number)
            return True
    except NotImplementedError:
        # Other systems have no drivers to detach.
        pass
    return False


def _give_back(device: usb.core.Device, drivers: Iterable[int]) -> None:
    for number in drivers:
        with suppress(usb.core.USBError, NotImplementedError):
            usb.util.release_interface(device, number)
            device.attach_kernel_driver(number)
    with suppress(usb.core.USBError):
        usb.util.dispose_resources(device)


def _busy(holder: Holder | None) -> TokenBusy:
    if holder is None:
        # Whom another user's process has open is not shown; that of the system is the likely one.
        if service_runs():
            return TokenBusy(
                "another program is using the token, most likely pcscd",
                remedy=remedy_for_holding(),
            )
        return TokenBusy("another program is using the token")
    return TokenBusy(
        f"{holder.program or 'a program'} (process {holder.pid}) is using the token",
        pid=holder.pid,
        program=holder.program or None,
        remedy=remedy_for_holding() if holder.program == PROGRAM else None,
    )
