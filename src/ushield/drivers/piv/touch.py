"""The touch that some keys want: told beforehand where the card tells, its refusals told apart."""

from __future__ import annotations

from ushield.drivers.base import Demand
from ushield.errors import ConfirmationError, Rejected, TimedOut
from ushield.piv.commands import PinPolicy, TouchPolicy

__all__ = [
    "NOT_WAITED",
    "PIN_OF_POLICY",
    "PIN_POLICY_OF",
    "TOUCH_OF_POLICY",
    "TOUCH_POLICY_OF",
    "touch_refusal",
]

TOUCH_OF_POLICY = {
    TouchPolicy.DEFAULT: Demand.UNKNOWN,
    TouchPolicy.NEVER: Demand.NEVER,
    TouchPolicy.ALWAYS: Demand.ALWAYS,
    TouchPolicy.CACHED: Demand.ONCE,
}
TOUCH_POLICY_OF = {demand: policy for policy, demand in TOUCH_OF_POLICY.items()}
PIN_OF_POLICY = {
    PinPolicy.DEFAULT: Demand.UNKNOWN,
    PinPolicy.NEVER: Demand.NEVER,
    PinPolicy.ONCE: Demand.ONCE,
    PinPolicy.ALWAYS: Demand.ALWAYS,
}
PIN_POLICY_OF = {demand: policy for policy, demand in PIN_OF_POLICY.items()}

NOT_WAITED = 1.0
"""A refusal within this time, in seconds, is not one of a touch that was waited for."""

_SHORTEST_WAIT = 10.0


def touch_refusal(seconds: float, touch_time: float) -> ConfirmationError:
    """Why there was no touch. The cards do not say whether a person refused or did nothing: one
    that answers before its time is over was refused. All known ones wait for 15 seconds.
    """
    if seconds >= min(_SHORTEST_WAIT, touch_time):
        return TimedOut(
            "the token was not touched in time",
            remedy="Sign again, and touch the token while it waits (its light blinks).",
        )
    return Rejected(
        "the token was not touched, or the touch was refused on it",
        remedy="Sign again, and touch the token while it waits.",
    )
