"""What every way to a card offers the layers above: one powered card, bytes to it and back."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

__all__ = ["ApduLimits", "CardConnection", "DeviceInfo", "Scheme"]


@dataclass(frozen=True, slots=True)
class DeviceInfo:
    """A device as found, without opening it.

    ``spec`` names it for `Scheme.open` and for people (``usb:1-4``): bus and port path, the same
    after replugging into the same port. ``serial`` and the names are empty where the system does
    not tell them without opening the device. ``also`` are further SPECs that lead to its card, and
    ``same_as`` is the SPEC by which another scheme names this same device, if it does. ``empty``
    says that there is known to be no card in it.
    """

    spec: str
    vendor_id: int | None = None
    product_id: int | None = None
    serial: str = ""
    manufacturer: str = ""
    product: str = ""
    also: tuple[str, ...] = ()
    same_as: str = ""
    empty: bool = False


@dataclass(frozen=True, slots=True)
class ApduLimits:
    """How long one APDU may be on this connection, in bytes, header and length fields included."""

    max_command: int
    max_response: int
    extended: bool


class CardConnection(Protocol):
    """A powered card behind one slot. Safe from several threads; closing twice is harmless.

    Every method raises `TokenRemoved` once the device is gone, `TransferTimeout` when it does not
    answer in time, `ProtocolViolation` when it answers nonsense.
    """

    @property
    def device(self) -> DeviceInfo:
        """Where this card is."""

    @property
    def atr(self) -> bytes:
        """The card's answer to reset (ISO/IEC 7816-3, clause 8)."""

    @property
    def limits(self) -> ApduLimits:
        """What fits into one APDU here."""

    @property
    def has_panel(self) -> bool:
        """Whether `read_panel` can ever return an event."""

    def hold(self, timeout: float | None = None) -> AbstractContextManager[object]:
        """Keep other threads' commands out, for several that belong together. Re-entrant.

        `TokenBusy` if another thread does so for ``timeout`` seconds, two minutes if not given.
        """

    def transmit(self, command: bytes, *, timeout: float | None = None) -> bytes:
        """Send one command APDU; the response APDU as the card gave it, status word included.

        ``timeout`` in seconds bounds the whole exchange, the card's time extensions too.
        """

    def read_panel(self, timeout: float) -> bytes | None:
        """The next report of the panel's interrupt endpoint, or ``None`` after ``timeout`` seconds.

        May block in one thread while others transmit.
        """

    def reset(self) -> bytes:
        """Power the card off and on; its new ATR. Ends whatever the card had under way."""

    def close(self) -> None:
        """Power the card off and give the device back to the system."""


class Scheme(Protocol):
    """One kind of SPEC (``usb``, ``virtual``, ..): found by entry points ``ushield.transports``."""

    @property
    def name(self) -> str:
        """What stands before the colon of a SPEC."""

    def find(self) -> tuple[DeviceInfo, ...]:
        """The devices present now, none of them opened; empty where the kind must be named."""

    def open(self, address: str, *, timeout: float = 5.0) -> CardConnection:
        """Open and power what stands after the colon of a SPEC; ``timeout`` in seconds.

        `TokenNotFound`, `TokenBusy`, `AccessDenied`, `SlotEmpty` or another `TransportError`.
        """
