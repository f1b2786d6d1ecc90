"""The confirmation of one request on the token's panel, as a pure state machine.

It decides when a signature may leave the token: a PIN was verified for it, its last page was on
the screen, OK went down after that, and the request is alive and unspent. Nothing else in the
token does. There is no clock and no thread inside: `ConfirmationMachine.step` takes a state, an
event and the time of the event (seconds on any monotonic clock), and gives the next state, what
the panel reports to the host, and why the event was refused, if it was.

Every guard and every ending is a method of its own, so that a test can take one away and see that
the exhaustive exploration notices.
"""

from __future__ import annotations

from ushield.virtual.confirmation.events import (
    Begin,
    Cancel,
    Event,
    KeyDown,
    KeyUp,
    PinForgotten,
    PinVerified,
    PowerOff,
    Refusal,
    Take,
    Tick,
    UsePin,
)
from ushield.virtual.confirmation.machine import ConfirmationMachine
from ushield.virtual.confirmation.state import ConfirmationState, Notice, Request, Step

__all__ = [
    "Begin",
    "Cancel",
    "ConfirmationMachine",
    "ConfirmationState",
    "Event",
    "KeyDown",
    "KeyUp",
    "Notice",
    "PinForgotten",
    "PinVerified",
    "PowerOff",
    "Refusal",
    "Request",
    "Step",
    "Take",
    "Tick",
    "UsePin",
]
