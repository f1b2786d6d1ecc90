"""A token without hardware: card, panel, memory and USB device, for tests and for trying out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ushield.virtual.clock import Clock, ManualClock, SystemClock
    from ushield.virtual.create import Created, TokenSummary, create_token, describe_token
    from ushield.virtual.nvram import CutPower, PowerCut
    from ushield.virtual.panel import Panel
    from ushield.virtual.profile import VirtualProfile, load_profile, profile_names
    from ushield.virtual.token import VirtualToken, live_token

__all__ = [
    "Clock",
    "Created",
    "CutPower",
    "ManualClock",
    "Panel",
    "PowerCut",
    "SystemClock",
    "TokenSummary",
    "VirtualProfile",
    "VirtualToken",
    "create_token",
    "describe_token",
    "live_token",
    "load_profile",
    "profile_names",
]

_HOMES = {
    "Clock": "clock",
    "Created": "create",
    "CutPower": "nvram",
    "ManualClock": "clock",
    "Panel": "panel",
    "PowerCut": "nvram",
    "SystemClock": "clock",
    "TokenSummary": "create",
    "VirtualProfile": "profile",
    "VirtualToken": "token",
    "create_token": "create",
    "describe_token": "create",
    "live_token": "token",
    "load_profile": "profile",
    "profile_names": "profile",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value
