"""What a driver knows of its tokens before it talks to them: TOML files beside it, one a family.

A profile says which driver it is for, which devices it lists (vendor and product id), and how long
their commands may take, in seconds; and in a table named after the driver what else that wants to
know, which the driver checks itself.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any

from ushield.errors import InputInvalid
from ushield.transport.connection import DeviceInfo

__all__ = ["DriverProfile", "ProfileInvalid", "Timeouts", "load_profile", "read_profile"]

_MAX_ID = 0xFFFF


class ProfileInvalid(InputInvalid):
    """A driver profile that says too little, too much, or nonsense."""

    code = "profile-invalid"
    default_remedy = "Correct the driver's profile; docs tell what stands in one."


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long an exchange may take, in seconds, until the token counts as not answering.

    ``touch`` is how long the token waits for a person's touch, on top of that.
    """

    command: float
    key_generation: float
    close: float
    touch: float = 0.0


@dataclass(frozen=True, slots=True)
class DriverProfile:
    """One family of tokens. ``devices`` are (vendor id, product id) of USB; ``own`` is the table
    of the driver's own.
    """

    driver: str
    devices: frozenset[tuple[int, int]]
    timeouts: Timeouts
    own: Mapping[str, Any] = field(default_factory=dict)

    def lists(self, device: DeviceInfo) -> bool:
        """Whether ``device`` is one of this family, as far as its USB ids tell."""
        return (device.vendor_id, device.product_id) in self.devices


@cache
def load_profile(driver: str, package: str = "ushield.drivers") -> DriverProfile:
    """The profile that ``package`` ships for ``driver``, as ``profiles/DRIVER.toml``.

    `ProfileInvalid` if it is not there, or is not one.
    """
    try:
        text = (resources.files(package) / "profiles" / f"{driver}.toml").read_text("utf-8")
    except FileNotFoundError as error:
        raise ProfileInvalid(f"{package} has no profile for {driver}") from error
    profile = read_profile(text)
    if profile.driver != driver:
        raise ProfileInvalid(f"the profile of {driver} is for {profile.driver}")
    return profile


def read_profile(text: str) -> DriverProfile:
    """Read a profile; `ProfileInvalid` for unknown, missing or senseless entries."""
    try:
        table = tomllib.loads(text)
        profile = DriverProfile(
            driver=(driver := table.pop("driver")),
            devices=frozenset(_device(**entry) for entry in table.pop("devices")),
            timeouts=Timeouts(**table.pop("timeouts")),
            own=table.pop(str(driver), {}),
        )
    except (tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise ProfileInvalid(f"driver profile: {error}") from error
    if table:
        raise ProfileInvalid(f"driver profile: unknown {', '.join(table)}")
    _check(profile)
    return profile


def _device(*, vendor_id: int, product_id: int) -> tuple[int, int]:
    return vendor_id, product_id


def _check(profile: DriverProfile) -> None:
    if not isinstance(profile.driver, str) or not profile.driver:
        raise ProfileInvalid("driver profile: driver is no name")
    for number in (number for device in profile.devices for number in device):
        if type(number) is not int or not 0 <= number <= _MAX_ID:
            raise ProfileInvalid(f"driver profile: {number!r} is no USB id")
    times = profile.timeouts
    for seconds in (times.command, times.key_generation, times.close):
        if type(seconds) not in (int, float) or not 0 < seconds < float("inf"):
            raise ProfileInvalid(f"driver profile: {seconds!r} is no time to wait")
    if type(times.touch) not in (int, float) or not 0 <= times.touch < float("inf"):
        raise ProfileInvalid(f"driver profile: {times.touch!r} is no time to wait")
    if not isinstance(profile.own, dict):
        raise ProfileInvalid(f"driver profile: {profile.driver} is no table")
