"""The real bus: libusb, by pyusb."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path
from typing import Final

import usb.backend
from usb.backend import libusb1

__all__ = ["usb_backend"]

_UDEV: Final = Path("/run/udev/control")


def _system_library(name: str) -> str | None:
    # The dynamic linker knows this name by itself. pyusb's own search would run ldconfig and a
    # compiler, which takes a tenth of a second where there is nothing to find.
    return "libusb-1.0.so.0" if name == "usb-1.0" else None


@cache
def usb_backend() -> usb.backend.IBackend | None:
    """The system's libusb, else the one that came with the package ``libusb-package``.

    The other way round on Linux where no udev runs, as in containers: distributions build libusb
    to hear of plugs from udev alone, and it would show what it saw first for ever. ``None`` on a
    machine where neither works: it has no USB for us, which is no error.
    """
    libraries = [_system_backend, _packaged_backend]
    if sys.platform == "linux" and not _UDEV.exists():
        libraries.reverse()
    return next((backend for load in libraries if (backend := load()) is not None), None)


def _system_backend() -> usb.backend.IBackend | None:
    return libusb1.get_backend(_system_library if sys.platform == "linux" else None)


def _packaged_backend() -> usb.backend.IBackend | None:
    try:
        import libusb_package
    except ImportError:
        return None
    return libusb_package.get_libusb1_backend()
