"""The applications on a virtual token's card, one package of commands each."""

from __future__ import annotations

from ushield.virtual.applets.firmware import Firmware
from ushield.virtual.applets.piv.applet import PivApplet
from ushield.virtual.applets.security_domain import SecurityDomain
from ushield.virtual.applets.shield import ShieldApplet

__all__ = ["Firmware", "PivApplet", "SecurityDomain", "ShieldApplet"]
