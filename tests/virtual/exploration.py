"""Exhaustive exploration of the confirmation machine beside an independent observer.

The observer knows nothing of the machine's state: it sees the events, the answers and the page on
the screen, and says on its own when a request may begin and when a signature may leave. Each node
of the search is both together; the search ends when no new node appears.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from ushield.shield.events import PanelKey
from ushield.shield.requests import RequestStage
from ushield.virtual.confirmation import (
    Begin,
    Cancel,
    ConfirmationMachine,
    ConfirmationState,
    Event,
    KeyDown,
    KeyUp,
    PinForgotten,
    PinVerified,
    PowerOff,
    Refusal,
    Take,
    Tick,
    UsePin,
)

TIMEOUT = 2
COLLECT_TIME = 1
FIRST, SECOND = b"first...", b"second.."
_ENDED = frozenset({RequestStage.REJECTED, RequestStage.TIMED_OUT, RequestStage.CANCELLED})

EVENTS: tuple[Event, ...] = (
    PinVerified(),
    PinForgotten(),
    PowerOff(),
    UsePin(),
    Tick(),
    *(Begin(FIRST, pages) for pages in (1, 2)),
    Begin(SECOND, 3),
    Begin(SECOND, 1, needs_pin=False),
    *(kind(request) for request in (FIRST, SECOND) for kind in (Cancel, Take)),
    *(kind(key) for key in PanelKey for kind in (KeyDown, KeyUp)),
)


class Violation(AssertionError):
    """A path on which the token did what it must not, or refused what it must do."""


@dataclass(frozen=True)
class Watched:
    """What the observer knows of the request on the screen."""

    request_id: bytes
    pages: int
    shown: frozenset[int]
    time_left: int
    confirmed: bool = False

    def all_shown(self) -> bool:
        return self.shown == frozenset(range(1, self.pages + 1))

    def may_be_confirmed(self) -> bool:
        return self.all_shown() and not self.confirmed


@dataclass(frozen=True)
class Observer:
    """Who may do what, told from the outside."""

    login: bool = False
    pin: bool = False
    down: frozenset[PanelKey] = frozenset()
    request: Watched | None = None

    def may_begin(self, *, needs_pin: bool) -> bool:
        return (self.pin or not needs_pin) and not self.down and self.request is None

    def may_take(self, request_id: bytes) -> bool:
        request = self.request
        return (
            request is not None
            and request.request_id == request_id
            and request.confirmed
            and request.all_shown()
        )

    def after(self, event: Event, *, accepted: bool, per_signature: bool) -> Observer:
        """What it knows once ``event`` happened."""
        request = self.request
        match event:
            case Tick() if request is not None:
                left = request.time_left - 1
                return replace(self, request=replace(request, time_left=left) if left else None)
            case PinVerified():
                return replace(self, login=True, pin=True)
            case UsePin() if accepted:
                return replace(self, pin=not per_signature)
            case PinForgotten() | PowerOff():
                return replace(self, login=False, pin=False, request=None)
            case Begin(request_id, pages, needs_pin) if accepted:
                watched = Watched(request_id, pages, frozenset(), TIMEOUT)
                pin = not per_signature if needs_pin else self.pin
                return replace(self, pin=pin, request=watched)
            case Cancel(request_id) if request is not None and request.request_id == request_id:
                return replace(self, request=None)
            case Take() if accepted:
                return replace(self, request=None)
            case KeyUp(key):
                return replace(self, down=self.down - {key})
            case KeyDown(key) if key not in self.down:
                if key is PanelKey.CANCEL:
                    request = None
                elif key is PanelKey.OK and request is not None and request.may_be_confirmed():
                    left = max(request.time_left, COLLECT_TIME)
                    request = replace(request, confirmed=True, time_left=left)
                return replace(self, down=self.down | {key}, request=request)
        return self

    def looking_at(self, page: int | None) -> Observer:
        """The page that is on the screen now."""
        if self.request is None or page is None:
            return self
        return replace(self, request=replace(self.request, shown=self.request.shown | {page}))


@dataclass(frozen=True)
class Exploration:
    """What a complete search found."""

    nodes: int
    stages: frozenset[RequestStage]
    refusals: frozenset[Refusal]
    signatures: int


def _rebased(state: ConfirmationState, now: int) -> ConfirmationState:
    """The same state with its clock set back to zero, so that equal futures are equal nodes."""
    request = state.request
    if request is None:
        return state
    deadline = request.deadline - now if request.live else 0
    return replace(state, request=replace(request, deadline=deadline, begun=0, pressed=0))


def _check(observer: Observer, event: Event, refusal: Refusal | None) -> None:
    match event:
        case Begin(needs_pin=needs_pin):
            if (refusal is None) != observer.may_begin(needs_pin=needs_pin):
                raise Violation(f"begin: {refusal} where the observer knows {observer}")
        case UsePin():
            if (refusal is None) != observer.pin:
                raise Violation(f"bare signature: {refusal} where the observer knows {observer}")
        case Take(request_id):
            if (refusal is None) != observer.may_take(request_id):
                raise Violation(f"signature: {refusal} where the observer knows {observer}")
        case Cancel(request_id):
            live = observer.request
            if refusal is not None and live is not None and live.request_id == request_id:
                raise Violation(f"the host cannot cancel: {refusal}")
        case _ if refusal is not None:
            raise Violation(f"{event} refused: {refusal}")


def _screen(state: ConfirmationState) -> tuple[bytes, int] | None:
    request = state.live_request
    return None if request is None else (request.request_id, request.page)


def _successors(
    machine: ConfirmationMachine, state: ConfirmationState, observer: Observer
) -> Iterator[tuple[ConfirmationState, Observer, Refusal | None, Event]]:
    for event in EVENTS:
        now = 1 if isinstance(event, Tick) else 0
        step = machine.step(state, event, now)
        _check(observer, event, step.refusal)
        after = observer.after(
            event, accepted=step.refusal is None, per_signature=machine.pin_per_signature
        )
        drawn = _screen(step.state)
        watched = after.request
        if (None if watched is None else watched.request_id) != (drawn and drawn[0]):
            raise Violation(f"{event}: the screen shows {drawn}, the observer knows {after}")
        if step.state.pin_verified != after.login:
            raise Violation(f"{event}: the token says that its PIN is verified, or that it is not")
        yield (
            _rebased(step.state, now),
            after.looking_at(drawn[1] if drawn else None),
            step.refusal,
            event,
        )


def explore(machine: ConfirmationMachine) -> Exploration:
    """Every event in every state that can be reached; `Violation` at the first wrong answer."""
    start = (ConfirmationState(), Observer())
    seen = {start}
    frontier = [start]
    refusals: set[Refusal] = set()
    signatures = 0
    while frontier:
        state, observer = frontier.pop()
        for next_state, next_observer, refusal, event in _successors(machine, state, observer):
            if refusal is not None:
                refusals.add(refusal)
            elif isinstance(event, Take):
                signatures += 1
            node = (next_state, next_observer)
            if node not in seen:
                seen.add(node)
                frontier.append(node)
    stages = frozenset(state.request.stage for state, _ in seen if state.request is not None)
    return Exploration(len(seen), stages, frozenset(refusals), signatures)
