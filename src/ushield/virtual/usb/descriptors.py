"""USB descriptors as pyusb wants them, read from what a device answers to GET_DESCRIPTOR.

Fields have the names of USB 2.0, section 9.6; what no standard descriptor explains is kept beside
the one it follows, as ``extra_descriptors``. Every length is checked: a descriptor comes from a
device, and a device may lie.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Final

from ushield.errors import ProtocolViolation

__all__ = ["Alternate", "ConfigurationTree", "DescriptorMalformed", "configuration", "device"]

_DEVICE: Final = 0x01
_CONFIGURATION: Final = 0x02
_INTERFACE: Final = 0x04
_ENDPOINT: Final = 0x05

_DEVICE_FIELDS: Final = (
    "bLength",
    "bDescriptorType",
    "bcdUSB",
    "bDeviceClass",
    "bDeviceSubClass",
    "bDeviceProtocol",
    "bMaxPacketSize0",
    "idVendor",
    "idProduct",
    "bcdDevice",
    "iManufacturer",
    "iProduct",
    "iSerialNumber",
    "bNumConfigurations",
)
_CONFIGURATION_FIELDS: Final = (
    "bLength",
    "bDescriptorType",
    "wTotalLength",
    "bNumInterfaces",
    "bConfigurationValue",
    "iConfiguration",
    "bmAttributes",
    "bMaxPower",
)
_INTERFACE_FIELDS: Final = (
    "bLength",
    "bDescriptorType",
    "bInterfaceNumber",
    "bAlternateSetting",
    "bNumEndpoints",
    "bInterfaceClass",
    "bInterfaceSubClass",
    "bInterfaceProtocol",
    "iInterface",
)
_ENDPOINT_FIELDS: Final = (
    "bLength",
    "bDescriptorType",
    "bEndpointAddress",
    "bmAttributes",
    "wMaxPacketSize",
    "bInterval",
)

_DEVICE_FORMAT: Final = struct.Struct("<BBHBBBBHHHBBBB")
_CONFIGURATION_FORMAT: Final = struct.Struct("<BBHBBBBB")
_INTERFACE_FORMAT: Final = struct.Struct("<9B")
_ENDPOINT_FORMAT: Final = struct.Struct("<BBBBHB")


class DescriptorMalformed(ProtocolViolation):
    """Bytes that are no descriptor of the wanted type; the backend makes an I/O error of it."""

    code = "descriptor-malformed"


@dataclass(frozen=True, slots=True)
class Alternate:
    """One alternate setting: the interface descriptor, and the endpoints in their order."""

    interface: SimpleNamespace
    endpoints: list[SimpleNamespace]


@dataclass(frozen=True, slots=True)
class ConfigurationTree:
    """A configuration descriptor, and for each interface its alternate settings in their order."""

    configuration: SimpleNamespace
    interfaces: list[list[Alternate]]


def _read(data: bytes, layout: struct.Struct, kind: int, names: tuple[str, ...]) -> SimpleNamespace:
    if len(data) < layout.size or data[0] < layout.size or data[1] != kind:
        raise DescriptorMalformed(f"no descriptor of type {kind}: {data[: layout.size].hex()}")
    return SimpleNamespace(
        **dict(zip(names, layout.unpack_from(data), strict=True)), extra_descriptors=b""
    )


def device(data: bytes) -> SimpleNamespace:
    """The device descriptor."""
    return _read(data, _DEVICE_FORMAT, _DEVICE, _DEVICE_FIELDS)


def configuration(data: bytes) -> ConfigurationTree:
    """A configuration with all that hangs below it; ``data`` is what wTotalLength covers."""
    head = _read(data, _CONFIGURATION_FORMAT, _CONFIGURATION, _CONFIGURATION_FIELDS)
    if head.wTotalLength != len(data):
        raise DescriptorMalformed(
            f"a configuration announces {head.wTotalLength} bytes and brings {len(data)}"
        )
    interfaces: dict[int, list[Alternate]] = {}
    alternate: Alternate | None = None
    # Whatever stands between two standard descriptors belongs to the one before it.
    owner = head
    offset = head.bLength
    while offset < len(data):
        length = data[offset]
        item = data[offset : offset + length]
        if length < 2 or len(item) < length:
            raise DescriptorMalformed(f"a descriptor of {length} bytes at offset {offset}")
        if item[1] == _INTERFACE:
            owner = _read(item, _INTERFACE_FORMAT, _INTERFACE, _INTERFACE_FIELDS)
            alternate = Alternate(owner, [])
            interfaces.setdefault(owner.bInterfaceNumber, []).append(alternate)
        elif item[1] == _ENDPOINT and alternate is not None:
            owner = _read(item, _ENDPOINT_FORMAT, _ENDPOINT, _ENDPOINT_FIELDS)
            # Only audio endpoints have these two; pyusb asks every endpoint for them.
            owner.bRefresh = owner.bSynchAddress = 0
            alternate.endpoints.append(owner)
        else:
            owner.extra_descriptors += item
        offset += length
    head.bNumInterfaces = len(interfaces)
    for settings in interfaces.values():
        for setting in settings:
            setting.interface.bNumEndpoints = len(setting.endpoints)
    return ConfigurationTree(head, list(interfaces.values()))
