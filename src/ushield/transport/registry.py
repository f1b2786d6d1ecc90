"""From a SPEC to a card: the schemes that are installed, and what they find.

A SPEC is ``SCHEME:ADDRESS``, or a serial number, or nothing, which means the only token plugged in.
"""

from __future__ import annotations

from dataclasses import replace

from ushield.errors import (
    AccessDenied,
    SeveralTokens,
    SpecInvalid,
    TokenBusy,
    TokenNotFound,
    TransportError,
)
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
    """What all schemes find now, none of it opened; one that fails does not stop the others.

    What two schemes see is one device, by the SPEC of the one that has it directly; the other's
    SPEC is in its ``also``.
    """
    devices: list[DeviceInfo] = []
    for scheme in schemes():
        try:
            devices += scheme.find()
        except Exception:  # noqa: BLE001, S112 - a scheme is anybody's code
            continue
    return _each_once(devices)


def open_spec(spec: str | None = None, *, timeout: float = 5.0) -> CardConnection:
    """Open and power the card that ``spec`` names; ``timeout`` in seconds.

    `SpecInvalid` for an unknown scheme, `TokenNotFound`, `SeveralTokens` where the name fits more
    than one or none was given, and what `Scheme.open` raises.
    """
    if spec is None or ":" not in spec:
        return _open_device(_the_one(spec), timeout)
    return _open(spec, timeout)


def _open_device(device: DeviceInfo, timeout: float) -> CardConnection:
    """Open it directly, or by another way where the system has it."""
    try:
        return _open(device.spec, timeout)
    except (AccessDenied, TokenBusy) as error:
        refusal: TransportError = error
    for spec in device.also:
        try:
            return _open(spec, timeout)
        except TransportError as error:
            error.__cause__ = refusal
            refusal = error
    raise refusal


def _open(spec: str, timeout: float) -> CardConnection:
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
    # A reader that stands empty is no reason to ask which token is meant.
    devices = [device for device in devices if not device.empty] or devices
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


def _each_once(devices: list[DeviceInfo]) -> tuple[DeviceInfo, ...]:
    found = {device.spec: device for device in devices if not device.same_as}
    for device in devices:
        if not device.same_as:
            continue
        direct = found.get(device.same_as)
        if direct is None or direct.also:
            # The other scheme does not see it, or this is a second card in it.
            found[device.spec] = device
        else:
            also = (device.spec,)
            found[device.same_as] = replace(direct, also=also, empty=device.empty)
    return tuple(found.values())
