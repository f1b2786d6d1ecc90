"""Which interface of a device does what: the smart-card reader, and the panel beside it.

Descriptors come from a device, and a device may lie: every walk here is bounded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

import usb.core
import usb.util

from ushield.ccid.descriptor import ClassDescriptor
from ushield.ccid.errors import DescriptorInvalid

__all__ = [
    "CCID_CLASS",
    "PANEL_CLASS",
    "VENDOR_CLASS",
    "PanelInterface",
    "ReaderInterface",
    "panel_interface",
    "reader_interface",
]

CCID_CLASS: Final = 0x0B
"""bInterfaceClass of a smart-card reader (CCID Rev 1.1, section 4.3)."""

VENDOR_CLASS: Final = 0xFF
"""bInterfaceClass of what no USB class describes; some readers have it too."""

PANEL_CLASS: Final = (VENDOR_CLASS, 0x50, 0x01)
"""Class, subclass and protocol of the interface whose interrupt endpoint carries panel events."""

_MAX_INTERFACES: Final = 64
_MAX_ENDPOINTS: Final = 32


@dataclass(frozen=True, slots=True)
class ReaderInterface:
    """A CCID interface: its number, class descriptor and endpoint addresses."""

    number: int
    descriptor: ClassDescriptor
    bulk_out: int
    bulk_in: int
    interrupt: int | None


@dataclass(frozen=True, slots=True)
class PanelInterface:
    """A panel interface: its number, interrupt endpoint and the bytes of one report at most."""

    number: int
    endpoint: int
    report_size: int


def _interfaces(configuration: usb.core.Configuration) -> Iterator[usb.core.Interface]:
    for interface in islice(configuration, _MAX_INTERFACES):
        if interface.bAlternateSetting == 0:
            yield interface


def reader_interface(configuration: usb.core.Configuration) -> ReaderInterface | None:
    """The first interface that is a reader: CCID class, or vendor class with CCID's descriptor."""
    for interface in _interfaces(configuration):
        if interface.bInterfaceClass not in {CCID_CLASS, VENDOR_CLASS}:
            continue
        endpoints = tuple(islice(interface, _MAX_ENDPOINTS))
        extras = (bytes(part.extra_descriptors) for part in (interface, *endpoints))
        try:
            descriptor = ClassDescriptor.find(*extras)
        except DescriptorInvalid:
            continue
        pipes: dict[tuple[int, int], int] = {}
        for endpoint in endpoints:
            address = int(endpoint.bEndpointAddress)
            kind = usb.util.endpoint_type(endpoint.bmAttributes)
            pipes.setdefault((kind, usb.util.endpoint_direction(address)), address)
        bulk_out = pipes.get((usb.util.ENDPOINT_TYPE_BULK, usb.util.ENDPOINT_OUT))
        bulk_in = pipes.get((usb.util.ENDPOINT_TYPE_BULK, usb.util.ENDPOINT_IN))
        if bulk_out is not None and bulk_in is not None:
            interrupt = pipes.get((usb.util.ENDPOINT_TYPE_INTR, usb.util.ENDPOINT_IN))
            number = int(interface.bInterfaceNumber)
            return ReaderInterface(number, descriptor, bulk_out, bulk_in, interrupt)
    return None


def panel_interface(configuration: usb.core.Configuration) -> PanelInterface | None:
    """The interface that carries panel events, if the device has one."""
    for interface in _interfaces(configuration):
        kind = (
            interface.bInterfaceClass,
            interface.bInterfaceSubClass,
            interface.bInterfaceProtocol,
        )
        if kind != PANEL_CLASS:
            continue
        for endpoint in islice(interface, _MAX_ENDPOINTS):
            address = int(endpoint.bEndpointAddress)
            if (
                usb.util.endpoint_type(endpoint.bmAttributes) == usb.util.ENDPOINT_TYPE_INTR
                and usb.util.endpoint_direction(address) == usb.util.ENDPOINT_IN
            ):
                # Bits 11 and 12 count transactions a microframe (USB 2.0, section 9.6.6).
                size = max(int(endpoint.wMaxPacketSize) & 0x7FF, 1)
                return PanelInterface(int(interface.bInterfaceNumber), address, size)
    return None
