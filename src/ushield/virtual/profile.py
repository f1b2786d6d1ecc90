"""What kind of token a virtual token is: screen, PIN rules and room, as TOML in ``profiles/``."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources

from ushield.errors import InputInvalid
from ushield.pin import PinRules
from ushield.shield.application import ScreenInfo

__all__ = ["VirtualProfile", "load_profile", "profile_names"]

_PROFILES = resources.files(__package__) / "profiles"
_SUFFIX = ".toml"


@dataclass(frozen=True, slots=True)
class VirtualProfile:
    """One kind of virtual token.

    ``timeout`` of a confirmation in seconds; ``max_message`` and ``max_certificate`` in bytes;
    ``vouchers`` is how many records of signatures the token keeps before the oldest goes.
    """

    name: str
    manufacturer: str
    model: str
    firmware: tuple[int, int, int]
    vendor_id: int
    product_id: int
    screen: ScreenInfo
    pin_rules: PinRules
    timeout: int
    max_message: int
    max_keys: int
    max_certificates: int
    max_certificate: int
    vouchers: int


def profile_names() -> tuple[str, ...]:
    """The profiles that there are, in alphabetical order."""
    return tuple(
        sorted(
            entry.name.removesuffix(_SUFFIX)
            for entry in _PROFILES.iterdir()
            if entry.name.endswith(_SUFFIX)
        )
    )


@cache
def load_profile(name: str) -> VirtualProfile:
    """The profile called ``name``; `InputInvalid` if there is none."""
    if name not in profile_names():
        raise InputInvalid(
            f"no virtual token has the profile {name!r}",
            remedy=f"Use one of: {', '.join(profile_names())}.",
        )
    table = tomllib.loads((_PROFILES / f"{name}{_SUFFIX}").read_text(encoding="utf-8"))
    major, minor, patch = table.pop("firmware")
    return VirtualProfile(
        name=name,
        firmware=(major, minor, patch),
        screen=ScreenInfo(**table.pop("screen")),
        pin_rules=PinRules(**table.pop("pin")),
        **table,
    )
