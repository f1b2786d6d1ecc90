"""The in-process bus behaves as pyusb's libusb backend does, down to the error numbers."""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Iterator

import pytest
import usb.core
import usb.util

from tests.transport.cards import EchoCard, device
from ushield.ccid.commands import GetSlotStatus, IccPowerOn
from ushield.ccid.descriptor import ClassDescriptor
from ushield.virtual.usb import VirtualBackend, VirtualUsbDevice
from ushield.virtual.usb.backend import BUS_NUMBER

OUT, IN, NOTICES, PANEL = 0x01, 0x81, 0x82, 0x83


@pytest.fixture
def plugged() -> VirtualUsbDevice:
    return device()


@pytest.fixture
def bus(plugged: VirtualUsbDevice) -> VirtualBackend:
    return VirtualBackend([plugged])


@pytest.fixture
def found(bus: VirtualBackend) -> Iterator[usb.core.Device]:
    handle = usb.core.find(backend=bus)
    yield handle
    usb.util.dispose_resources(handle)


def in_thread(call: object) -> tuple[threading.Thread, list[BaseException]]:
    """Run a call that is to fail with a USB error, beside the test."""
    caught: list[BaseException] = []

    def run() -> None:
        try:
            call()  # type: ignore[operator]
        except usb.core.USBError as error:
            caught.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread, caught


def test_pyusb_finds_the_device_with_its_descriptors_and_strings(found: usb.core.Device) -> None:
    assert (found.idVendor, found.idProduct) == (0x1209, 0x5348)
    assert (found.bus, found.address, found.port_numbers) == (BUS_NUMBER, 1, (1,))
    assert (found.manufacturer, found.product, found.serial_number) == (
        "ushield tests",
        "Echo",
        "E0001",
    )
    configuration = found.get_active_configuration()
    reader, panel = configuration
    assert ClassDescriptor.find(bytes(reader.extra_descriptors)).slot_count == 1
    assert [endpoint.bEndpointAddress for endpoint in reader] == [OUT, IN, NOTICES]
    assert [endpoint.bEndpointAddress for endpoint in panel] == [PANEL]


def test_frames_go_out_and_come_back(found: usb.core.Device) -> None:
    assert found.write(OUT, GetSlotStatus(0, 9).encode(), 1000) == 10
    assert bytes(found.read(IN, 64, 1000)) == bytes.fromhex("81000000000009010001")


def test_a_read_with_nothing_to_read_times_out_and_loses_nothing(found: usb.core.Device) -> None:
    with pytest.raises(usb.core.USBTimeoutError) as caught:
        found.read(IN, 64, 20)
    assert caught.value.errno == errno.ETIMEDOUT
    found.write(OUT, GetSlotStatus(0, 1).encode(), 1000)
    assert len(found.read(IN, 64, 1000)) == 10


def test_a_frame_that_comes_while_a_read_times_out_is_either_read_or_still_there(
    found: usb.core.Device,
) -> None:
    for number in range(200):
        writer = threading.Thread(
            target=found.write, args=(OUT, GetSlotStatus(0, number).encode(), 1000)
        )
        writer.start()
        try:
            frame = found.read(IN, 64, 1)
        except usb.core.USBTimeoutError:
            frame = found.read(IN, 64, 1000)
        writer.join(5)
        assert frame[6] == number


def test_an_interrupt_read_waits_in_one_thread_while_bulk_goes_on_in_another(
    plugged: VirtualUsbDevice, found: usb.core.Device
) -> None:
    report: list[bytes] = []
    reader = threading.Thread(target=lambda: report.append(bytes(found.read(PANEL, 16, 10_000))))
    reader.start()
    for number in range(50):
        found.write(OUT, GetSlotStatus(0, number).encode(), 1000)
        assert found.read(IN, 64, 1000)[6] == number
    assert reader.is_alive()
    plugged.report(b"sixteen bytes ok")
    reader.join(5)
    assert report == [b"sixteen bytes ok"]


def test_the_oldest_of_too_many_unread_panel_events_are_dropped(
    plugged: VirtualUsbDevice, found: usb.core.Device
) -> None:
    usb.util.claim_interface(found, 1)
    for number in range(20):
        plugged.report(bytes([number]) * 16)
    assert [found.read(PANEL, 16, 100)[0] for _ in range(16)] == list(range(4, 20))
    with pytest.raises(usb.core.USBTimeoutError):
        found.read(PANEL, 16, 10)


def test_a_slot_change_is_reported_when_the_device_is_configured(found: usb.core.Device) -> None:
    assert bytes(found.read(NOTICES, 8, 100)) == b"\x50\x03"


def test_a_second_claim_is_busy_until_the_first_is_given_up(
    bus: VirtualBackend, found: usb.core.Device
) -> None:
    usb.util.claim_interface(found, 0)
    other = usb.core.find(backend=bus)
    with pytest.raises(usb.core.USBError) as caught:
        usb.util.claim_interface(other, 0)
    assert caught.value.errno == errno.EBUSY
    usb.util.claim_interface(other, 1)
    usb.util.dispose_resources(found)
    usb.util.claim_interface(other, 0)
    usb.util.dispose_resources(other)


