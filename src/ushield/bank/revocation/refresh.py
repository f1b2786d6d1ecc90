"""Keeping an index up to date in the background: when to fetch, and a thread that does."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from threading import Event, Lock, Thread
from types import TracebackType

from ushield.bank.revocation.evidence import RevocationInvalid
from ushield.bank.revocation.index import RevocationIndex
from ushield.bank.revocation.sources import RevocationSource, RevocationUnavailable

__all__ = ["RefreshSchedule", "RevocationRefresher"]

_LOG = logging.getLogger(__name__)
_SOONEST, _LATEST = timedelta(minutes=1), timedelta(hours=6)
_FIRST_RETRY, _LAST_RETRY = timedelta(seconds=30), timedelta(minutes=15)


@dataclass(slots=True)
class RefreshSchedule:
    """When to fetch from one source: no clock and no network in it.

    Half-way to the next update, but at most every minute, and ``at_least_every`` six hours or what
    else is said, for a CRL that is issued early (RFC 5280, 5.1.2.5); after a failure soon, then
    less and less often.
    """

    due: datetime
    at_least_every: timedelta = _LATEST
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


class RevocationRefresher:
    """Fetches CRLs from ``sources`` into ``index`` whenever they are due, until it is closed.

    Used as a context manager, or by `start` and `close`. What fails is told to ``report``, by
    default to the log, and tried again; the index refuses by itself what became too old.
    """

    def __init__(
        self,
        index: RevocationIndex,
        sources: Iterable[RevocationSource],
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        at_least_every: timedelta = _LATEST,
        report: Callable[[RevocationSource, Exception], None] | None = None,
    ) -> None:
        self._index = index
        self._clock = clock
        self._report = report or _log
        start = datetime.min.replace(tzinfo=UTC)
        self._schedules = [(source, RefreshSchedule(start, at_least_every)) for source in sources]
        self._stop = Event()
        self._starting = Lock()
        self._thread: Thread | None = None

    def refresh(self) -> int:
        """Fetch now what is due; how many sources gave a list. Fetch all before `start` serves."""
        fetched = 0
        for source, schedule in self._schedules:
            now = self._clock()
            if now < schedule.due:
                continue
            try:
                added = self._index.add_crl(source.fetch(), now)
            except (RevocationUnavailable, RevocationInvalid) as error:
                schedule.failed(now)
                self._report(source, error)
            else:
                schedule.succeeded(now, added.next_update)
                fetched += 1
        return fetched

    @property
    def pause(self) -> float:
        """Seconds until something is due; never less than a second, nor more than a minute."""
        soonest = min((schedule.due for _, schedule in self._schedules), default=None)
        if soonest is None:
            return 60.0
        return min(max((soonest - self._clock()).total_seconds(), 1.0), 60.0)

    def start(self) -> None:
        """Fetch what is due, and go on doing so in a thread; nothing if that goes on already.

        Several threads may call it: none returns before the first fetch is done.
        """
        if self._thread is not None:
            return
        with self._starting:
            if self._thread is None:
                self._stop.clear()
                self.refresh()
                thread = Thread(target=self._run, name="ushield-revocation", daemon=True)
                thread.start()
                self._thread = thread

    def close(self, timeout: float = 5.0) -> None:
        """Stop, waiting for a fetch under way for so many seconds at most. Harmless to repeat."""
        self._stop.set()
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join(timeout)

    def __enter__(self) -> RevocationRefresher:
        self.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _run(self) -> None:
        while not self._stop.wait(self.pause):
            self.refresh()


def _log(source: RevocationSource, error: Exception) -> None:
    _LOG.warning("%s: %s", source.name, error)
