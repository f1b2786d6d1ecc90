"""The driver of cards with a PIV application, whoever made them."""

from ushield.drivers.piv.driver import PivDriver

__all__ = ["PivDriver"]
