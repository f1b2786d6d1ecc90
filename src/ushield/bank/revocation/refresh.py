"""Keeping an index up to date in the background: a thread that fetches what is due."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from threading import Event, Lock, Thread
from types import TracebackType

from ushield.bank.revocation.evidence import RevocationInvalid
from ushield.bank.revocation.index import RevocationIndex
from ushield.bank.revocation.schedule import LATEST, RefreshSchedule, Report, log_failure
from ushield.bank.revocation.sources import RevocationSource, RevocationUnavailable
from ushield.bank.revocation.watch import OcspWatch

__all__ = ["RevocationRefresher"]


class RevocationRefresher:
    """Fetches CRLs from ``sources`` into ``index`` whenever they are due, until it is closed; has
    ``watch``, if there is one, ask again about the certificates that it knows.

    Used as a context manager, or by `start` and `close`. What fails is told to ``report``, by
    default to the log, and tried again; the index refuses by itself what became too old.
    """

    def __init__(
        self,
        index: RevocationIndex,
        sources: Iterable[RevocationSource],
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        at_least_every: timedelta = LATEST,
        report: Report = log_failure,
        watch: OcspWatch | None = None,
    ) -> None:
        self._index = index
        self._clock = clock
        self._report = report
        self._watch = watch
        start = datetime.min.replace(tzinfo=UTC)
        self._schedules = [(source, RefreshSchedule(start, at_least_every)) for source in sources]
        self._stop = Event()
        self._starting = Lock()
        self._thread: Thread | None = None

    def refresh(self) -> int:
        """Fetch now what is due; how many lists and answers came. `start` fetches all first."""
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
        return fetched if self._watch is None else fetched + self._watch.refresh()

    @property
    def pause(self) -> float:
        """Seconds until something is due; never less than a second, nor more than a minute."""
        due = [schedule.due for _, schedule in self._schedules]
        if self._watch is not None and self._watch.due is not None:
            due.append(self._watch.due)
        if not due:
            return 60.0
        return min(max((min(due) - self._clock()).total_seconds(), 1.0), 60.0)

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
