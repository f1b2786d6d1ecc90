"""The real bus: libusb, by pyusb."""

from __future__ import annotations

import sys
from functools import cache

import usb.backend
from usb.backend import libusb1

__all__ = ["usb_backend"]


def _system_library(name: str) -> str | None:
    # The dynamic linker knows this name by itself. pyusb's own search would run ldconfig and a
    # compiler, which takes a tenth of a second where there is nothing to find.
    return "libusb-1.0.so.0" if name == "usb-1.0" else None


@cache
def usb_backend() -> usb.backend.IBackend | None:
    """The system's libusb, else the one that came with the package ``libusb-package``.

    ``None`` on a machine where neither works: it has no USB for us, which is no error.
    """
    backend = libusb1.get_backend(_system_library if sys.platform == "linux" else None)
    if backend is None:
        try:
            import libusb_package
        except ImportError:
            return None
        backend = libusb_package.get_libusb1_backend()
    return backend
