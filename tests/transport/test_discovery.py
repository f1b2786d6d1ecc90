"""Finding readers without opening them, and who is where."""

from __future__ import annotations

import errno
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import usb.core

from tests.transport.cards import OK, EchoCard, device, echo
from ushield.errors import SpecInvalid, TokenNotFound
from ushield.transport.connection import DeviceInfo, Scheme
from ushield.transport.usb import Arrived, Removed, backend, find_readers, usb_backend, watch
from ushield.transport.usb.scheme import SCHEME, UsbScheme
from ushield.virtual.usb import VirtualBackend, VirtualUsbDevice


class ClosedBus(VirtualBackend):
    """A bus on which opening anything is an error of the test."""

    def open_device(self, dev: Any) -> Any:
        raise AssertionError("discovery opened a device")


class HubBus(VirtualBackend):
    """The same bus as number 3, behind two hubs in its port 1."""

    def get_device_descriptor(self, dev: Any) -> Any:
        descriptor = super().get_device_descriptor(dev)
        descriptor.bus, descriptor.port_numbers = 3, (1, 4, dev.number)
        return descriptor


def describe_in_sysfs(sysfs: Path, place: str, **attributes: bytes) -> None:
    folder = sysfs / "bus" / "usb" / "devices" / place
    folder.mkdir(parents=True)
    for name, value in attributes.items():
        (folder / name).write_bytes(value)


def test_readers_are_found_by_bus_and_port_path(tmp_path: Path) -> None:
    readers = find_readers(HubBus([device(), device()]), sysfs=tmp_path)
    assert [reader.info.spec for reader in readers] == ["usb:3-1.4.1", "usb:3-1.4.2"]


def test_what_libusb_lists_and_linux_has_no_more_is_not_found(tmp_path: Path) -> None:
    bus = HubBus([device(), device()])
    _, second = find_readers(bus, sysfs=tmp_path)
    describe_in_sysfs(tmp_path, "usb3")
    assert find_readers(bus, sysfs=tmp_path) == ()
    describe_in_sysfs(tmp_path, "3-1.4.1", devnum=b"99\n")
    describe_in_sysfs(tmp_path, "3-1.4.2", devnum=f"{second.address}\n".encode())
    assert find_readers(bus, sysfs=tmp_path) == (second,)


def test_finding_opens_nothing_and_takes_the_names_from_the_system(tmp_path: Path) -> None:
    describe_in_sysfs(
        tmp_path, "0-1", serial=b"S1\n", manufacturer="工银\n".encode(), product=b"U-Shield\n"
    )
    (reader,) = find_readers(ClosedBus([device()]), sysfs=tmp_path)
    assert reader.info == DeviceInfo("usb:0-1", 0x1209, 0x5348, "S1", "工银", "U-Shield")


def test_names_a_device_chose_cannot_drive_the_terminal_they_are_printed_on(
    tmp_path: Path,
) -> None:
    describe_in_sysfs(
        tmp_path, "0-1", serial=b"a\x1b[2Jb\x07\n", product=b"\xff\xfe", manufacturer=b"x" * 9999
    )
    (reader,) = find_readers(ClosedBus([device()]), sysfs=tmp_path)
    assert reader.info.serial == "a[2Jb"
    assert reader.info.product.isprintable()
    assert len(reader.info.manufacturer) == 256


class Variant(VirtualUsbDevice):
    """An echo token whose configuration is edited."""

    def __init__(self, **edits: int) -> None:
        super().__init__(
            EchoCard(), vendor_id=1, product_id=2, manufacturer="", product="", serial=""
        )
        self._edits = {int(key[1:]): value for key, value in edits.items()}

    def config_bytes(self) -> bytes:
        whole = bytearray(super().config_bytes())
        for offset, value in self._edits.items():
            whole[offset] = value
        return bytes(whole)


INTERFACE_CLASS = "_14"
BULK_OUT_KIND = "_75"
CLASS_DESCRIPTOR_KIND = "_19"
FIRST_LENGTH = "_9"


def test_a_reader_of_vendor_class_is_known_by_its_class_descriptor() -> None:
    assert len(find_readers(VirtualBackend([Variant(**{INTERFACE_CLASS: 0xFF})]))) == 1


@pytest.mark.parametrize(
    "edits",
    [
        {INTERFACE_CLASS: 0x03},
        {CLASS_DESCRIPTOR_KIND: 0x24},
        {BULK_OUT_KIND: 0x03},
        {FIRST_LENGTH: 0x00},
        {FIRST_LENGTH: 0xFF},
    ],
    ids=["keyboard", "no class descriptor", "no bulk pipe", "length 0", "past the end"],
)
def test_what_is_no_reader_is_passed_over(edits: dict[str, int]) -> None:
    assert find_readers(VirtualBackend([Variant(**edits), device()]))[0].info.spec == "usb:0-2"
    assert len(find_readers(VirtualBackend([Variant(**edits), device()]))) == 1


class EndlessBus(VirtualBackend):
    """A bus whose device describes interfaces and settings without end."""

    asked = 0

    def get_configuration_descriptor(self, dev: Any, config: int) -> Any:
        descriptor = super().get_configuration_descriptor(dev, config)
        descriptor.bNumInterfaces = 255
        return descriptor

    def get_interface_descriptor(self, dev: Any, intf: int, alt: int, config: int) -> Any:
        self.asked += 1
        descriptor = super().get_interface_descriptor(dev, 1, 0, config)
        descriptor.bNumEndpoints = 255
        return descriptor

    def get_endpoint_descriptor(self, dev: Any, ep: int, intf: int, alt: int, config: int) -> Any:
        self.asked += 1
        return super().get_endpoint_descriptor(dev, 0, 1, 0, config)


