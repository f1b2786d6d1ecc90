"""What a PIV card cannot do: it has no screen, no label and no log."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NoReturn

from ushield.drivers.base import Capability
from ushield.errors import BlindSigningRefused, CapabilityMissing
from ushield.shield.application import Counters
from ushield.shield.events import PanelEvent
from ushield.shield.requests import Begun, RequestState, Signed, Voucher

__all__ = ["Screenless"]


class Screenless:
    """The part of `PivDriver` that refuses."""

    def begin(self, key_reference: int, message: bytes) -> Begun:
        """Not on a PIV card: nothing can be shown on it."""
        raise BlindSigningRefused(
            "this token has no screen to show the transaction on",
            capability=Capability.DISPLAY_SIGNING.value,
        )

    def begin_certification_request(self, key_reference: int, subject: bytes) -> Begun:
        """Not on a PIV card: nothing can be shown on it."""
        _refuse(Capability.DISPLAY_SIGNING)

    def request_state(self, request_id: bytes) -> RequestState:
        """Not on a PIV card."""
        _refuse(Capability.DISPLAY_SIGNING)

    def finish(self, request_id: bytes) -> Signed:
        """Not on a PIV card."""
        _refuse(Capability.DISPLAY_SIGNING)

    def cancel(self, request_id: bytes) -> None:
        """Not on a PIV card."""
        _refuse(Capability.DISPLAY_SIGNING)

    def panel_event(self, timeout: float) -> PanelEvent | None:
        """Not on a PIV card."""
        _refuse(Capability.PANEL_EVENTS)

    def vouchers(self) -> Iterator[Voucher]:
        """Not on a PIV card: it keeps no log."""
        _refuse(Capability.VOUCHERS)

    def counters(self) -> Counters:
        """Not on a PIV card: it counts nothing."""
        raise CapabilityMissing("this card counts nothing", capability="counters")

    def set_label(self, label: str) -> None:
        """Not on a PIV card: it has no name."""
        raise CapabilityMissing("this card keeps no label", capability="label")


def _refuse(capability: Capability) -> NoReturn:
    raise CapabilityMissing(f"this card has no {capability.value}", capability=capability.value)
