"""A token without hardware: card, panel, memory and USB device, for tests and for trying out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ushield.lazy import lazy_names

if TYPE_CHECKING:
    from ushield.virtual.clock import Clock, ManualClock, SystemClock
    from ushield.virtual.create import Created, TokenSummary, create_token, describe_token
    from ushield.virtual.nvram import CutPower, PowerCut
    from ushield.virtual.panel import Panel
    from ushield.virtual.profile import VirtualProfile, load_profile, profile_names
    from ushield.virtual.token import VirtualToken, live_token
else:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "clock": ("Clock", "ManualClock", "SystemClock"),
            "create": ("Created", "TokenSummary", "create_token", "describe_token"),
            "nvram": ("CutPower", "PowerCut"),
            "panel": ("Panel",),
            "profile": ("VirtualProfile", "load_profile", "profile_names"),
            "token": ("VirtualToken", "live_token"),
        },
    )

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
