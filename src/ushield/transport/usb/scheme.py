"""The scheme ``usb``: readers and tokens on this machine's own bus, named by bus and port path."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import usb.backend

from ushield.errors import SeveralTokens, SpecInvalid, TokenNotFound
from ushield.transport.connection import CardConnection, DeviceInfo
from ushield.transport.usb.backend import usb_backend
from ushield.transport.usb.connection import open_usb
from ushield.transport.usb.discovery import UsbReader, find_readers
from ushield.transport.usb.sysfs import SYSFS

__all__ = ["SCHEME", "UsbScheme"]

# A bus number and at most seven ports below it (USB 2.0, section 4.1.1), as Linux writes them.
_ADDRESS: Final = re.compile(
    r"(?P<place>[0-9]{1,3}-[0-9]{1,3}(\.[0-9]{1,3}){0,6})(/(?P<slot>[0-9]{1,3}))?", re.ASCII
)


@dataclass(frozen=True, slots=True)
class UsbScheme:
    """``usb:BUS-PORT[.PORT][/SLOT]`` on ``bus``, the machine's own if there is none given."""

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
        """Open and power the token at ``BUS-PORT[.PORT]``, or in one ``SLOT`` of a reader there.

        Slots count from 0; they need no naming where there is one only. `SpecInvalid`,
        `TokenNotFound`, `SeveralTokens`, and what `open_usb` raises.
        """
        named = _ADDRESS.fullmatch(address)
        if named is None:
            raise SpecInvalid(
                f"{address!r} is no place on USB: BUS-PORT, as in 1-4 or 1-4.2, or BUS-PORT/SLOT"
            )
        place = f"{self.name}:{named['place']}"
        slots = [one for one in self.readers() if one.info.spec.partition("/")[0] == place]
        if not slots:
            raise TokenNotFound(f"nothing that takes cards is plugged in at {place}")
        if named["slot"] is not None:
            slots = [one for one in slots if one.slot == int(named["slot"])]
            if not slots:
                raise TokenNotFound(f"the reader at {place} has no slot {named['slot']}")
        if len(slots) > 1:
            raise SeveralTokens(
                f"the reader at {place} has {len(slots)} slots",
                candidates=[one.info.spec for one in slots],
            )
        (one,) = slots
        return open_usb(one.device, info=one.info, slot=one.slot, timeout=timeout)


SCHEME: Final = UsbScheme()
