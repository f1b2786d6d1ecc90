"""Taking a device, from whoever has it, and giving it back."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

import pytest
import usb.core
import usb.util
from usb.backend import libusb1

from tests.transport.cards import OK, EchoCard, connect, device, echo
from ushield.ccid.commands import Abort
from ushield.ccid.errors import EndpointHalted
from ushield.ccid.steps import ClassRequest, Control, Receive, Send
from ushield.errors import (
    AccessDenied,
    ProtocolViolation,
    TokenBusy,
    TokenRemoved,
    TransferFailed,
    TransferTimeout,
    TransportError,
)
from ushield.transport.connection import DeviceInfo
from ushield.transport.holder import Holder
from ushield.transport.usb.connection import open_usb
from ushield.transport.usb.link import UsbLink
from ushield.virtual.usb import Direction, FaultKind, VirtualBackend, VirtualUsbDevice


def failure(number: int) -> usb.core.USBError:
    return usb.core.USBError(os.strerror(number), libusb1.LIBUSB_ERROR_OTHER, number)


class KernelBus(VirtualBackend):
    """A bus with a kernel above it: its drivers hold interfaces until they are detached."""

    def __init__(self, devices: Iterable[VirtualUsbDevice], *, bound: Iterable[int]) -> None:
        super().__init__(devices)
        self.bound = set(bound)
        self.log: list[tuple[str, int]] = []

    def is_kernel_driver_active(self, dev_handle: Any, intf: int) -> bool:
        return intf in self.bound

    def detach_kernel_driver(self, dev_handle: Any, intf: int) -> None:
        self.bound.remove(intf)
        self.log.append(("detach", intf))

    def attach_kernel_driver(self, dev_handle: Any, intf: int) -> None:
        self.bound.add(intf)
        self.log.append(("attach", intf))

    def claim_interface(self, dev_handle: Any, intf: int) -> None:
        if intf in self.bound:
            raise failure(errno.EBUSY)
        super().claim_interface(dev_handle, intf)


class OtherSystemBus(VirtualBackend):
    """A bus of a system where drivers cannot be detached, as pyusb reports it."""

    def is_kernel_driver_active(self, dev_handle: Any, intf: int) -> bool:
        raise NotImplementedError


class RefusingBus(VirtualBackend):
    """A bus whose system does not let this user open devices."""

    def open_device(self, dev: Any) -> Any:
        raise failure(errno.EACCES)


def test_the_kernels_driver_is_detached_and_attached_again() -> None:
    bus = KernelBus([device()], bound=[0])
    connection = open_usb(usb.core.find(backend=bus))
    assert connection.transmit(echo(b"x")) == b"x" + OK
    assert bus.log == [("detach", 0)]
    connection.close()
    assert bus.log == [("detach", 0), ("attach", 0)]


def test_the_driver_is_attached_again_where_opening_fails() -> None:
    plugged = device()
    bus = KernelBus([plugged], bound=[0])
    for at in range(1, 10):
        plugged.faults.order(FaultKind.DROP, Direction.IN, at=at)
    with pytest.raises(TransferTimeout):
        open_usb(usb.core.find(backend=bus), timeout=0.2)
    assert bus.log == [("detach", 0), ("attach", 0)]


def test_a_driver_that_comes_back_before_the_claim_leaves_the_device_busy() -> None:
    class QuickDriver(KernelBus):
        def detach_kernel_driver(self, dev_handle: Any, intf: int) -> None:
            super().detach_kernel_driver(dev_handle, intf)
            self.bound.add(intf)

    bus = QuickDriver([device()], bound=[0])
    with pytest.raises(TokenBusy):
        open_usb(usb.core.find(backend=bus))


def test_a_system_without_detachable_drivers_is_no_obstacle() -> None:
    connection = open_usb(usb.core.find(backend=OtherSystemBus([device()])))
    assert connection.transmit(echo(b"x")) == b"x" + OK
    connection.close()


def test_a_device_in_use_is_busy_and_its_holder_is_named() -> None:
    bus = VirtualBackend([device()])
    first = open_usb(usb.core.find(backend=bus))
    asked: list[DeviceInfo] = []

    def holder(found: usb.core.Device) -> Holder:
        asked.append(found)
        return Holder(4711, "pcscd")

    with pytest.raises(TokenBusy) as caught:
        open_usb(usb.core.find(backend=bus), holder=holder)
    assert (caught.value.pid, caught.value.program) == (4711, "pcscd")
    assert "pcscd (process 4711)" in str(caught.value)
    assert len(asked) == 1
    assert first.transmit(echo(b"mine")) == b"mine" + OK
    first.close()
    open_usb(usb.core.find(backend=bus)).close()


@pytest.mark.parametrize("holder", [None, Holder(12, "")])
def test_a_holder_that_cannot_be_named_is_another_program(holder: Holder | None) -> None:
    bus = VirtualBackend([device()])
    first = open_usb(usb.core.find(backend=bus))
    with pytest.raises(TokenBusy) as caught:
        open_usb(usb.core.find(backend=bus), holder=lambda _: holder)
    assert caught.value.program is None
    first.close()


def test_a_user_without_permission_is_told_of_the_udev_rules() -> None:
    with pytest.raises(AccessDenied) as caught:
        open_usb(usb.core.find(backend=RefusingBus([device()])))
    assert "udev" in caught.value.remedy


def test_a_device_pulled_before_it_is_opened_is_removed() -> None:
    plugged = device()
    found = usb.core.find(backend=VirtualBackend([plugged]))
    plugged.detach()
    with pytest.raises(TokenRemoved):
        open_usb(found)


@pytest.mark.parametrize("direction", list(Direction))
@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_device_pulled_while_it_is_opened_is_removed(direction: Direction, at: int) -> None:
    plugged = device()
    plugged.faults.order(FaultKind.UNPLUG, direction, at=at)
    with pytest.raises(TokenRemoved):
        connect(plugged)
    plugged.attach()
    connect(plugged).close()


@pytest.mark.parametrize("kind", [kind for kind in FaultKind if kind is not FaultKind.UNPLUG])
@pytest.mark.parametrize("direction", list(Direction))
@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_fault_while_opening_is_survived_or_typed_and_the_next_try_works(
    kind: FaultKind, direction: Direction, at: int
) -> None:
    plugged = device()
    plugged.faults.order(kind, direction, at=at, seconds=0.05, offset=6)
    with suppress(TransportError):
        connect(plugged, timeout=0.4).close()
    again = connect(plugged)
    assert again.transmit(echo(b"x")) == b"x" + OK
    again.close()


def test_an_unconfigured_device_is_configured() -> None:
    bus = VirtualBackend([device()])
    found = usb.core.find(backend=bus)
    found.set_configuration(0)
    connection = open_usb(found)
    assert connection.transmit(echo(b"x")) == b"x" + OK
    connection.close()


class NoReader(VirtualUsbDevice):
    """The token's panel without its reader."""

    def config_bytes(self) -> bytes:
        whole = bytearray(super().config_bytes())
        whole[9 + 5] = 0x03
        return bytes(whole)


