"""The driver of tokens with the shield applet: the reference token, real and virtual."""

from ushield.drivers.shield.driver import ShieldDriver

__all__ = ["ShieldDriver"]
