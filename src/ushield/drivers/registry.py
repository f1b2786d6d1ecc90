"""Which driver is for a card: those installed, found by entry points ``ushield.drivers``."""

from __future__ import annotations

from ushield.drivers.base import DriverFactory, TokenDriver
from ushield.errors import NoDriver
from ushield.plugins import Plugins
from ushield.transport.connection import CardConnection

__all__ = ["GROUP", "driver_for", "drivers"]

GROUP = "ushield.drivers"
"""The entry-point group whose objects are `DriverFactory`."""


_DRIVERS: Plugins[DriverFactory] = Plugins(GROUP)


def drivers() -> tuple[DriverFactory, ...]:
    """The drivers installed, in the order of their names; those that cannot be loaded left out."""
    return _DRIVERS.working()


def driver_for(connection: CardConnection) -> TokenDriver:
    """Open the token behind ``connection`` with the driver that knows it.

    Drivers that list the device are asked first; a driver is asked by its `DriverFactory.probe`,
    which changes nothing on the card. `NoDriver` if none takes it; `TransportError` if the card
    does not answer. The connection stays open then, and the caller's.
    """
    device = connection.device
    for factory in sorted(drivers(), key=lambda factory: not factory.knows(device)):
        driver = factory.probe(connection)
        if driver is not None:
            return driver
    broken = [f"driver {one.name} cannot be loaded: {one.reason}" for one in _DRIVERS.broken()]
    card = f"the card in {device.spec} (ATR {connection.atr.hex(' ').upper()})"
    raise NoDriver("; ".join([f"no driver knows {card}", *broken]))
