"""The scheme ``usb``: readers and tokens on this machine's own bus, named by bus and port path."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import usb.backend

from ushield.errors import SpecInvalid, TokenNotFound
from ushield.transport.connection import CardConnection, DeviceInfo
from ushield.transport.usb.backend import usb_backend
from ushield.transport.usb.connection import open_usb
from ushield.transport.usb.discovery import SYSFS, UsbReader, find_readers

__all__ = ["SCHEME", "UsbScheme"]

# A bus number and at most seven ports below it (USB 2.0, section 4.1.1), as Linux writes them.
_ADDRESS: Final = re.compile(r"[0-9]{1,3}-[0-9]{1,3}(\.[0-9]{1,3}){0,6}", re.ASCII)


@dataclass(frozen=True, slots=True)
class UsbScheme:
    """``usb:BUS-PORT[.PORT]`` on ``bus``, the machine's own if there is none given."""

    bus: usb.backend.IBackend | None = None
    sysfs: Path = SYSFS
    name: str = "usb"

    def readers(self) -> tuple[UsbReader, ...]:
        """The readers present now, with their pyusb devices; for `watch` and `open_usb`."""
        bus = self.bus if self.bus is not None else usb_backend()
        return find_readers(bus, sysfs=self.sysfs)

    def find(self) -> tuple[DeviceInfo, ...]:
        """The readers present now, none of them opened; empty on a machine without USB."""
        return tuple(reader.info for reader in self.readers())

    def open(self, address: str, *, timeout: float = 5.0) -> CardConnection:
        """Open and power the token at ``BUS-PORT[.PORT]``.

        `SpecInvalid`, `TokenNotFound`, and what `open_usb` raises.
        """
        if _ADDRESS.fullmatch(address) is None:
            raise SpecInvalid(f"{address!r} is no place on USB: BUS-PORT, as in 1-4 or 1-4.2")
        spec = f"{self.name}:{address}"
        for reader in self.readers():
            if reader.info.spec == spec:
                return open_usb(reader.device, info=reader.info, timeout=timeout)
        raise TokenNotFound(f"nothing that takes cards is plugged in at {spec}")


SCHEME: Final = UsbScheme()
