"""When to fetch what tells about revocation."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from ushield.bank.revocation.sources import RevocationSource

__all__ = ["LATEST", "RefreshSchedule", "Report", "log_failure"]

_LOG = logging.getLogger("ushield.bank.revocation")
LATEST = timedelta(hours=6)
"""How far apart two fetches are at most, if nothing else is said."""
_SOONEST = timedelta(minutes=1)
_FIRST_RETRY, _LAST_RETRY = timedelta(seconds=30), timedelta(minutes=15)

Report = Callable[[RevocationSource, Exception], None]
"""Told of what could not be fetched, or not be believed."""


@dataclass(slots=True)
class RefreshSchedule:
    """When to fetch from one source: no clock and no network in it.

    Half-way to the next update, but at most every minute, and ``at_least_every`` six hours or what
    else is said, for a CRL that is issued early (RFC 5280, 5.1.2.5); after a failure soon, then
    less and less often.
    """

    due: datetime
    at_least_every: timedelta = LATEST
    _retry: timedelta = _FIRST_RETRY

    def succeeded(self, now: datetime, next_update: datetime) -> None:
        """A list that is good until ``next_update`` was fetched."""
        self._retry = _FIRST_RETRY
        half_way = max((next_update - now) / 2, _SOONEST)
        self.due = now + min(half_way, self.at_least_every)

    def failed(self, now: datetime) -> None:
        """Nothing was fetched that can be believed."""
        self.due = now + self._retry
        self._retry = min(self._retry * 2, _LAST_RETRY)


def log_failure(source: RevocationSource, error: Exception) -> None:
    """The `Report` of those that have no other."""
    _LOG.warning("%s: %s", source.name, error)
