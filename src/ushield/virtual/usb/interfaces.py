"""The interfaces of virtual devices: CCID reader, and the panel beside it."""

from __future__ import annotations

from collections import deque
from typing import Final

from usbip.core import IN, Setup, Stall
from usbip.device import Endpoint, In, Out
from usbip.function import Interface

from ushield.ccid.descriptor import ClassDescriptor
from ushield.ccid.notify import SlotChange, SlotState
from ushield.ccid.steps import ClassRequest
from ushield.transport.usb.interfaces import CCID_CLASS, PANEL_CLASS
from ushield.virtual.usb.pipes import CcidPipes

__all__ = ["PACKET_SIZE", "PANEL_REPORT_SIZE", "CcidInterface", "PanelInterface"]

PACKET_SIZE: Final = 64
"""wMaxPacketSize of the bulk endpoints: a full-speed device's most (USB 2.0, section 5.8.3)."""

PANEL_REPORT_SIZE: Final = 16
"""Bytes of one panel event."""

_MAX_UNREAD_REPORTS: Final = 16
_MAX_UNREAD_FRAMES: Final = 64


def _forget_oldest(endpoint: Endpoint, limit: int) -> None:
    # The queue of `usbip`'s endpoint has no bound of its own; a host that never reads must not
    # make the token grow. With a bounded deque the oldest goes first.
    endpoint._q = deque(maxlen=limit)


class CcidInterface(Interface):  # type: ignore[misc]
    """A reader as ``descriptor`` says, with bulk pipes and, unless left out, an interrupt pipe."""

    bInterfaceClass = CCID_CLASS  # noqa: N815 - usbip's name for it

    bulk_out = Out(0x01, "bulk", mps=PACKET_SIZE)
    bulk_in = In(0x81, "bulk", mps=PACKET_SIZE)
    notices = In(0x82, "interrupt", mps=8, interval=16)

    def __init__(self, pipes: CcidPipes, descriptor: ClassDescriptor, *, interrupt: bool) -> None:
        super().__init__()
        self._pipes = pipes
        self._interrupt = interrupt
        self.descriptor = descriptor
        if not interrupt:
            del self._endpoints[self.notices.number, IN]
        _forget_oldest(self.bulk_in, _MAX_UNREAD_FRAMES)
        _forget_oldest(self.notices, _MAX_UNREAD_REPORTS)

    def extra_descriptors(self) -> bytes:
        """The class descriptor."""
        return self.descriptor.encode()

    def on_control(self, setup: Setup, data: bytes = b"") -> bytes:
        """Class requests: ABORT; the lists of clocks and rates are empty (section 5.3)."""
        del data
        if setup.bRequest != ClassRequest.ABORT:
            raise Stall
        self._pipes.abort(setup.wValue & 0xFF, setup.wValue >> 8)
        return b""

    def on_reset(self) -> None:
        """Bus reset or configuration: cards lose their power, and their presence is news."""
        self._pipes.reset()
        self.tell(*range(len(self._pipes.slots)))

    def tell(self, *changed: int) -> None:
        """Notify the host that something happened in the slots of these numbers."""
        if self._interrupt:
            states = (
                SlotState(present=slot.occupied, changed=number in changed)
                for number, slot in enumerate(self._pipes.slots)
            )
            self.notices.write(SlotChange(tuple(states)).encode())


class PanelInterface(Interface):  # type: ignore[misc]
    """Interface 1: panel events on an interrupt pipe; the oldest unread ones are dropped."""

    # The names are usbip's, which are the standard's.
    bInterfaceClass, bInterfaceSubClass, bInterfaceProtocol = PANEL_CLASS  # noqa: N815

    reports = In(0x83, "interrupt", mps=PANEL_REPORT_SIZE, interval=8)

    def __init__(self) -> None:
        super().__init__()
        _forget_oldest(self.reports, _MAX_UNREAD_REPORTS)

    def report(self, event: bytes) -> None:
        """Send one panel event to the host that reads, or to the next one that does."""
        self.reports.write(event)
