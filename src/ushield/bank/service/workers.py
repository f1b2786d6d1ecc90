"""Threads for the bank's calls, which block: so many at work, so many waiting, the rest refused."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from ushield.bank.service.errors import DeadlinePassed, Overloaded

__all__ = ["Workers"]

T = TypeVar("T")


class Workers:
    """``threads`` that work, and ``waiting`` places before them. For one event loop."""

    def __init__(self, threads: int, waiting: int) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="ushield-service")
        self._most = threads + waiting
        self._taken = 0

    async def run(self, work: Callable[[], T], *, seconds: float) -> T:
        """What ``work`` gives, or raises, within ``seconds``.

        `Overloaded` says that it did not begin, and never will; `DeadlinePassed` that it did, and
        goes on: a thread cannot be stopped.
        """
        if self._taken >= self._most:
            raise Overloaded("no place is free")
        self._taken += 1
        begun = self._executor.submit(work)
        future = asyncio.wrap_future(begun)
        future.add_done_callback(self._release)
        await asyncio.wait([future], timeout=seconds)
        if future.done():
            return future.result()
        if begun.cancel():
            raise Overloaded("it waited for a free thread for too long")
        raise DeadlinePassed(f"no answer within {seconds:g} s")

    def close(self) -> None:
        """Wait for what is being worked on; idempotent."""
        self._executor.shutdown(wait=True, cancel_futures=True)

    def _release(self, future: asyncio.Future[T]) -> None:
        self._taken -= 1
        if not future.cancelled():
            # Somebody must look at it, or the event loop prints it, with all that it says.
            future.exception()
