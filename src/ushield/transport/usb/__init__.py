"""Tokens and readers on USB: who is there, who holds them, a connection to their cards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ushield.transport.usb.backend import usb_backend
    from ushield.transport.usb.connection import UsbConnection, open_usb
    from ushield.transport.usb.discovery import UsbReader, find_readers
    from ushield.transport.usb.holder import Holder, find_holder
    from ushield.transport.usb.hotplug import Arrived, HotplugEvent, Removed, watch

__all__ = [
    "Arrived",
    "Holder",
    "HotplugEvent",
    "Removed",
    "UsbConnection",
    "UsbReader",
    "find_holder",
    "find_readers",
    "open_usb",
    "usb_backend",
    "watch",
]

_HOMES = {
    "Arrived": "hotplug",
    "Holder": "holder",
    "HotplugEvent": "hotplug",
    "Removed": "hotplug",
    "UsbConnection": "connection",
    "UsbReader": "discovery",
    "find_holder": "holder",
    "find_readers": "discovery",
    "open_usb": "connection",
    "usb_backend": "backend",
    "watch": "hotplug",
}


def __getattr__(name: str) -> Any:
    # The holder of a file is asked for where no USB is, so that pyusb is loaded when it is needed.
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value
