"""A request that is on the token's screen, driven by whoever waits for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Generic, Self, TypeVar

from ushield.drivers.base import TokenDriver
from ushield.errors import (
    ConfirmationError,
    HostCancelled,
    Rejected,
    RequestPending,
    RequestUnknown,
    TimedOut,
    TokenRemoved,
    TransportError,
    UShieldError,
)
from ushield.shield.requests import Begun, Signed
from ushield.signing.confirmation import (
    Action,
    AskState,
    CallFailed,
    Cancelled,
    CancelRequest,
    Conclude,
    Ending,
    FetchSignature,
    Happening,
    Listen,
    PanelHeard,
    Phase,
    Refused,
    SignatureFetched,
    StandBy,
    StateTold,
    StillPending,
    TokenGone,
    Withdrawn,
    begin,
    step,
)
from ushield.signing.progress import Progress

__all__ = ["Pending"]

T = TypeVar("T")

Reach = Callable[[], AbstractContextManager[TokenDriver]]

_ENDING_OF_REFUSAL: dict[type[ConfirmationError], Ending] = {
    Rejected: Ending.REJECTED,
    TimedOut: Ending.TIMED_OUT,
    HostCancelled: Ending.HOST_CANCELLED,
}
_ERROR_OF_ENDING: dict[Ending, Callable[[], UShieldError]] = {
    Ending.REJECTED: lambda: Rejected("rejected on the token"),
    Ending.TIMED_OUT: lambda: TimedOut("no key was pressed in time"),
    Ending.HOST_CANCELLED: lambda: HostCancelled("cancelled on this side"),
    Ending.UNKNOWN: lambda: RequestUnknown("the token does not know the request any more"),
    Ending.REMOVED: lambda: TokenRemoved("the token was removed before the person answered"),
}


class Pending(Generic[T]):
    """A request on the screen. Nothing runs by itself: `events` and `result` do the waiting.

    Leave it by its ``with`` block, by a timeout, by an exception such as ``KeyboardInterrupt``, or
    by `cancel` from any thread, and the request is taken off the screen. So it is when its
    session closes.
    """

    def __init__(
        self,
        reach: Reach,
        begun: Begun,
        complete: Callable[[Signed], T],
        *,
        has_panel: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._reach = reach
        self._begun = begun
        self._complete = complete
        self._clock = clock
        self._listening = has_panel
        self._acting = threading.Lock()
        self._cancelling = threading.RLock()
        self._changed = threading.Condition()
        self._failure: UShieldError | None = None
        self._completed: T | None = None
        self._confirmation, self._due = begin(begun, clock(), has_panel=has_panel)

    @property
    def request_id(self) -> bytes:
        """The token's one-shot id of this request."""
        return self._begun.request_id

    @property
    def pages(self) -> int:
        """How many pages there are to read."""
        return self._begun.pages

    @property
    def over(self) -> bool:
        """Whether the confirmation has ended; `result` then answers at once."""
        return self._confirmation.phase is Phase.ENDED

    def events(self, timeout: float | None = None) -> Iterator[Progress]:
        """What happens on the panel, until the confirmation ends; `result` tells how.

        After ``timeout`` seconds the request is taken off the screen, and has timed out. Without
        one the token's own timeout holds. Leaving the loop early leaves the request on the screen
        for `result`.
        """
        deadline = self._deadline(timeout)
        while not self.over:
            yield from self._advance(deadline)

    def result(self, timeout: float | None = None) -> T:
        """Wait for the answer; the same again on every call.

        `Rejected`, `TimedOut` (by the token, or because ``timeout`` seconds have passed),
        `HostCancelled`, `TokenRemoved`, `RequestUnknown`; `SignatureMismatch` if what the token
        handed out does not hold; another `TransportError` if it could not be reached.
        """
        deadline = self._deadline(timeout)
        while not self.over:
            self._advance(deadline)
        ending = self._confirmation.ending
        if ending is Ending.SIGNED and self._confirmation.signed is not None:
            if self._completed is None:
                self._completed = self._complete(self._confirmation.signed)
            return self._completed
        if ending in _ERROR_OF_ENDING:
            raise _ERROR_OF_ENDING[ending]()
        raise self._failure or RequestUnknown("the request ended without an answer")

    def cancel(self) -> None:
        """Take the request off the screen, from any thread; harmless once it is over.

        When this returns no signature can come of the request any more, unless `result` would
        have given it already. A failure to reach the token is told by `result`.
        """
        self._withdraw(Ending.HOST_CANCELLED)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.cancel()

    def _deadline(self, timeout: float | None) -> float | None:
        return None if timeout is None else self._clock() + timeout

    def _advance(self, deadline: float | None) -> tuple[Progress, ...]:
        try:
            with self._acting:
                if self._given_up:
                    self._finish_cancelling()
                    return ()
                due = self._due
                if deadline is not None and self._clock() >= deadline:
                    self._withdraw(Ending.TIMED_OUT)
                    return ()
                happening = self._perform(due, deadline)
                return self._feed(happening, due) if happening is not None else ()
        except BaseException:
            # The caller's wait was broken into (KeyboardInterrupt, say): it will not come back.
            self.cancel()
            raise

    @property
    def _given_up(self) -> bool:
        return self._confirmation.phase is Phase.CANCELLING

    def _withdraw(self, ending: Ending) -> None:
        with self._changed:
            self._confirmation, self._due, _ = step(
                self._confirmation, Withdrawn(ending), self._clock()
            )
            self._changed.notify_all()
        self._finish_cancelling()

    def _finish_cancelling(self) -> None:
        # Whoever cancels is inside one command, which has a timeout of its own. If that was broken
        # into, the next one here sends CANCEL again: nobody waits for somebody who has left.
        with self._cancelling:
            if self._given_up:
                action = CancelRequest()
                happening = self._perform(action, None)
                if happening is not None:
                    self._feed(happening, action)

    def _feed(self, happening: Happening, action: Action) -> tuple[Progress, ...]:
        with self._changed:
            if (
                self._given_up
                and isinstance(happening, CallFailed)
                and not isinstance(action, CancelRequest)
            ):
                # What failed is not the CANCEL that is still to be sent.
                return ()
            self._confirmation, self._due, progress = step(
                self._confirmation, happening, self._clock()
            )
            self._changed.notify_all()
        return progress

    def _perform(self, action: Action, deadline: float | None) -> Happening | None:
        """Do as the confirmation says; what came of it, or ``None`` if that is another's task."""
        try:
            match action:
                case Listen(until):
                    return self._listen(until if deadline is None else min(until, deadline))
                case AskState():
                    with self._reach() as driver:
                        return StateTold(driver.request_state(self.request_id))
                case FetchSignature():
                    with self._reach() as driver:
                        return SignatureFetched(self.request_id, driver.finish(self.request_id))
                case CancelRequest():
                    return self._take_off_screen()
                case StandBy() | Conclude():
                    return None
        except TokenRemoved:
            return TokenGone()
        except RequestPending:
            return StillPending()
        except ConfirmationError as error:
            return Refused(_ENDING_OF_REFUSAL.get(type(error), Ending.UNKNOWN))
        except UShieldError as error:
            self._failure = self._failure or error
            return CallFailed()

    def _take_off_screen(self) -> Happening:
        for last in (False, True):
            try:
                with self._reach() as driver:
                    driver.cancel(self.request_id)
                break
            except TokenRemoved:
                raise
            except TransportError:
                # Nothing may stay on the screen for want of one transfer.
                if last:
                    raise
        return Cancelled()

    def _listen(self, until: float) -> Happening:
        timeout = max(0.0, until - self._clock())
        if self._listening:
            try:
                with self._reach() as driver:
                    return PanelHeard(driver.panel_event(timeout))
            except TokenRemoved:
                raise
            except TransportError:
                # Events are a convenience; asking for the state does without them.
                self._listening = False
                return PanelHeard(None)
        with self._changed:
            self._changed.wait_for(lambda: not isinstance(self._due, Listen), timeout)
        return PanelHeard(None)
