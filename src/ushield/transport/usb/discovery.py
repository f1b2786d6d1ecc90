"""Who is plugged in, and who holds it, found without opening anything.

libusb reads descriptors from the system, and Linux tells serial numbers and names in sysfs; a
device that another program holds is found like any other.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import usb.backend
import usb.core

from ushield.transport.connection import DeviceInfo
from ushield.transport.holder import Holder, find_holder
from ushield.transport.usb.interfaces import reader_interface

__all__ = [
    "SYSFS",
    "UsbReader",
    "describe",
    "device_node",
    "find_device_holder",
    "find_readers",
]

SYSFS: Final = Path("/sys")

_MAX_NAME: Final = 256


@dataclass(frozen=True, slots=True)
class UsbReader:
    """A smart-card reader, or a token, as found. ``address`` changes each time it is plugged in.

    Equal while the same thing stays in the same port.
    """

    info: DeviceInfo
    address: int
    device: usb.core.Device = field(compare=False, repr=False)


def find_readers(
    backend: usb.backend.IBackend | None, *, sysfs: Path = SYSFS
) -> tuple[UsbReader, ...]:
    """The readers on the bus of ``backend``, in the order of their SPECs; none without a bus.

    ``sysfs`` is where the system's own description of its devices is mounted.
    """
    if backend is None:
        return ()
    readers = []
    try:
        for handle in backend.enumerate_devices():
            reader = _reader(handle, backend, sysfs)
            if reader is not None:
                readers.append(reader)
    except usb.core.USBError:
        # The bus itself went away or cannot be listed; what was found until then still counts.
        pass
    return tuple(sorted(readers, key=lambda reader: _order(reader.device)))


def describe(device: usb.core.Device, *, sysfs: Path = SYSFS) -> DeviceInfo:
    """What can be told about a device without opening it."""
    port = _port_path(device)
    place = sysfs / "bus" / "usb" / "devices" / f"{device.bus}-{port}"
    return DeviceInfo(
        spec=f"usb:{device.bus}-{port}",
        vendor_id=int(device.idVendor),
        product_id=int(device.idProduct),
        serial=_attribute(place / "serial"),
        manufacturer=_attribute(place / "manufacturer"),
        product=_attribute(place / "product"),
    )


def device_node(device: usb.core.Device) -> str:
    """The file by which Linux programs open a USB device."""
    return f"/dev/bus/usb/{device.bus:03d}/{device.address:03d}"


def find_device_holder(device: usb.core.Device) -> Holder | None:
    """A process that has the device open; this one's own handle must be closed before."""
    return find_holder(device_node(device))


def _reader(handle: object, backend: usb.backend.IBackend, sysfs: Path) -> UsbReader | None:
    try:
        device = usb.core.Device(handle, backend)
        if _is_gone(device, sysfs):
            return None
        if not device.bNumConfigurations or reader_interface(device[0]) is None:
            return None
    except (usb.core.USBError, IndexError):
        # Unplugged this moment, or with descriptors that nobody can read: no reader of ours.
        return None
    return UsbReader(describe(device, sysfs=sysfs), int(device.address), device)


def _is_gone(device: usb.core.Device, sysfs: Path) -> bool:
    """Whether Linux knows the bus, and has nothing of that address in that place any more.

    libusb's list can go on naming what was pulled: seen with 1.0.30, which had read the kernel's
    message of the removal and kept the device all the same.
    """
    devices = sysfs / "bus" / "usb" / "devices"
    if not (devices / f"usb{device.bus}").exists():
        return False
    return _attribute(devices / f"{device.bus}-{_port_path(device)}" / "devnum") != str(
        device.address
    )


def _order(device: usb.core.Device) -> tuple[int, tuple[int, ...]]:
    return int(device.bus), tuple(device.port_numbers or ())


def _port_path(device: usb.core.Device) -> str:
    # Devices of a controller without ports, as libusb sees some, count as being in port 0.
    return ".".join(str(number) for number in device.port_numbers or (0,))


def _attribute(path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(_MAX_NAME)
    except OSError:
        return ""
    # A device chooses these bytes, and people see them on their terminals.
    text = raw.decode("utf-8", "replace").strip()
    return "".join(character for character in text if character.isprintable())
