"""The panel of a virtual token: its screen, its four keys, and the confirmation between them.

Fingers (tests, a terminal) and the applet meet here, from different threads. Time is read when the
panel is touched: by a key, a command, a look at the screen, or a clock that was moved.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from threading import Condition, Lock, RLock

from ushield.shield.commands import REQUEST_ID_SIZE
from ushield.shield.events import PanelEvent, PanelKey
from ushield.shield.requests import RequestStage
from ushield.transaction.pages import Page, Screen
from ushield.virtual.clock import Clock
from ushield.virtual.confirmation import (
    Begin,
    Cancel,
    ConfirmationMachine,
    ConfirmationState,
    Event,
    KeyDown,
    KeyUp,
    Notice,
    PowerOff,
    Refusal,
    Request,
    Take,
    Tick,
)
from ushield.virtual.screen import blank_screen, confirmed_screen, idle_screen

__all__ = ["Panel"]


class Panel:
    """Screen and keys of one token. Safe from several threads."""

    def __init__(
        self, screen: Screen, machine: ConfirmationMachine, clock: Clock, *, serial: str
    ) -> None:
        self._machine = machine
        self._clock = clock
        self._idle = idle_screen(screen, serial)
        self._confirmed = confirmed_screen(screen)
        self._blank = blank_screen(screen)
        self._state = ConfirmationState()
        self._pages: tuple[Page, ...] = ()
        self._lit = True
        self._lock = RLock()
        self._touched = Condition(self._lock)
        self._waiting = False
        self._sink: Callable[[bytes], None] | None = None
        self._outbox: deque[Notice] = deque()
        self._delivering = Lock()
        self._counter = 0

    @property
    def screen(self) -> Page:
        """The lines on the screen now, from top to bottom."""
        self.tick()
        with self._lock:
            request = self._state.live_request
            if not self._lit:
                return self._blank
            if request is None:
                return self._idle
            if request.stage is RequestStage.CONFIRMED:
                return self._confirmed
            return self._pages[request.page - 1]

    @property
    def pages(self) -> tuple[Page, ...]:
        """All pages of the request that waits for its keys; empty while there is none."""
        self.tick()
        with self._lock:
            return self._pages if self._state.live_request is not None else ()

    @property
    def page(self) -> int:
        """Which of `pages` is on the screen, from 1; 0 while there is no request."""
        request = self.state.live_request
        return request.page if request is not None else 0

    @property
    def state(self) -> ConfirmationState:
        """The confirmation's state, with time seen to."""
        self.tick()
        return self._state

    def press(self, key: PanelKey) -> None:
        """Press a key and let go of it."""
        self.key_down(key)
        self.key_up(key)

    def key_down(self, key: PanelKey) -> None:
        """Press a key and hold it."""
        self.apply(KeyDown(key))

    def key_up(self, key: PanelKey) -> None:
        """Let go of a key."""
        self.apply(KeyUp(key))

    def tick(self) -> None:
        """Let what is over by now be over."""
        self.apply(Tick())

    def connect(self, sink: Callable[[bytes], None] | None) -> None:
        """Where encoded `PanelEvent` reports go, in order and one at a time; ``None``: nowhere.

        The sink is called without the panel's lock, from whichever thread caused an event.
        """
        self._sink = sink

    def refuse_begin(self) -> Refusal | None:
        """Why no request may begin now, if so."""
        return self._machine.refuse_begin(self.state)

    def begin(
        self, request_id: bytes, pages: tuple[Page, ...], *, needs_pin: bool = True
    ) -> Refusal | None:
        """Put a request on the screen, unless that is refused."""
        with self._lock:
            refusal = self._step(Begin(request_id, len(pages), needs_pin))
            if refusal is None:
                self._pages = pages
        self._deliver()
        return refusal

    def ask(self, pages: tuple[Page, ...], timeout: float) -> bool:
        """Show ``pages`` and wait up to ``timeout`` seconds for OK; whether it was pressed.

        It spends no PIN. One thread at a time may wait; the keys, the clock and the loss of power
        come from others.
        """
        request_id = os.urandom(REQUEST_ID_SIZE)
        if self.begin(request_id, pages, needs_pin=False) is not None:
            return False
        try:
            self._wait_for_key(request_id, self._clock.monotonic() + timeout)
            return isinstance(self.take(request_id), Request)
        finally:
            self.apply(Cancel(request_id))

    def _wait_for_key(self, request_id: bytes, deadline: float) -> None:
        with self._touched:
            self._waiting = True
            try:
                while True:
                    request = self._state.live_request
                    left = deadline - self._clock.monotonic()
                    if (
                        request is None
                        or request.request_id != request_id
                        or request.stage is not RequestStage.SHOWING
                        or left <= 0
                    ):
                        return
                    self._touched.wait(left)
            finally:
                self._waiting = False

    def take(self, request_id: bytes) -> Request | Refusal:
        """Spend a confirmed request: the request that was confirmed, or why there is none."""
        with self._lock:
            refusal = self._step(Take(request_id))
            request = self._state.request
        self._deliver()
        if refusal is not None or request is None:
            return refusal or Refusal.UNKNOWN
        return request

    def apply(self, event: Event) -> Refusal | None:
        """Let ``event`` happen now; why it was refused, if it was."""
        with self._lock:
            refusal = self._step(event)
        if self._outbox:
            self._deliver()
        return refusal

    def switch(self, *, on: bool) -> None:
        """Give the panel power, or take it away with all it was doing."""
        with self._lock:
            self._lit = on
        self.apply(PowerOff())

    def _step(self, event: Event) -> Refusal | None:
        step = self._machine.step(self._state, event, self._clock.monotonic())
        self._state = step.state
        if step.notices and self._lit:
            self._outbox.extend(step.notices)
        if self._waiting:
            self._touched.notify_all()
        return step.refusal

    def _deliver(self) -> None:
        # A thread that finds another one delivering leaves its notices to that one: waiting for it
        # could deadlock with a sink that waits for what this thread holds.
        while self._outbox and self._delivering.acquire(blocking=False):
            try:
                while self._outbox:
                    self._report(self._outbox.popleft())
            finally:
                self._delivering.release()

    def _report(self, notice: Notice) -> None:
        self._counter += 1
        if self._sink is not None:
            event = PanelEvent(
                notice.kind, notice.request_id, notice.value, notice.pages, self._counter
            )
            self._sink(event.encode())
