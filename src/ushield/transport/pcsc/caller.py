"""Calls that nothing can end, made on a thread of their own so that nobody has to wait for them.

PC/SC has no timeouts: SCardTransmit returns when the card has answered, SCardConnect when another
program ends its transaction, and SCardCancel ends neither.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, Generic, TypeVar, cast

from ushield.errors import TransferFailed, TransferTimeout

__all__ = ["Caller", "hand_back", "lent", "take_caller"]

T = TypeVar("T")


class _Call(Generic[T]):
    __slots__ = ("abandoned", "do", "done", "error", "late", "result")

    def __init__(self, do: Callable[[], T], late: Callable[[T], object] | None) -> None:
        self.do = do
        self.late = late
        self.done = False
        self.abandoned = False
        self.result: T | None = None
        self.error: BaseException | None = None


class Caller:
    """One thread, started by the first call, that makes one call after another.

    A call that takes too long goes on there, and its answer is dropped; those behind it wait for it
    within their own time. The thread never keeps the program from ending.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._changed = threading.Condition()
        self._calls: deque[_Call[Any]] = deque()
        self._thread: threading.Thread | None = None
        self._process = 0
        self._under_way = False
        self._dismissed = False

    @property
    def name(self) -> str:
        """What its calls are about."""
        return self._name

    @property
    def idle(self) -> bool:
        """Whether a call made now would be begun at once."""
        with self._changed:
            return not (self._calls or self._under_way)

    def call(
        self, do: Callable[[], T], timeout: float, *, late: Callable[[T], object] | None = None
    ) -> T:
        """What ``do`` returns or raises, if it does so within ``timeout`` seconds.

        Else `TransferTimeout`; ``late`` then gets what ``do`` returns in the end, on the thread.
        `TransferFailed` once the caller is dismissed, and in a process that was forked since the
        first call: the thread, like the card, is the other process's.
        """
        if self._is_inherited():
            raise TransferFailed(
                "the connection is the process's that opened it", remedy="Open the token again."
            )
        call = _Call(do, late)
        with self._changed:
            if self._dismissed:
                raise TransferFailed("the connection is closed", remedy="Open the token again.")
            self._send(call)
            try:
                self._wait(call, timeout)
            except BaseException:
                self._abandon(call)
                raise
            if not call.done:
                self._abandon(call)
                if self._dismissed:
                    raise TransferFailed("the connection was closed meanwhile")
                raise TransferTimeout("the card did not answer in time; pcscd still waits for it")
        if call.error is not None:
            raise call.error
        return cast(T, call.result)

    def dismiss(self, last: Callable[[], object], timeout: float) -> None:
        """End the thread with one more call, waited for ``timeout`` seconds. Harmless to repeat.

        Whoever waits for a call of theirs gets `TransferFailed`; that call goes on, and ``last``
        comes after it.
        """
        if self._is_inherited():
            return
        with self._changed:
            if self._dismissed:
                return
            self._dismissed = True
            call: _Call[object] = _Call(last, None)
            self._send(call)
            self._changed.notify_all()
            self._changed.wait_for(lambda: call.done, timeout)

    def _is_inherited(self) -> bool:
        """Whether this is a forked process; asked before the lock, which may be held for ever."""
        return self._thread is not None and os.getpid() != self._process

    def _send(self, call: _Call[Any]) -> None:
        self._calls.append(call)
        if self._thread is None:
            self._process = os.getpid()
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()
        self._changed.notify_all()

    def _wait(self, call: _Call[Any], timeout: float) -> None:
        end = time.monotonic() + timeout
        while not (call.done or self._dismissed):
            left = end - time.monotonic()
            if left <= 0:
                return
            self._changed.wait(left)

    def _abandon(self, call: _Call[Any]) -> None:
        call.abandoned = True
        if call in self._calls:
            # Nobody has begun with it.
            self._calls.remove(call)
        late, result = call.late, call.result
        if call.done and call.error is None and late is not None:
            # Interrupted when it had the result already.
            self._send(_Call(lambda: late(result), None))

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._calls:
                    if self._dismissed:
                        return
                    self._changed.wait()
                call = self._calls.popleft()
                self._under_way = True
            try:
                call.result = call.do()
            except BaseException as error:  # noqa: BLE001 - it is raised where the call was made
                call.error = error
            with self._changed:
                call.done = True
                self._changed.notify_all()
                too_late = call.abandoned and call.error is None and call.late is not None
                self._under_way = too_late
            if too_late and call.late is not None:
                call.late(call.result)
                with self._changed:
                    self._under_way = False


_stuck: Final[dict[str, list[Caller]]] = {}
_stuck_lock = threading.Lock()


def take_caller(name: str) -> Caller:
    """A caller for calls about one thing, to be handed back.

    It may have one under way that somebody gave up: whoever asks again and again while nothing
    answers waits behind that, instead of adding a thread and a client of the service each time.
    """
    with _stuck_lock:
        _dismiss_idle()
        callers = _stuck.get(name)
        return callers.pop() if callers else Caller(name)


def hand_back(caller: Caller) -> None:
    """End the thread of a caller; of one that is stuck, with the next use after it came free."""
    with _stuck_lock:
        _stuck.setdefault(caller.name, []).append(caller)
        _dismiss_idle()


@contextmanager
def lent(name: str) -> Iterator[Caller]:
    """A caller from `take_caller`, handed back at the end."""
    caller = take_caller(name)
    try:
        yield caller
    finally:
        hand_back(caller)


def _dismiss_idle() -> None:
    for name, callers in tuple(_stuck.items()):
        for caller in tuple(callers):
            if caller.idle:
                callers.remove(caller)
                caller.dismiss(lambda: None, 0)
        if not callers:
            del _stuck[name]


def _forget_stuck() -> None:
    """In a forked process: their threads are not in it."""
    global _stuck_lock  # noqa: PLW0603 - another thread may have held it
    _stuck_lock = threading.Lock()
    _stuck.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_stuck)
