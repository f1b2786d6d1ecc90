"""What happens to the panel, and why it refuses some of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from ushield.shield.events import PanelKey

__all__ = [
    "Begin",
    "Cancel",
    "Event",
    "KeyDown",
    "KeyUp",
    "PinForgotten",
    "PinVerified",
    "PowerOff",
    "Refusal",
    "Take",
    "Tick",
    "UsePin",
]


@dataclass(frozen=True, slots=True)
class PinVerified:
    """The user's PIN was proven right."""


@dataclass(frozen=True, slots=True)
class PinForgotten:
    """The verification is gone: logout, or a wrong PIN."""


@dataclass(frozen=True, slots=True)
class UsePin:
    """An authentication key is about to sign for the host, without the screen."""


@dataclass(frozen=True, slots=True)
class Begin:
    """A request of ``pages`` pages asks for the screen.

    One that is no signature by a display key ``needs_pin`` not: it spends no verification either.
    """

    request_id: bytes
    pages: int
    needs_pin: bool = True


@dataclass(frozen=True, slots=True)
class KeyDown:
    """A key's contact closes. While it stays closed, more of these are its repetition."""

    key: PanelKey


@dataclass(frozen=True, slots=True)
class KeyUp:
    """A key's contact opens."""

    key: PanelKey


@dataclass(frozen=True, slots=True)
class Cancel:
    """The host withdraws a request."""

    request_id: bytes


@dataclass(frozen=True, slots=True)
class Take:
    """The host wants the signature: not refused exactly once for a confirmed request."""

    request_id: bytes


@dataclass(frozen=True, slots=True)
class Tick:
    """Time went by."""


@dataclass(frozen=True, slots=True)
class PowerOff:
    """Power off or reset: PIN and request are forgotten; a finger may stay on a key."""


Event = (
    PinVerified | PinForgotten | UsePin | Begin | KeyDown | KeyUp | Cancel | Take | Tick | PowerOff
)


class Refusal(Enum):
    """Why an event from the host had no effect."""

    PIN_NEEDED = "pin needed"
    BUSY = "busy"
    KEY_HELD = "key held"
    UNKNOWN = "unknown request"
    PENDING = "pending"
    REJECTED = "rejected"
    TIMED_OUT = "timed out"
    CANCELLED = "cancelled"
