"""The USB side of virtual tokens and readers: devices, bus, faults."""

from __future__ import annotations

from ushield.virtual.usb.backend import VirtualBackend
from ushield.virtual.usb.contact import Card
from ushield.virtual.usb.device import CcidUsbDevice, VirtualUsbDevice
from ushield.virtual.usb.faults import Direction, Fault, FaultKind, UsbFaults
from ushield.virtual.usb.pin_pad import VirtualPinPad
from ushield.virtual.usb.reader import ReaderModel, VirtualReader

__all__ = [
    "Card",
    "CcidUsbDevice",
    "Direction",
    "Fault",
    "FaultKind",
    "ReaderModel",
    "UsbFaults",
    "VirtualBackend",
    "VirtualPinPad",
    "VirtualReader",
    "VirtualUsbDevice",
]
