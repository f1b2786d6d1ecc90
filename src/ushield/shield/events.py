"""Panel events: 16-byte reports on the interrupt endpoint of the token's second interface.

An event wakes the host; it authorises nothing. Layout: kind (1), request id (8), value (1),
pages (1), event counter (4), reserved (1, zero).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum

from ushield.errors import ProtocolViolation
from ushield.shield.commands import REQUEST_ID_SIZE

__all__ = ["EVENT_SIZE", "PanelEvent", "PanelEventKind", "PanelKey"]

_LAYOUT = struct.Struct(f">B{REQUEST_ID_SIZE}sBBIB")
EVENT_SIZE = _LAYOUT.size


class PanelEventKind(IntEnum):
    """What happened on the panel."""

    PAGE_SHOWN = 0x01
    KEY_DOWN = 0x02
    CONFIRMED = 0x03
    REJECTED = 0x04
    TIMED_OUT = 0x05
    CANCELLED = 0x06


class PanelKey(IntEnum):
    """The token's keys."""

    UP = 0x01
    DOWN = 0x02
    OK = 0x03
    CANCEL = 0x04


@dataclass(frozen=True, slots=True)
class PanelEvent:
    """One report. ``value`` is the page shown (from 1) or the key (`PanelKey`); else 0.

    ``request_id`` is eight zero bytes where no request is on the screen; ``counter`` rises by one
    with each event, so a host sees that it missed some.
    """

    kind: PanelEventKind
    request_id: bytes
    value: int
    pages: int
    counter: int

    def encode(self) -> bytes:
        """The report as sent."""
        return _LAYOUT.pack(
            self.kind, self.request_id, self.value, self.pages, self.counter & 0xFFFFFFFF, 0
        )

    @classmethod
    def decode(cls, report: bytes) -> PanelEvent:
        """Read a report; `ProtocolViolation` for a wrong size, kind, key, page or last byte."""
        if len(report) != EVENT_SIZE:
            raise ProtocolViolation(f"a panel event has {EVENT_SIZE} bytes, not {len(report)}")
        kind, request_id, value, pages, counter, reserved = _LAYOUT.unpack(report)
        try:
            event = cls(PanelEventKind(kind), request_id, value, pages, counter)
            if event.kind is PanelEventKind.KEY_DOWN:
                PanelKey(value)
        except ValueError as error:
            raise ProtocolViolation(f"panel event {report.hex()}: {error}") from error
        if reserved or (event.kind is PanelEventKind.PAGE_SHOWN and not 1 <= value <= pages):
            raise ProtocolViolation(f"panel event {report.hex()}: no such page, or a stray byte")
        return event
