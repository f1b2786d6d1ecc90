"""A pyusb backend whose bus is in this process: the host controller of virtual devices.

It behaves as libusb does, down to the error numbers: a second claim is "busy", a halted endpoint is
a "pipe error" until cleared, and pulling the token ends every transfer with "no such device".
"""

from __future__ import annotations

import errno
import itertools
import threading
from array import array
from collections.abc import Iterable, Iterator
from functools import partial
from queue import Empty, SimpleQueue
from types import SimpleNamespace
from typing import Final, NoReturn

import usb.backend
import usb.core
import usb.util
from usb.backend import libusb1
from usbip.core import IN, OUT, Setup, Urb

from ushield.virtual.usb import descriptors
from ushield.virtual.usb.device import CcidUsbDevice

__all__ = ["BUS_NUMBER", "VirtualBackend"]

BUS_NUMBER: Final = 0
"""No real bus has this number, so that no real device is ever taken for a virtual one."""

_GONE: Final = -errno.ENODEV
_BUSY: Final = -errno.EBUSY
_NOT_FOUND: Final = -errno.ENOENT

_FAILURES: Final = {
    -errno.EPIPE: (libusb1.LIBUSB_ERROR_PIPE, "Pipe error"),
    _GONE: (libusb1.LIBUSB_ERROR_NO_DEVICE, "No such device (it may have been disconnected)"),
    _BUSY: (libusb1.LIBUSB_ERROR_BUSY, "Resource busy"),
    _NOT_FOUND: (libusb1.LIBUSB_ERROR_NOT_FOUND, "Entity not found"),
}

_GET_DESCRIPTOR, _GET_CONFIGURATION, _SET_CONFIGURATION, _SET_INTERFACE = 0x06, 0x08, 0x09, 0x0B
_CLEAR_FEATURE, _ENDPOINT_HALT = 0x01, 0x00
_TO_DEVICE, _TO_INTERFACE, _TO_ENDPOINT, _FROM_DEVICE = 0x00, 0x01, 0x02, 0x80
_DEVICE_DESCRIPTOR, _CONFIGURATION_DESCRIPTOR = 0x0100, 0x0200
_CONFIGURATION_HEAD: Final = 9
_DEVICE_LENGTH: Final = 18

_IMMINENT: Final = 1.0


def _fail(status: int) -> NoReturn:
    code, text = _FAILURES.get(status, (libusb1.LIBUSB_ERROR_IO, "Input/output error"))
    raise usb.core.USBError(text, code, -status if status in _FAILURES else errno.EIO)


class _Port:
    """One device in one port, from when it is plugged in until it is pulled."""

    def __init__(self, device: CcidUsbDevice, number: int, address: int) -> None:
        self.device = device
        self.number = number
        self.address = address
        self.present = True
        self.claims: dict[int, _Handle] = {}
        self.waiting: set[SimpleQueue[Urb | None]] = set()
        self.descriptor: SimpleNamespace | None = None
        self.tree: descriptors.ConfigurationTree | None = None


class _Handle:
    """An opened device."""

    def __init__(self, port: _Port) -> None:
        self.port = port