def test_a_device_that_is_no_reader_is_refused() -> None:
    plugged = NoReader(
        EchoCard(), vendor_id=1, product_id=2, manufacturer="", product="", serial=""
    )
    with pytest.raises(TransferFailed, match="CCID"):
        open_usb(usb.core.find(backend=VirtualBackend([plugged])))


class LinuxBus(VirtualBackend):
    """A bus that reports a pulled plug first as an I/O error, as Linux does."""

    broken = False

    def bulk_read(self, dev_handle: Any, ep: int, intf: int, buff: Any, timeout: int) -> int:
        try:
            if self.broken:
                raise failure(errno.EIO)
            return super().bulk_read(dev_handle, ep, intf, buff, timeout)
        except usb.core.USBError as error:
            if error.errno == errno.ENODEV:
                raise failure(errno.EIO) from error
            raise


def test_an_io_error_of_a_device_that_is_gone_is_its_removal() -> None:
    plugged = device()
    connection = open_usb(usb.core.find(backend=LinuxBus([plugged])))
    plugged.faults.order(FaultKind.UNPLUG, Direction.IN)
    with pytest.raises(TokenRemoved):
        connection.transmit(echo(b"x"))
    connection.close()


def test_an_io_error_of_a_device_that_is_there_is_a_failed_transfer() -> None:
    bus = LinuxBus([device()])
    connection = open_usb(usb.core.find(backend=bus))
    bus.broken = True
    with pytest.raises(TransferFailed):
        connection.transmit(echo(b"x"))
    bus.broken = False
    assert connection.transmit(echo(b"y")) == b"y" + OK
    connection.close()


class NoNotices(VirtualUsbDevice):
    """A token whose reader has no interrupt endpoint: 65 of 691 known readers have none."""

    def config_bytes(self) -> bytes:
        whole = bytearray(super().config_bytes())
        del whole[9 + 9 + 54 + 14 : 9 + 9 + 54 + 21]
        whole[2:4] = len(whole).to_bytes(2, "little")
        whole[9 + 4] = 2
        return bytes(whole)


