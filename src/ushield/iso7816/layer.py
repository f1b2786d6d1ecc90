"""Connections that stand on another one: what they pass on, and where a secure channel goes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol, runtime_checkable

from ushield.transport.connection import ApduLimits, CardConnection, DeviceInfo
from ushield.transport.pin_pad import PinPad, pin_pad_of

__all__ = ["Channel", "ConnectionLayer", "Securable", "secure"]

Channel = Callable[[CardConnection], CardConnection]
"""Puts a secure channel on a connection: what is sent over the one returned is plain."""


@runtime_checkable
class Securable(Protocol):
    """A connection that decides where a channel goes: a recording stays above it, for one."""

    def secured(self, channel: Channel) -> CardConnection:
        """This connection with ``channel`` where it belongs."""


def secure(connection: CardConnection, channel: Channel) -> CardConnection:
    """Put ``channel`` on ``connection``, or below it where it is a layer that says so."""
    return connection.secured(channel) if isinstance(connection, Securable) else channel(connection)


class ConnectionLayer:
    """A `CardConnection` on another one, to which it leaves all but what subclasses do."""

    def __init__(self, connection: CardConnection) -> None:
        self._connection = connection

    @property
    def device(self) -> DeviceInfo:
        """Where the card is."""
        return self._connection.device

    @property
    def atr(self) -> bytes:
        """The card's answer to reset."""
        return self._connection.atr

    @property
    def limits(self) -> ApduLimits:
        """What fits into one APDU."""
        return self._connection.limits

    @property
    def has_panel(self) -> bool:
        """Whether there is a panel below."""
        return self._connection.has_panel

    @property
    def pin_pad(self) -> PinPad | None:
        """The keys of the reader below."""
        return pin_pad_of(self._connection)

    def hold(self, timeout: float | None = None) -> AbstractContextManager[object]:
        """Keep other threads' commands out."""
        return self._connection.hold(timeout)

    def transmit(self, command: bytes, *, timeout: float | None = None) -> bytes:
        """Send one command."""
        return self._connection.transmit(command, timeout=timeout)

    def read_panel(self, timeout: float) -> bytes | None:
        """Wait for the panel's next report."""
        return self._connection.read_panel(timeout)

    def reset(self) -> bytes:
        """Power the card off and on."""
        return self._connection.reset()

    def close(self) -> None:
        """Close the connection below."""
        self._connection.close()