def test_descriptors_without_end_are_not_followed_for_ever() -> None:
    bus = EndlessBus([device()])
    assert find_readers(bus) == ()
    assert bus.asked < 5000


class FailingBus(VirtualBackend):
    """A bus that breaks while it is listed."""

    def enumerate_devices(self) -> Iterator[Any]:
        yield from super().enumerate_devices()
        raise usb.core.USBError("bus is gone", -1, errno.EIO)


class UnreadableBus(VirtualBackend):
    """A bus with a device that leaves before its descriptor is read."""

    def get_device_descriptor(self, dev: Any) -> Any:
        if dev.number == 1:
            raise usb.core.USBError("gone", -4, errno.ENODEV)
        return super().get_device_descriptor(dev)


def test_a_bus_that_breaks_still_tells_what_it_had() -> None:
    assert len(find_readers(FailingBus([device()]))) == 1


def test_a_device_that_leaves_meanwhile_does_not_hide_the_others() -> None:
    (reader,) = find_readers(UnreadableBus([device(), device()]))
    assert reader.info.spec == "usb:0-2"


def test_a_machine_without_usb_has_no_readers() -> None:
    assert find_readers(None) == ()


def test_the_real_bus_is_listed_without_error_whatever_this_machine_has() -> None:
    assert usb_backend() is usb_backend()
    scheme: Scheme = SCHEME
    assert isinstance(scheme.find(), tuple)


def test_the_scheme_finds_and_opens_by_place(tmp_path: Path) -> None:
    scheme = UsbScheme(HubBus([device(), device()]), tmp_path)
    assert [info.spec for info in scheme.find()] == ["usb:3-1.4.1", "usb:3-1.4.2"]
    connection = scheme.open("3-1.4.2")
    assert connection.device.spec == "usb:3-1.4.2"
    assert connection.transmit(echo(b"x")) == b"x" + OK
    connection.close()


@pytest.mark.parametrize("address", ["", "1", "1-", "-1", "1-4.", "1-4 ", "1-x", "１-４", "1" * 99])
def test_what_is_no_place_on_usb_is_refused(address: str) -> None:
    with pytest.raises(SpecInvalid):
        UsbScheme(VirtualBackend([])).open(address)


def test_an_empty_place_has_no_token(tmp_path: Path) -> None:
    with pytest.raises(TokenNotFound):
        UsbScheme(VirtualBackend([device()]), tmp_path).open("0-2")


def test_arrivals_and_removals_are_told_in_their_order() -> None:
    first, second = device(), device()
    second.detach()
    bus = VirtualBackend([first, second])
    stop = threading.Event()
    events = watch(lambda: find_readers(bus), stop, interval=0)

    arrived = next(events)
    assert isinstance(arrived, Arrived)
    assert arrived.reader.info.spec == "usb:0-1"
    second.attach()
    later = next(events)
    assert isinstance(later, Arrived)
    assert later.reader.info.spec == "usb:0-2"
    first.detach()
    assert next(events) == Removed(arrived.reader)
    stop.set()
    assert list(events) == []


def test_a_token_replugged_between_two_looks_is_removed_and_arrives() -> None:
    plugged = device()
    bus = VirtualBackend([plugged])
    events = watch(lambda: find_readers(bus), threading.Event(), interval=0)
    before = next(events)
    plugged.detach()
    plugged.attach()
    assert next(events) == Removed(before.reader)
    after = next(events)
    assert isinstance(after, Arrived)
    assert after.reader != before.reader
    assert after.reader.info == before.reader.info


def test_watching_ends_when_it_is_told_to_while_nothing_happens() -> None:
    stop = threading.Event()
    bus = VirtualBackend([])
    seen: list[object] = []
    watcher = threading.Thread(
        target=lambda: seen.extend(watch(lambda: find_readers(bus), stop, interval=60)), daemon=True
    )
    watcher.start()
    stop.set()
    watcher.join(10)
    assert not watcher.is_alive()
    assert seen == []


def test_a_machine_without_any_libusb_has_an_empty_list_and_no_traceback() -> None:
    code = (
        "import sys\n"
        "sys.modules['libusb_package'] = None\n"
        "from usb.backend import libusb1\n"
        "libusb1.get_backend = lambda find_library=None: None\n"
        "from ushield.transport.usb.scheme import SCHEME\n"
        "assert SCHEME.find() == ()\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert (ran.returncode, ran.stderr) == (0, "")


@pytest.mark.skipif(sys.platform != "linux", reason="udev is Linux's")
@pytest.mark.parametrize("runs", [True, False])
def test_the_system_library_comes_first_where_udev_tells_it_of_plugs(
    runs: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    control = tmp_path / "control"
    if runs:
        control.touch()
    system, packaged = VirtualBackend([]), VirtualBackend([])
    monkeypatch.setattr(backend, "_UDEV", control)
    monkeypatch.setattr(backend, "_system_backend", lambda: system)
    monkeypatch.setattr(backend, "_packaged_backend", lambda: packaged)
    assert usb_backend.__wrapped__() is (system if runs else packaged)
    monkeypatch.setattr(backend, "_system_backend", lambda: None)
    assert usb_backend.__wrapped__() is packaged
    monkeypatch.setattr(backend, "_packaged_backend", lambda: None)
    assert usb_backend.__wrapped__() is None
