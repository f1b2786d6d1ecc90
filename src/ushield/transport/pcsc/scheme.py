"""The scheme ``pcsc``: cards in the readers of the system's PC/SC service, named by the reader."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ushield.errors import SeveralTokens, SpecInvalid, TokenNotFound, TransportError
from ushield.transport.connection import CardConnection, DeviceInfo
from ushield.transport.pcsc.daemon import service_runs
from ushield.transport.usb.sysfs import SYSFS, device_at, devices_with_serial

if TYPE_CHECKING:
    from ushield.transport.pcsc.service import PcscReader

__all__ = ["SCHEME", "PcscScheme"]

_FIND_TIMEOUT: Final = 3.0
_ADDRESS_TIMEOUT: Final = 0.5
# What pcsc-lite puts behind each reader's name: which reader, and which slot of it, in hex.
_NUMBERS: Final = re.compile(r"(?P<reader>.* [0-9A-F]{2} )(?P<slot>[0-9A-F]{2})", re.DOTALL)


@dataclass(frozen=True, slots=True)
class PcscScheme:
    """``pcsc:READER``: a name as `find` gives it, or its beginning if no other begins so."""

    sysfs: Path = SYSFS
    name: str = "pcsc"

    def find(self) -> tuple[DeviceInfo, ...]:
        """The service's readers, with or without a card; `PcscUnavailable`.

        Where there are USB readers and the service sleeps, it is not woken: systemd starts it for
        whoever asks, and it would take those that we can have directly.
        """
        if not service_runs() and self._usb_readers():
            return ()
        readers = self._readers(_FIND_TIMEOUT)
        names = [reader.name for reader in readers]
        return tuple(self._describe(reader, names) for reader in readers)

    def open(self, address: str, *, timeout: float = 5.0) -> CardConnection:
        """Open the card in the reader ``address``.

        `SpecInvalid`, `TokenNotFound`, `SeveralTokens`, and what `open_pcsc` raises.
        """
        from ushield.transport.pcsc.connection import open_pcsc

        if not address:
            raise SpecInvalid("pcsc: wants the name of a reader")
        names = [reader.name for reader in self._readers(timeout)]
        name = self._choose(address, names)
        return open_pcsc(
            name,
            describe=lambda card: self._device(name, card.usb_address(), names),
            timeout=timeout,
        )

    def _choose(self, address: str, names: Sequence[str]) -> str:
        if address in names:
            return address
        meant = [name for name in names if name.startswith(address)]
        if len(meant) == 1:
            return meant[0]
        if meant:
            raise SeveralTokens(
                f"{len(meant)} readers' names begin with {address}",
                candidates=[f"{self.name}:{name}" for name in meant],
            )
        raise TokenNotFound(f"PC/SC has no reader whose name begins with {address}")

    @staticmethod
    def _readers(timeout: float) -> tuple[PcscReader, ...]:
        from ushield.transport.pcsc.service import find_readers

        return find_readers(timeout)

    @staticmethod
    def _usb_readers() -> bool:
        from ushield.transport.usb.scheme import SCHEME as USB

        return bool(USB.readers())

    def _describe(self, reader: PcscReader, names: Sequence[str]) -> DeviceInfo:
        from ushield.transport.pcsc.caller import lent
        from ushield.transport.pcsc.card import find_usb_address

        try:
            with lent(f"ushield-pcsc-address-{reader.name}") as caller:
                address = caller.call(lambda: find_usb_address(reader.name), _ADDRESS_TIMEOUT)
        except TransportError:
            # Somebody has the card for himself.
            address = None
        return replace(self._device(reader.name, address, names), empty=not reader.has_card)

    def _device(
        self, name: str, address: tuple[int, int] | None, names: Sequence[str]
    ) -> DeviceInfo:
        spec = f"{self.name}:{name}"
        usb = self._by_serial(name) if address is None else device_at(*address, self.sysfs)
        if usb is None:
            return DeviceInfo(spec, product=name)
        numbers = _NUMBERS.fullmatch(name)
        slot = ""
        if numbers and sum(other.startswith(numbers["reader"]) for other in names) > 1:
            # Each slot is a device of its own, here and on USB.
            slot = f"/{int(numbers['slot'], 16)}"
        return replace(usb, spec=spec, same_as=usb.spec + slot)

    def _by_serial(self, name: str) -> DeviceInfo | None:
        """The device whose serial number pcscd has put into the reader's name, in parentheses."""
        named = [one for one in devices_with_serial(self.sysfs) if f"({one.serial})" in name]
        return named[0] if len(named) == 1 else None


SCHEME: Final = PcscScheme()
