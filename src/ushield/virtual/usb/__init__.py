"""The virtual token's USB side: device, bus, faults."""

from __future__ import annotations

from ushield.virtual.usb.backend import VirtualBackend
from ushield.virtual.usb.device import VirtualUsbDevice
from ushield.virtual.usb.faults import Direction, Fault, FaultKind, UsbFaults
from ushield.virtual.usb.slot import Card

__all__ = [
    "Card",
    "Direction",
    "Fault",
    "FaultKind",
    "UsbFaults",
    "VirtualBackend",
    "VirtualUsbDevice",
]
