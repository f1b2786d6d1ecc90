"""What Linux tells of USB devices, without opening them and without libusb."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ushield.transport.connection import DeviceInfo

__all__ = ["SYSFS", "attribute", "device_at", "devices_with_serial"]

SYSFS: Final = Path("/sys")

_DEVICES: Final = Path("bus/usb/devices")
_MAX_NAME: Final = 256


def attribute(path: Path) -> str:
    """What stands in one file of sysfs, without what could harm a terminal; empty if it is not
    there.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(_MAX_NAME)
    except OSError:
        return ""
    # A device chooses these bytes, and people see them on their terminals.
    text = raw.decode("utf-8", "replace").strip()
    return "".join(character for character in text if character.isprintable())


def device_at(bus: int, address: int, sysfs: Path = SYSFS) -> DeviceInfo | None:
    """The device with this number on this bus."""
    for place in _places(sysfs):
        if attribute(place / "devnum") == str(address) and attribute(place / "busnum") == str(bus):
            return _describe(place)
    return None


def devices_with_serial(sysfs: Path = SYSFS) -> tuple[DeviceInfo, ...]:
    """The devices that have a serial number."""
    found = (_describe(place) for place in _places(sysfs))
    return tuple(device for device in found if device.serial)


def _places(sysfs: Path) -> Iterator[Path]:
    """The directories of devices, hubs' roots and interfaces left out."""
    try:
        places = sorted((sysfs / _DEVICES).iterdir())
    except OSError:
        return
    for place in places:
        if "-" in place.name and ":" not in place.name:
            yield place


def _describe(place: Path) -> DeviceInfo:
    return DeviceInfo(
        spec=f"usb:{place.name}",
        vendor_id=_identifier(place / "idVendor"),
        product_id=_identifier(place / "idProduct"),
        serial=attribute(place / "serial"),
        manufacturer=attribute(place / "manufacturer"),
        product=attribute(place / "product"),
    )


def _identifier(path: Path) -> int | None:
    try:
        return int(attribute(path), 16)
    except ValueError:
        return None
