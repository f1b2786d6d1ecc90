"""Who is plugged in, and who holds it, found without opening anything.

libusb reads descriptors from the system, and Linux tells serial numbers and names in sysfs; a
device that another program holds is found like any other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import usb.backend
import usb.core

from ushield.transport.connection import DeviceInfo
from ushield.transport.holder import Holder, find_holder
from ushield.transport.usb.interfaces import reader_interface
from ushield.transport.usb.sysfs import SYSFS, attribute

__all__ = [
    "UsbReader",
    "describe",
    "device_node",
    "find_device_holder",
    "find_readers",
]


@dataclass(frozen=True, slots=True)
class UsbReader:
    """A slot of a smart-card reader, or a token, as found.

    ``address`` changes each time it is plugged in, ``slot`` counts from 0 as on the wire, and
    ``slot_count`` is how many the reader has. Equal while the same thing stays in the same port.
    """

    info: DeviceInfo
    address: int
    device: usb.core.Device = field(compare=False, repr=False)
    slot: int = 0
    slot_count: int = 1


def find_readers(
    backend: usb.backend.IBackend | None, *, sysfs: Path = SYSFS
) -> tuple[UsbReader, ...]:
    """The slots of all readers on the bus of ``backend``, in the order of their SPECs.

    None without a bus.

    ``sysfs`` is where the system's own description of its devices is mounted.
    """
    if backend is None:
        return ()
    readers: list[UsbReader] = []
    try:
        for handle in backend.enumerate_devices():
            readers += _slots(handle, backend, sysfs)
    except usb.core.USBError:
        # The bus itself went away or cannot be listed; what was found until then still counts.
        pass
    return tuple(sorted(readers, key=_order))


def describe(
    device: usb.core.Device, slot: int | None = None, *, sysfs: Path = SYSFS
) -> DeviceInfo:
    """What can be told about a device without opening it; ``slot`` where it has several."""
    port = _port_path(device)
    place = sysfs / "bus" / "usb" / "devices" / f"{device.bus}-{port}"
    return DeviceInfo(
        spec=f"usb:{device.bus}-{port}" + ("" if slot is None else f"/{slot}"),
        vendor_id=int(device.idVendor),
        product_id=int(device.idProduct),
        serial=attribute(place / "serial"),
        manufacturer=attribute(place / "manufacturer"),
        product=attribute(place / "product"),
    )


def device_node(device: usb.core.Device) -> str:
    """The file by which Linux programs open a USB device."""
    return f"/dev/bus/usb/{device.bus:03d}/{device.address:03d}"


def find_device_holder(device: usb.core.Device) -> Holder | None:
    """A process that has the device open; this one's own handle must be closed before."""
    return find_holder(device_node(device))


def _slots(handle: object, backend: usb.backend.IBackend, sysfs: Path) -> Iterator[UsbReader]:
    try:
        device = usb.core.Device(handle, backend)
        if _is_gone(device, sysfs) or not device.bNumConfigurations:
            return
        reader = reader_interface(device[0])
    except (usb.core.USBError, IndexError):
        # Unplugged this moment, or with descriptors that nobody can read: no reader of ours.
        return
    if reader is None:
        return
    count, address = reader.descriptor.slot_count, int(device.address)
    for slot in range(count):
        info = describe(device, slot if count > 1 else None, sysfs=sysfs)
        yield UsbReader(info, address, device, slot, count)


def _is_gone(device: usb.core.Device, sysfs: Path) -> bool:
    """Whether Linux knows the bus, and has nothing of that address in that place any more.

    libusb's list can go on naming what was pulled: seen with 1.0.30, which had read the kernel's
    message of the removal and kept the device all the same.
    """
    devices = sysfs / "bus" / "usb" / "devices"
    if not (devices / f"usb{device.bus}").exists():
        return False
    return attribute(devices / f"{device.bus}-{_port_path(device)}" / "devnum") != str(
        device.address
    )


def _order(reader: UsbReader) -> tuple[int, tuple[int, ...], int]:
    return int(reader.device.bus), tuple(reader.device.port_numbers or ()), reader.slot


def _port_path(device: usb.core.Device) -> str:
    # Devices of a controller without ports, as libusb sees some, count as being in port 0.
    return ".".join(str(number) for number in device.port_numbers or (0,))
