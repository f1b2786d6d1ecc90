"""Which driver is for a card: those installed, found by entry points ``ushield.drivers``."""

from __future__ import annotations

from ushield.drivers.base import DriverFactory, TokenDriver
from ushield.errors import InputInvalid, NoDriver
from ushield.plugins import Plugins
from ushield.transport.connection import CardConnection

__all__ = ["GROUP", "driver_for", "drivers"]

GROUP = "ushield.drivers"
"""The entry-point group whose objects are `DriverFactory`."""


_DRIVERS: Plugins[DriverFactory] = Plugins(GROUP)


def drivers() -> tuple[DriverFactory, ...]:
    """The drivers installed, in the order of their names; those that cannot be loaded left out."""
    return _DRIVERS.working()


def driver_for(connection: CardConnection, name: str | None = None) -> TokenDriver:
    """Open the token behind ``connection`` with the driver that knows it.

    Drivers that list the device are asked first, those that take any card of a standard last, and
    not at all for a device that others list: whoever hides its own application would make it a
    plain card. A driver is asked by its `DriverFactory.probe`, which changes nothing on the card.
    With ``name``
    only that driver is asked, for cards with several applications. `NoDriver` if none takes it,
    `InputInvalid` for a name that no driver has; `TransportError` if the card does not answer.
    The connection stays open then, and the caller's.
    """
    device = connection.device
    factories = [one for one in drivers() if name in (None, one.name)]
    if name is not None and not factories:
        known = ", ".join(one.name for one in drivers())
        raise InputInvalid(f"no driver is called {name}", remedy=f"There are: {known}.")
    listing = [one for one in factories if one.knows(device)]
    unasked: list[str] = []
    if name is None and listing:
        unasked = [one.name for one in factories if one not in listing and _takes_any(one)]
        factories = [one for one in factories if one.name not in unasked]
    for factory in sorted(factories, key=lambda one: (one not in listing, _takes_any(one))):
        driver = factory.probe(connection)
        if driver is not None:
            return driver
    broken = [f"driver {one.name} cannot be loaded: {one.reason}" for one in _DRIVERS.broken()]
    card = f"the card in {device.spec} (ATR {connection.atr.hex(' ').upper()})"
    who = "no driver knows" if name is None else f"the driver {name} does not know"
    left_out = [f"not asked: {one}, which does not list this device" for one in unasked]
    raise NoDriver("; ".join([f"{who} {card}", *left_out, *broken]))


def _takes_any(factory: DriverFactory) -> bool:
    # Most drivers are for one family and need not say so.
    return bool(getattr(factory, "takes_any_maker", False))
