"""The virtual token's clock, handed in: the system's, or one that a test moves.

Nothing in the token waits on a timer. Whatever has a deadline looks at the clock when it is next
touched; `ManualClock.on_advance` lets it look as soon as the clock was moved.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

__all__ = ["Clock", "ManualClock", "SystemClock"]


class Clock(Protocol):
    """What time it is, in seconds."""

    def time(self) -> float:
        """Seconds since 1970-01-01 00:00 UTC."""

    def monotonic(self) -> float:
        """Seconds since some moment, never going back: for deadlines."""


class SystemClock:
    """The machine's own clock."""

    __slots__ = ()

    def time(self) -> float:
        """See `Clock.time`."""
        return time.time()

    def monotonic(self) -> float:
        """See `Clock.monotonic`."""
        return time.monotonic()


class ManualClock:
    """A clock that stands still until it is advanced. ``start`` in seconds since 1970, UTC."""

    __slots__ = ("_elapsed", "_listeners", "_start")

    def __init__(self, start: float = 1_700_000_000.0) -> None:
        self._start = start
        self._elapsed = 0.0
        self._listeners: list[Callable[[], None]] = []

    def time(self) -> float:
        """See `Clock.time`."""
        return self._start + self._elapsed

    def monotonic(self) -> float:
        """See `Clock.monotonic`."""
        return self._elapsed

    def advance(self, seconds: float) -> None:
        """Move on, then tell the listeners. ``ValueError`` for a step back."""
        if seconds < 0:
            raise ValueError("a clock does not go back")
        self._elapsed += seconds
        for listener in tuple(self._listeners):
            listener()

    def on_advance(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call ``listener`` after each advance; calling what is returned ends that."""
        self._listeners.append(listener)

        def stop() -> None:
            if listener in self._listeners:
                self._listeners.remove(listener)

        return stop
