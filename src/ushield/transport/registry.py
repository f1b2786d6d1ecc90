"""From a SPEC to a card: the schemes that are installed, and what they find.

A SPEC is ``SCHEME:ADDRESS``, or a serial number, or nothing, which means the only token plugged in.
"""

from __future__ import annotations

from ushield.errors import SeveralTokens, SpecInvalid, TokenNotFound, UShieldError
from ushield.plugins import BrokenPlugin, Plugins
from ushield.transport.connection import CardConnection, DeviceInfo, Scheme

__all__ = ["GROUP", "find_devices", "open_spec", "schemes"]

GROUP = "ushield.transports"
"""The entry-point group whose objects are `Scheme`."""


_SCHEMES: Plugins[Scheme] = Plugins(GROUP)


def schemes() -> tuple[Scheme, ...]:
    """The schemes installed, in the order of their names; those that cannot be loaded left out."""
    return _SCHEMES.working()


def find_devices() -> tuple[DeviceInfo, ...]:
    """What all schemes find now, none of it opened; one that fails does not stop the others."""
    devices: list[DeviceInfo] = []
    for scheme in schemes():
        try:
            devices += scheme.find()
        except (UShieldError, OSError):
            continue
    return tuple(devices)


def open_spec(spec: str | None = None, *, timeout: float = 5.0) -> CardConnection:
    """Open and power the card that ``spec`` names; ``timeout`` in seconds.

    `SpecInvalid` for an unknown scheme, `TokenNotFound`, `SeveralTokens` where the name fits more
    than one or none was given, and what `Scheme.open` raises.
    """
    if spec is None or ":" not in spec:
        spec = _the_one(spec).spec
    name, _, address = spec.partition(":")
    scheme = _SCHEMES.get(name)
    if scheme is None:
        raise SpecInvalid(f"{spec!r} starts with no scheme that is installed")
    if isinstance(scheme, BrokenPlugin):
        raise SpecInvalid(
            f"the scheme {name} cannot be loaded: {scheme.reason}",
            remedy=f"Install {scheme.module} again, or name another token.",
        )
    return scheme.open(address, timeout=timeout)


def _the_one(serial: str | None) -> DeviceInfo:
    if serial == "":
        raise SpecInvalid("an empty SPEC names nothing")
    devices = [device for device in find_devices() if serial is None or device.serial == serial]
    if len(devices) == 1:
        return devices[0]
    if devices:
        what = "tokens or readers are plugged in" if serial is None else "devices have this serial"
        raise SeveralTokens(
            f"{len(devices)} {what}", candidates=[device.spec for device in devices]
        )
    if serial is None:
        raise TokenNotFound("no token is plugged in")
    raise TokenNotFound(f"no token with the serial {serial} is plugged in")
