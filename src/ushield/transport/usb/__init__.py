"""Tokens and readers on USB: who is there, who holds them, a connection to their cards."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ushield.lazy import lazy_names

if TYPE_CHECKING:
    from ushield.transport.usb.backend import usb_backend
    from ushield.transport.usb.connection import UsbConnection, open_usb
    from ushield.transport.usb.discovery import UsbReader, find_readers
    from ushield.transport.usb.hotplug import Arrived, HotplugEvent, Removed, watch
else:
    # Schemes are looked through for every SPEC: pyusb is loaded when it is needed.
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "backend": ("usb_backend",),
            "connection": ("UsbConnection", "open_usb"),
            "discovery": ("UsbReader", "find_readers"),
            "hotplug": ("Arrived", "HotplugEvent", "Removed", "watch"),
        },
    )

__all__ = [
    "Arrived",
    "HotplugEvent",
    "Removed",
    "UsbConnection",
    "UsbReader",
    "find_readers",
    "open_usb",
    "usb_backend",
    "watch",
]
