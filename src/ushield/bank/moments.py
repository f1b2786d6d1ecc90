"""Instants: aware datetimes for people, microseconds since 1970 in the database."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from ushield.errors import InputInvalid

__all__ = ["Clock", "instant", "microseconds", "microseconds_of", "system_clock"]

Clock = Callable[[], datetime]
"""What time it is, as an aware datetime."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def system_clock() -> datetime:
    """This machine's clock."""
    return datetime.now(UTC)


def microseconds(moment: datetime) -> int:
    """Microseconds since 1970; `InputInvalid` for a time without a zone."""
    if moment.tzinfo is None:
        raise InputInvalid("a time without a zone")
    return (moment - _EPOCH) // _MICROSECOND


def microseconds_of(duration: timedelta) -> int:
    """How many microseconds a duration has."""
    return duration // _MICROSECOND


def instant(value: int) -> datetime:
    """The datetime in UTC of `microseconds`."""
    return _EPOCH + timedelta(microseconds=value)
