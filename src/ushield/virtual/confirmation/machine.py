"""The rules of a confirmation: which event does what in which state."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ushield.shield.commands import REQUEST_ID_SIZE
from ushield.shield.events import PanelEventKind, PanelKey
from ushield.shield.requests import RequestStage
from ushield.virtual.confirmation.events import (
    Begin,
    Cancel,
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
from ushield.virtual.confirmation.state import ConfirmationState, Notice, Request, Step

__all__ = ["ConfirmationMachine"]

_NO_REQUEST = bytes(REQUEST_ID_SIZE)
_REFUSAL_OF_STAGE = {
    RequestStage.SHOWING: Refusal.PENDING,
    RequestStage.REJECTED: Refusal.REJECTED,
    RequestStage.TIMED_OUT: Refusal.TIMED_OUT,
    RequestStage.CANCELLED: Refusal.CANCELLED,
}
_KIND_OF_STAGE = {
    RequestStage.REJECTED: PanelEventKind.REJECTED,
    RequestStage.TIMED_OUT: PanelEventKind.TIMED_OUT,
    RequestStage.CANCELLED: PanelEventKind.CANCELLED,
}


class ConfirmationMachine:
    """The rules; see the package. Immutable, so one serves any number of states.

    ``timeout``: seconds from begin to OK. ``collect_time``: how long after OK the host may fetch
    the signature at least, so that a press in the last second is not lost.
    """

    def __init__(
        self, *, timeout: float, pin_per_signature: bool, collect_time: float = 5.0
    ) -> None:
        self.timeout = timeout
        self.pin_per_signature = pin_per_signature
        self.collect_time = collect_time
        self._handlers: dict[type, Callable[..., Step]] = {
            Begin: self._begin,
            KeyDown: self._key_down,
            KeyUp: self._key_up,
            Take: self._take,
            Cancel: self._cancel,
            Tick: self._tick,
            PinVerified: self._pin_verified,
            PinForgotten: self._pin_forgotten,
            UsePin: self._use_pin,
            PowerOff: self._power_off,
        }

    def step(self, state: ConfirmationState, event: Event, now: float) -> Step:
        """``event`` happens in ``state`` at ``now``; a request whose time is up ends first."""
        request = state.live_request
        if request is None or self.in_time(request, now):
            step: Step = self._handlers[type(event)](state, event, now)
            return step
        ended, notice = self._ended(state, request, RequestStage.TIMED_OUT)
        step = self._handlers[type(event)](ended, event, now)
        return Step(step.state, (notice, *step.notices), step.refusal)

    def refuse_begin(self, state: ConfirmationState, *, needs_pin: bool = True) -> Refusal | None:
        """Why no request may begin now, if so; the state must be up to date (`Tick`)."""
        if needs_pin and not self.pin_ready(state):
            return Refusal.PIN_NEEDED
        if not self.screen_free(state):
            return Refusal.BUSY
        if not self.keys_up(state):
            return Refusal.KEY_HELD
        return None

    # The guards.

    def pin_ready(self, state: ConfirmationState) -> bool:
        """A signature begins on a verified PIN that no other has used up."""
        return state.pin_unused

    def screen_free(self, state: ConfirmationState) -> bool:
        """One request at a time: none takes the screen from another."""
        return state.live_request is None

    def keys_up(self, state: ConfirmationState) -> bool:
        """No key is down when a dialog opens, so no press means an earlier screen."""
        return not state.keys_down

    def fresh_press(self, state: ConfirmationState, key: PanelKey) -> bool:
        """A key counts when it goes down, not while it is held."""
        return key not in state.keys_down

    def last_page_shown(self, request: Request) -> bool:
        """OK means nothing before everything was on the screen."""
        return request.last_page_shown

    def in_time(self, request: Request, now: float) -> bool:
        """A request lives until its deadline."""
        return now < request.deadline

    def same_request(self, request: Request, request_id: bytes) -> bool:
        """The host speaks of this request, not of another."""
        return request.request_id == request_id

    def confirmed(self, request: Request) -> bool:
        """OK was pressed, and nothing ended the request since."""
        return request.stage in (RequestStage.CONFIRMED, RequestStage.SIGNED)

    def unspent(self, request: Request) -> bool:
        """A confirmation is good for one signature."""
        return request.stage is not RequestStage.SIGNED

    def after_use(self, state: ConfirmationState) -> bool:
        """Whether the PIN's verification outlives the signature that begins on it."""
        return not self.pin_per_signature

    def next_page(self, request: Request) -> int:
        """Pages turn one by one, so none is skipped."""
        return request.page + 1

    # What events do.

    def _begin(self, state: ConfirmationState, event: Begin, now: float) -> Step:
        refusal = self.refuse_begin(state, needs_pin=event.needs_pin)
        if refusal is not None:
            return Step(state, (), refusal)
        request = Request(
            event.request_id,
            event.pages,
            begun=now,
            deadline=now + self.timeout,
            last_page_shown=event.pages == 1,
        )
        pin_unused = self.after_use(state) if event.needs_pin else state.pin_unused
        begun = ConfirmationState(state.pin_verified, pin_unused, state.keys_down, request)
        return Step(begun, (_notice(PanelEventKind.PAGE_SHOWN, request, 1),))

    def _key_down(self, state: ConfirmationState, event: KeyDown, now: float) -> Step:
        key = event.key
        if not self.fresh_press(state, key):
            return Step(state)
        request = state.live_request
        state = replace(state, keys_down=state.keys_down | {key})
        if request is None:
            return Step(state, (Notice(PanelEventKind.KEY_DOWN, _NO_REQUEST, key, 0),))
        pressed = _notice(PanelEventKind.KEY_DOWN, request, key)
        if key is PanelKey.CANCEL:
            step = self._reject(state, request)
        elif request.stage is RequestStage.CONFIRMED:
            step = Step(state)
        elif key is PanelKey.OK:
            step = self._confirm(state, request, now)
        else:
            step = self._turn(state, request, key)
        return Step(step.state, (pressed, *step.notices))

    def _reject(self, state: ConfirmationState, request: Request) -> Step:
        rejected, notice = self._ended(state, request, RequestStage.REJECTED)
        return Step(rejected, (notice,))

    def _confirm(self, state: ConfirmationState, request: Request, now: float) -> Step:
        if not self.last_page_shown(request):
            return Step(state)
        request = replace(
            request,
            stage=RequestStage.CONFIRMED,
            pressed=now,
            deadline=max(request.deadline, now + self.collect_time),
        )
        return Step(
            replace(state, request=request), (_notice(PanelEventKind.CONFIRMED, request, 0),)
        )

    def _turn(self, state: ConfirmationState, request: Request, key: PanelKey) -> Step:
        page = self.next_page(request) if key is PanelKey.DOWN else request.page - 1
        if not 1 <= page <= request.pages:
            return Step(state)
        request = replace(
            request, page=page, last_page_shown=request.last_page_shown or page == request.pages
        )
        return Step(
            replace(state, request=request), (_notice(PanelEventKind.PAGE_SHOWN, request, page),)
        )

    def _key_up(self, state: ConfirmationState, event: KeyUp, now: float) -> Step:
        return Step(replace(state, keys_down=state.keys_down - {event.key}))

    def _take(self, state: ConfirmationState, event: Take, now: float) -> Step:
        request = state.request
        if request is None or not self.same_request(request, event.request_id):
            return Step(state, (), Refusal.UNKNOWN)
        if not self.confirmed(request):
            return Step(state, (), _REFUSAL_OF_STAGE[request.stage])
        if not self.unspent(request):
            return Step(state, (), Refusal.UNKNOWN)
        return Step(replace(state, request=replace(request, stage=RequestStage.SIGNED)))

    def _cancel(self, state: ConfirmationState, event: Cancel, now: float) -> Step:
        request = state.request
        if request is None or not self.same_request(request, event.request_id):
            return Step(state, (), Refusal.UNKNOWN)
        return self._withdraw(state)

    def _tick(self, state: ConfirmationState, event: Tick, now: float) -> Step:
        return Step(state)

    def _pin_verified(self, state: ConfirmationState, event: PinVerified, now: float) -> Step:
        return Step(replace(state, pin_verified=True, pin_unused=True))

    def _pin_forgotten(self, state: ConfirmationState, event: PinForgotten, now: float) -> Step:
        return self._withdraw(replace(state, pin_verified=False, pin_unused=False))

    def _use_pin(self, state: ConfirmationState, event: UsePin, now: float) -> Step:
        if not self.pin_ready(state):
            return Step(state, (), Refusal.PIN_NEEDED)
        return Step(replace(state, pin_unused=self.after_use(state)))

    def _power_off(self, state: ConfirmationState, event: PowerOff, now: float) -> Step:
        _, notices, _ = self._withdraw(state)
        return Step(ConfirmationState(keys_down=state.keys_down), notices)

    def _withdraw(self, state: ConfirmationState) -> Step:
        request = state.live_request
        if request is None:
            return Step(state)
        withdrawn, notice = self._ended(state, request, RequestStage.CANCELLED)
        return Step(withdrawn, (notice,))

    def _ended(
        self, state: ConfirmationState, request: Request, stage: RequestStage
    ) -> tuple[ConfirmationState, Notice]:
        notice = _notice(_KIND_OF_STAGE[stage], request, 0)
        return replace(state, request=replace(request, stage=stage)), notice


def _notice(kind: PanelEventKind, request: Request, value: int) -> Notice:
    return Notice(kind, request.request_id, value, request.pages)
