"""Rate limits: a token bucket for each client, one for all of them, two for strangers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from ushield.bank.service.errors import TooManyRequests

__all__ = ["RateLimits", "TokenBucket"]

_BURST_SECONDS = 2.0


class TokenBucket:
    """Lets ``rate`` requests a second through, and up to ``burst`` at once after a pause.

    ``clock`` tells seconds, from any start. Not for several threads.
    """

    __slots__ = ("_burst", "_clock", "_left", "_rate", "_seen")

    def __init__(self, rate: float, burst: float, clock: Callable[[], float]) -> None:
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._left = burst
        self._seen = clock()

    def take(self) -> float:
        """Take a token: 0, or the seconds until there is one."""
        now = self._clock()
        self._left = min(self._burst, self._left + (now - self._seen) * self._rate)
        self._seen = now
        if self._left < 1:
            return (1 - self._left) / self._rate
        self._left -= 1
        return 0.0


class RateLimits:
    """Who may ask how often, in requests a second.

    Whoever cannot be told apart is a stranger. They take nothing away from known clients, and
    those who claim to be one, and are not, nothing from those who ask what anybody may.
    """

    def __init__(
        self,
        *,
        per_client: float,
        together: float,
        strangers: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._per_client = per_client
        self._clock = clock
        self._together = self._bucket(together)
        self._strangers = self._bucket(strangers)
        self._unproven = self._bucket(strangers)
        self._clients: dict[str, TokenBucket] = {}

    def admit(self, client: str) -> None:
        """Count a request of ``client``; `TooManyRequests`."""
        own = self._clients.get(client)
        if own is None:
            own = self._clients[client] = self._bucket(self._per_client)
        _take([own, self._together])

    def admit_stranger(self) -> None:
        """Count a request of what anybody may ask; `TooManyRequests`."""
        _take([self._strangers])

    def admit_unproven(self) -> None:
        """Count a request without a client's token or certificate; `TooManyRequests`."""
        _take([self._unproven])

    def _bucket(self, rate: float) -> TokenBucket:
        return TokenBucket(rate, max(1.0, rate * _BURST_SECONDS), self._clock)


def _take(buckets: Iterable[TokenBucket]) -> None:
    for bucket in buckets:
        wait = bucket.take()
        if wait:
            raise TooManyRequests("more requests than are allowed", retry_after=round(wait, 3))
