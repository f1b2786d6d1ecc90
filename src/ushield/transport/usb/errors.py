"""What went wrong on the bus, in this library's terms."""

from __future__ import annotations

import errno
from typing import Final

import usb.core

from ushield.ccid.errors import EndpointHalted
from ushield.errors import (
    AccessDenied,
    ProtocolViolation,
    TokenBusy,
    TokenRemoved,
    TransferFailed,
    TransferTimeout,
    TransportError,
)

__all__ = ["transport_error"]

_GONE: Final = frozenset({errno.ENODEV, errno.ENXIO, errno.ESHUTDOWN})
_DENIED: Final = frozenset({errno.EACCES, errno.EPERM})


def transport_error(error: usb.core.USBError, doing: str) -> TransportError:
    """The typed error for what pyusb raised while ``doing`` something, a phrase in -ing.

    By ``errno``, which every pyusb backend sets: `TokenRemoved`, `TransferTimeout`,
    `EndpointHalted`, `AccessDenied`, `TokenBusy` (nobody named), `ProtocolViolation` for a device
    that sends more than was asked, and `TransferFailed` for the rest.
    """
    number = error.errno
    if isinstance(error, usb.core.USBTimeoutError) or number == errno.ETIMEDOUT:
        return TransferTimeout(f"the device took too long while {doing}")
    if number in _GONE:
        return TokenRemoved(f"the device was unplugged while {doing}")
    if number == errno.EPIPE:
        return EndpointHalted(f"the device refused (stall) while {doing}")
    if number in _DENIED:
        return AccessDenied(f"no permission for {doing}")
    if number == errno.EBUSY:
        return TokenBusy(f"the device is in use: {doing} failed")
    if number == errno.EOVERFLOW:
        return ProtocolViolation(f"the device sent more than was asked while {doing}")
    return TransferFailed(f"USB failed while {doing}: {error.strerror or error}")