def test_a_reader_without_interrupt_endpoint_is_a_reader() -> None:
    plugged = NoNotices(
        EchoCard(), vendor_id=1, product_id=2, manufacturer="", product="", serial=""
    )
    connection = connect(plugged)
    assert connection.transmit(echo(b"x")) == b"x" + OK
    connection.close()


@pytest.mark.parametrize("endpoint", [0x01, 0x81, 0x82])
def test_an_endpoint_left_halted_by_an_earlier_program_is_no_obstacle(endpoint: int) -> None:
    bus = VirtualBackend([device()])
    found = usb.core.find(backend=bus)
    found.ctrl_transfer(0x02, 0x03, 0x00, endpoint)
    connection = open_usb(found)
    assert connection.transmit(echo(b"x")) == b"x" + OK
    connection.close()


@pytest.mark.parametrize("half", ["control", "bulk"])
def test_half_an_abort_left_by_a_program_that_died_is_no_obstacle(half: str) -> None:
    bus = VirtualBackend([device()])
    dying = open_usb(usb.core.find(backend=bus))
    link = dying._link
    if half == "control":
        link.perform(Control(ClassRequest.ABORT, 9 << 8, 0, 1.0))
    else:
        link.perform(Send(Abort(0, 9).encode(), 1.0))
    link.close()
    connection = open_usb(usb.core.find(backend=bus))
    assert connection.transmit(echo(b"x")) == b"x" + OK
    connection.close()


def test_threads_that_open_one_token_at_once_share_it_out() -> None:
    for _ in range(20):
        bus = VirtualBackend([device()])
        outcomes: list[str] = []

        def take(bus: VirtualBackend = bus, outcomes: list[str] = outcomes) -> None:
            try:
                connection = open_usb(usb.core.find(backend=bus))
            except TokenBusy:
                outcomes.append("busy")
                return
            outcomes.append(connection.transmit(echo(b"mine")).hex())
            connection.close()

        threads = [threading.Thread(target=take) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert len(outcomes) == 4
        assert (b"mine" + OK).hex() in outcomes
        assert set(outcomes) <= {"busy", (b"mine" + OK).hex()}


class ShortBus(VirtualBackend):
    """A bus that takes less of a message than it was given."""

    def bulk_write(self, dev_handle: Any, ep: int, intf: int, data: Any, timeout: int) -> int:
        return super().bulk_write(dev_handle, ep, intf, data, timeout) - 1


def test_a_message_that_went_only_in_part_is_a_failed_transfer() -> None:
    with pytest.raises(TransferFailed, match="bytes"):
        open_usb(usb.core.find(backend=ShortBus([device()])))


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (errno.ENODEV, TokenRemoved),
        (errno.ESHUTDOWN, TokenRemoved),
        (errno.ETIMEDOUT, TransferTimeout),
        (errno.EACCES, AccessDenied),
        (errno.EPERM, AccessDenied),
        (errno.EBUSY, TokenBusy),
        (errno.EPIPE, EndpointHalted),
        (errno.EOVERFLOW, ProtocolViolation),
        (errno.EINVAL, TransferFailed),
        (None, TransferFailed),
    ],
)
def test_each_error_number_has_its_type(
    number: int | None,
    expected: type[TransportError],
    raising: Callable[[Any], type[VirtualBackend]],
) -> None:
    bus = raising(usb.core.USBError("no luck", libusb1.LIBUSB_ERROR_OTHER, number))([device()])
    with pytest.raises(expected):
        open_usb(usb.core.find(backend=bus))


@pytest.fixture
def raising() -> Callable[[usb.core.USBError], type[VirtualBackend]]:
    """Makes a bus on which no device can be opened."""

    def make(error: usb.core.USBError) -> type[VirtualBackend]:
        class FailingBus(VirtualBackend):
            def open_device(self, dev: Any) -> Any:
                raise error

        return FailingBus

    return make


def test_a_link_that_was_closed_follows_no_handle_into_freed_memory() -> None:
    bus = KernelBus([device(EchoCard())], bound=())
    (found,) = usb.core.find(find_all=True, backend=bus)
    link = UsbLink.open(found, lambda _: None)
    sibling = link.sibling()
    link.close()
    for closed in (link, sibling):
        for step in (Send(b"", 1.0), Receive(1.0, 64)):
            with pytest.raises(TransferFailed, match="given back"):
                closed.perform(step)
