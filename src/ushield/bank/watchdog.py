"""A connection that hangs is cut: a server that is stopped or unreachable answers nothing at all.

The server's own timeouts work only while it runs, and TCP's not on a local socket.
"""

from __future__ import annotations

import heapq
import os
import socket
import threading
import time
from collections.abc import Callable
from itertools import count

__all__ = ["Watchdog"]


class Watchdog:
    """One thread that shuts sockets down whose time is up; started when first needed."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._deadlines: list[tuple[float, int]] = []
        self._watched: dict[int, int] = {}
        self._numbers = count()
        self._thread: threading.Thread | None = None
        self._process = 0

    def watch(self, descriptor: int, seconds: float) -> Callable[[], None]:
        """Shut ``descriptor``'s socket down in ``seconds``, unless what is returned is called."""
        with self._condition:
            if self._process != os.getpid():
                self._start()
            number = next(self._numbers)
            deadline = (time.monotonic() + seconds, number)
            self._watched[number] = descriptor
            heapq.heappush(self._deadlines, deadline)
            if self._deadlines[0] is deadline:
                self._condition.notify()

        def release() -> None:
            with self._condition:
                self._watched.pop(number, None)

        return release

    def close(self) -> None:
        """End the thread; idempotent."""
        with self._condition:
            thread, self._thread = self._thread, None
            self._process = 0
            self._condition.notify()
        if thread is not None and thread is not threading.current_thread():
            thread.join(1)

    def _start(self) -> None:
        # A forked child has no thread of its parent's, and its sockets are not this process's.
        self._deadlines.clear()
        self._watched.clear()
        self._process = os.getpid()
        self._thread = threading.Thread(
            target=self._run, args=(self._process,), name="ushield-bank-watchdog", daemon=True
        )
        self._thread.start()

    def _run(self, process: int) -> None:
        with self._condition:
            while self._process == process:
                wait = self._cut_expired()
                self._condition.wait(wait)

    def _cut_expired(self) -> float | None:
        now = time.monotonic()
        while self._deadlines:
            deadline, number = self._deadlines[0]
            if number not in self._watched:
                heapq.heappop(self._deadlines)
            elif deadline <= now:
                heapq.heappop(self._deadlines)
                _shut_down(self._watched.pop(number))
            else:
                return deadline - now
        return None


def _shut_down(descriptor: int) -> None:
    try:
        connection = socket.socket(fileno=os.dup(descriptor))
    except OSError:
        return
    with connection:
        try:
            connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            return