class VirtualBackend(usb.backend.IBackend):  # type: ignore[misc]
    """The bus of ``devices``, in ports 1, 2, ... Safe from several threads.

    Transfers raise `usb.core.USBError` with the ``errno`` that libusb's backend gives; timeouts are
    milliseconds, 0 for none, as everywhere in pyusb.
    """

    def __init__(self, devices: Iterable[CcidUsbDevice]) -> None:
        self._lock = threading.Lock()
        # Nobody sees a device before it is configured: that would take the power from its card.
        self._plugging = threading.Lock()
        self._devices = tuple(devices)
        self._ports: dict[int, _Port] = {}
        self._addresses = itertools.count(1)
        self._seqnums = itertools.count(1)
        for number, device in enumerate(self._devices, start=1):
            device.on_detach(partial(self._pulled, number))

    def _finalize_object(self) -> None:
        """Nothing of the system's is held."""

    def _pulled(self, number: int) -> None:
        with self._lock:
            port = self._ports.pop(number, None)
            if port is None:
                return
            port.present = False
            port.claims.clear()
            for done in port.waiting:
                done.put(None)

    def enumerate_devices(self) -> Iterator[_Port]:
        """The devices plugged in now; a new one is given an address and its configuration."""
        present = []
        with self._plugging:
            for number, device in enumerate(self._devices, start=1):
                port = self._ports.get(number)
                if port is None and device.attached:
                    port = _Port(device, number, next(self._addresses))
                    with self._lock:
                        self._ports[number] = port
                    self._control(port, Setup(_TO_DEVICE, _SET_CONFIGURATION, 1, 0, 0))
                if port is not None:
                    present.append(port)
        return iter(present)

    def get_parent(self, dev: _Port) -> None:
        """Every device hangs at the root."""

    def get_device_descriptor(self, dev: _Port) -> SimpleNamespace:
        """What the device answers, and where it is."""
        if dev.descriptor is None:
            data = self._descriptor(dev, _DEVICE_DESCRIPTOR, _DEVICE_LENGTH)
            try:
                descriptor = descriptors.device(data)
            except descriptors.DescriptorMalformed:
                _fail(-errno.EIO)
            descriptor.bus = BUS_NUMBER
            descriptor.address = dev.address
            descriptor.port_number = dev.number
            descriptor.port_numbers = (dev.number,)
            descriptor.speed = usb.util.SPEED_FULL
            dev.descriptor = descriptor
        return dev.descriptor

    def get_configuration_descriptor(self, dev: _Port, config: int) -> SimpleNamespace:
        """The head of the only configuration."""
        if config:
            _fail(_NOT_FOUND)
        return self._tree(dev).configuration

    def get_interface_descriptor(
        self, dev: _Port, intf: int, alt: int, config: int
    ) -> SimpleNamespace:
        """An interface by its place; `IndexError` behind the last one, as pyusb expects."""
        return self._alternate(dev, intf, alt, config).interface

    def get_endpoint_descriptor(
        self, dev: _Port, ep: int, intf: int, alt: int, config: int
    ) -> SimpleNamespace:
        """An endpoint by its place; `IndexError` behind the last one."""
        return self._alternate(dev, intf, alt, config).endpoints[ep]

    def _alternate(self, dev: _Port, intf: int, alt: int, config: int) -> descriptors.Alternate:
        if config:
            _fail(_NOT_FOUND)
        return self._tree(dev).interfaces[intf][alt]

    def _tree(self, port: _Port) -> descriptors.ConfigurationTree:
        if port.tree is None:
            head = self._descriptor(port, _CONFIGURATION_DESCRIPTOR, _CONFIGURATION_HEAD)
            total = int.from_bytes(head[2:4], "little")
            try:
                port.tree = descriptors.configuration(
                    self._descriptor(port, _CONFIGURATION_DESCRIPTOR, total)
                )
            except descriptors.DescriptorMalformed:
                _fail(-errno.EIO)
        return port.tree

    def _descriptor(self, port: _Port, value: int, length: int) -> bytes:
        return self._control(port, Setup(_FROM_DEVICE, _GET_DESCRIPTOR, value, 0, length))

    def open_device(self, dev: _Port) -> _Handle:
        """Open it; any number of handles may be open, and each interface has one owner."""
        if not dev.present:
            _fail(_GONE)
        return _Handle(dev)

    def close_device(self, dev_handle: _Handle) -> None:
        """Close it and give up its claims."""
        port = dev_handle.port
        with self._lock:
            port.claims = {n: owner for n, owner in port.claims.items() if owner is not dev_handle}

    def set_configuration(self, dev_handle: _Handle, config_value: int) -> None:
        """SET_CONFIGURATION; refused while an interface is claimed, as a kernel does."""
        if dev_handle.port.claims:
            _fail(_BUSY)
        self._control(dev_handle.port, Setup(_TO_DEVICE, _SET_CONFIGURATION, config_value, 0, 0))

    def get_configuration(self, dev_handle: _Handle) -> int:
        """GET_CONFIGURATION."""
        return self._control(dev_handle.port, Setup(_FROM_DEVICE, _GET_CONFIGURATION, 0, 0, 1))[0]

    def set_interface_altsetting(self, dev_handle: _Handle, intf: int, altsetting: int) -> None:
        """SET_INTERFACE."""
        self._control(dev_handle.port, Setup(_TO_INTERFACE, _SET_INTERFACE, altsetting, intf, 0))

    def claim_interface(self, dev_handle: _Handle, intf: int) -> None:
        """Make this handle the owner of an interface; "busy" if another one is."""
        port = dev_handle.port
        if not port.present:
            _fail(_GONE)
        if not 0 <= intf < len(self._tree(port).interfaces):
            _fail(_NOT_FOUND)
        with self._lock:
            if port.claims.setdefault(intf, dev_handle) is not dev_handle:
                _fail(_BUSY)

    def release_interface(self, dev_handle: _Handle, intf: int) -> None:
        """Give an interface up."""
        port = dev_handle.port
        if not port.present:
            _fail(_GONE)
        with self._lock:
            if port.claims.get(intf) is not dev_handle:
                _fail(_NOT_FOUND)
            del port.claims[intf]

    def bulk_write(
        self, dev_handle: _Handle, ep: int, intf: int, data: array[int], timeout: int
    ) -> int:
        """One bulk OUT transfer; how many bytes went."""
        urb = Urb(0, next(self._seqnums), 0, OUT, ep & 0x0F, 0, len(data), buffer=data.tobytes())
        self._transfer(dev_handle, intf, urb, timeout)
        return int(urb.actual)

    def bulk_read(
        self, dev_handle: _Handle, ep: int, intf: int, buff: array[int], timeout: int
    ) -> int:
        """One bulk IN transfer into ``buff``; how many bytes came."""
        urb = Urb(0, next(self._seqnums), 0, IN, ep & 0x0F, 0, len(buff))
        self._transfer(dev_handle, intf, urb, timeout)
        data = urb.buffer
        memoryview(buff)[: len(data)] = data
        return len(data)

    # To this bus an interrupt pipe is a bulk pipe: the device answers when it has something.
    intr_write = bulk_write
    intr_read = bulk_read

    def ctrl_transfer(  # noqa: PLR0917 - pyusb's signature
        self,
        dev_handle: _Handle,
        bmRequestType: int,  # noqa: N803 - pyusb's name
        bRequest: int,  # noqa: N803 - pyusb's name
        wValue: int,  # noqa: N803 - pyusb's name
        wIndex: int,  # noqa: N803 - pyusb's name
        data: array[int],
        timeout: int,
    ) -> int:
        """One control transfer; the device answers it at once, so that it cannot time out."""
        del timeout
        setup = Setup(bmRequestType, bRequest, wValue, wIndex, len(data))
        if bmRequestType & _FROM_DEVICE:
            answer = self._control(dev_handle.port, setup)
            memoryview(data)[: len(answer)] = answer
            return len(answer)
        self._control(dev_handle.port, setup, data.tobytes())
        return len(data)

    def clear_halt(self, dev_handle: _Handle, ep: int) -> None:
        """CLEAR_FEATURE(ENDPOINT_HALT)."""
        self._control(dev_handle.port, Setup(_TO_ENDPOINT, _CLEAR_FEATURE, _ENDPOINT_HALT, ep, 0))

    def reset_device(self, dev_handle: _Handle) -> None:
        """Bus reset; the configuration is set again, as a kernel does."""
        self._control(dev_handle.port, Setup(_TO_DEVICE, _SET_CONFIGURATION, 1, 0, 0))

    def is_kernel_driver_active(self, dev_handle: _Handle, intf: int) -> bool:
        """No kernel is on this bus."""
        del dev_handle, intf
        return False

    def _control(self, port: _Port, setup: Setup, data: bytes = b"") -> bytes:
        urb = Urb(
            seqnum=next(self._seqnums),
            direction=setup.direction,
            length=setup.wLength,
            setup=setup.pack(),
            buffer=data,
        )
        if not port.present:
            _fail(_GONE)
        port.device.handle_urb(urb)
        if urb.status:
            _fail(urb.status)
        answer: bytes = urb.buffer
        return answer

    def _transfer(self, handle: _Handle, intf: int, urb: Urb, timeout: int) -> None:
        port = handle.port
        if not port.present:
            _fail(_GONE)
        if port.claims.get(intf) is not handle:
            _fail(_NOT_FOUND)
        done: SimpleQueue[Urb | None] = SimpleQueue()
        if port.device.handle_urb(urb, done.put) is None:
            self._wait(port, urb, done, timeout)
        if urb.status:
            _fail(urb.status)

    def _wait(self, port: _Port, urb: Urb, done: SimpleQueue[Urb | None], timeout: int) -> None:
        with self._lock:
            port.waiting.add(done)
            if not port.present:
                _fail(_GONE)
        try:
            if done.get(timeout=timeout / 1000 if timeout else None) is None:
                _fail(_GONE)
        except Empty:
            # What cannot be cancelled any more is being completed this moment: not to be lost.
            if port.device.cancel_urb(urb.seqnum) or not self._completed(done):
                raise usb.core.USBTimeoutError(
                    "Operation timed out", libusb1.LIBUSB_ERROR_TIMEOUT, errno.ETIMEDOUT
                ) from None
        finally:
            with self._lock:
                port.waiting.discard(done)

    @staticmethod
    def _completed(done: SimpleQueue[Urb | None]) -> bool:
        try:
            return done.get(timeout=_IMMINENT) is not None
        except Empty:
            return False