def test_the_configuration_is_not_changed_under_somebody_who_uses_it(
    found: usb.core.Device,
) -> None:
    usb.util.claim_interface(found, 0)
    with pytest.raises(usb.core.USBError) as caught:
        found.set_configuration()
    assert caught.value.errno == errno.EBUSY


def test_pulling_the_device_ends_every_transfer_that_waits(
    plugged: VirtualUsbDevice, found: usb.core.Device
) -> None:
    usb.util.claim_interface(found, 0)
    usb.util.claim_interface(found, 1)
    waiting = [
        in_thread(lambda: found.read(IN, 64, 30_000)),
        in_thread(lambda: found.read(PANEL, 16, 0)),
    ]
    time.sleep(0.05)
    plugged.detach()
    for thread, caught in waiting:
        thread.join(5)
        assert [error.errno for error in caught if isinstance(error, OSError)] == [errno.ENODEV]


@pytest.mark.parametrize(
    "use",
    [
        lambda handle: handle.write(OUT, b"x" * 10, 100),
        lambda handle: handle.read(IN, 64, 100),
        lambda handle: handle.ctrl_transfer(0x80, 0x08, 0, 0, 1),
        lambda handle: handle.clear_halt(IN),
        lambda handle: usb.util.claim_interface(handle, 1),
        lambda handle: usb.util.release_interface(handle, 0),
    ],
    ids=["write", "read", "control", "clear halt", "claim", "release"],
)
def test_a_pulled_device_answers_nothing_any_more(
    plugged: VirtualUsbDevice, found: usb.core.Device, use: object
) -> None:
    usb.util.claim_interface(found, 0)
    found.get_active_configuration()
    found.write(OUT, GetSlotStatus(0, 1).encode(), 1000)
    plugged.detach()
    with pytest.raises(usb.core.USBError) as caught:
        use(found)  # type: ignore[operator]
    assert caught.value.errno == errno.ENODEV


def test_a_device_put_in_again_is_a_new_one_with_a_new_address(
    plugged: VirtualUsbDevice, bus: VirtualBackend, found: usb.core.Device
) -> None:
    plugged.detach()
    assert usb.core.find(backend=bus) is None
    plugged.attach()
    again = usb.core.find(backend=bus)
    assert (again.address, again.port_numbers) == (found.address + 1, found.port_numbers)
    with pytest.raises(usb.core.USBError):
        found.get_active_configuration()
    assert bytes(again.read(NOTICES, 8, 100)) == b"\x50\x03"
    usb.util.dispose_resources(again)


def test_pulling_it_takes_the_cards_power_and_what_was_unread() -> None:
    card = EchoCard()
    plugged = device(card)
    bus = VirtualBackend([plugged])
    handle = usb.core.find(backend=bus)
    handle.write(OUT, IccPowerOn(0, 1).encode(), 1000)
    plugged.report(bytes(16))
    plugged.detach()
    plugged.detach()
    plugged.report(bytes(16))
    assert (card.powered, card.power_ups) == (False, 1)
    plugged.attach()
    again = usb.core.find(backend=bus)
    for endpoint in (IN, PANEL):
        with pytest.raises(usb.core.USBTimeoutError):
            again.read(endpoint, 64, 10)
    usb.util.dispose_resources(again)


def test_a_bus_reset_takes_the_cards_power() -> None:
    card = EchoCard()
    handle = usb.core.find(backend=VirtualBackend([device(card)]))
    handle.write(OUT, IccPowerOn(0, 1).encode(), 1000)
    handle.reset()
    assert not card.powered
    assert handle.get_active_configuration().bConfigurationValue == 1


def test_several_devices_hang_in_ports_of_their_own() -> None:
    bus = VirtualBackend([device(), device()])
    handles = list(usb.core.find(find_all=True, backend=bus))
    assert [handle.port_numbers for handle in handles] == [(1,), (2,)]


def test_an_unknown_class_request_is_answered_by_a_stall(found: usb.core.Device) -> None:
    with pytest.raises(usb.core.USBError) as caught:
        found.ctrl_transfer(0xA1, 0x03, 0, 0, 4)
    assert caught.value.errno == errno.EPIPE


def test_what_does_not_exist_cannot_be_claimed_or_described(
    bus: VirtualBackend, found: usb.core.Device
) -> None:
    with pytest.raises(usb.core.USBError) as caught:
        usb.util.claim_interface(found, 7)
    assert caught.value.errno == errno.ENOENT
    with pytest.raises(usb.core.USBError):
        found[1]
    with pytest.raises(IndexError):
        found[0][(0, 1)]
    assert found.parent is None


def test_alternate_settings_can_be_chosen(found: usb.core.Device) -> None:
    found.set_interface_altsetting(0, 0)
    found.write(OUT, GetSlotStatus(0, 1).encode(), 1000)
    assert len(found.read(IN, 64, 1000)) == 10


def test_a_host_that_never_reads_does_not_make_the_token_grow(found: usb.core.Device) -> None:
    for number in range(200):
        found.write(OUT, GetSlotStatus(0, number).encode(), 1000)
    unread = [found.read(IN, 64, 10) for _ in range(64)]
    assert [frame[6] for frame in unread] == list(range(136, 200))
    with pytest.raises(usb.core.USBTimeoutError):
        found.read(IN, 64, 10)
