"""The host's side of a confirmation, without I/O, threads or a clock.

`step` takes what happened and the time, and gives what to do next. The token has the last word on
everything: its events only wake the host, which then asks for the request's state or its signature.
Nothing here depends on an event arriving: the state is asked at least every `POLL_SECONDS`.

A request that this side gives up is taken off the token's screen before the ending is told, and
from the moment it is given up no answer can make a signature of it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import TypeAlias

from ushield.shield.events import PanelEvent, PanelEventKind, PanelKey
from ushield.shield.requests import Begun, RequestStage, RequestState, Signed
from ushield.signing.progress import KeyPressed, PageShown, Progress, Waiting

__all__ = [
    "GRACE_SECONDS",
    "POLL_SECONDS",
    "Action",
    "AskState",
    "CallFailed",
    "CancelRequest",
    "Cancelled",
    "Conclude",
    "Confirmation",
    "Ending",
    "FetchSignature",
    "Happening",
    "Listen",
    "PanelHeard",
    "Phase",
    "Refused",
    "SignatureFetched",
    "StandBy",
    "StateTold",
    "Step",
    "StillPending",
    "TokenGone",
    "Withdrawn",
    "begin",
    "step",
]

POLL_SECONDS = 0.5
"""How long the host relies on events alone."""
GRACE_SECONDS = 5.0
"""How long after the token's own timeout the host gives up on it."""


class Ending(Enum):
    """How a confirmation ends."""

    SIGNED = auto()
    REJECTED = auto()
    TIMED_OUT = auto()
    HOST_CANCELLED = auto()
    UNKNOWN = auto()
    REMOVED = auto()
    FAILED = auto()


class Phase(Enum):
    """What the host is at."""

    LISTENING = auto()
    ASKING = auto()
    FETCHING = auto()
    CANCELLING = auto()
    ENDED = auto()


@dataclass(frozen=True, slots=True)
class PanelHeard:
    """`Listen` ended: with an event, or without one."""

    event: PanelEvent | None


@dataclass(frozen=True, slots=True)
class StateTold:
    """The answer to `AskState`."""

    state: RequestState


@dataclass(frozen=True, slots=True)
class SignatureFetched:
    """The answer to `FetchSignature`, for the request that it was asked for."""

    request_id: bytes
    signed: Signed


@dataclass(frozen=True, slots=True)
class StillPending:
    """The answer to `FetchSignature`: nobody has pressed OK."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The answer to `AskState` or `FetchSignature`: the request is over."""

    ending: Ending


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The answer to `CancelRequest`."""


@dataclass(frozen=True, slots=True)
class CallFailed:
    """A command, or the wait for events, failed below; its answer may be lost."""


@dataclass(frozen=True, slots=True)
class TokenGone:
    """The token was removed."""


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """The caller gives up, at any time: to end as `HOST_CANCELLED` or `TIMED_OUT`."""

    ending: Ending


Happening: TypeAlias = (
    PanelHeard
    | StateTold
    | SignatureFetched
    | StillPending
    | Refused
    | Cancelled
    | CallFailed
    | TokenGone
    | Withdrawn
)


@dataclass(frozen=True, slots=True)
class Listen:
    """Wait for a panel event, or let time pass, until the clock says ``until``."""

    until: float


@dataclass(frozen=True, slots=True)
class AskState:
    """Send REQUEST STATE."""


@dataclass(frozen=True, slots=True)
class FetchSignature:
    """Send SIGN."""


@dataclass(frozen=True, slots=True)
class CancelRequest:
    """Send CANCEL."""


@dataclass(frozen=True, slots=True)
class StandBy:
    """What happened changes nothing, and what was asked for before is still under way."""


@dataclass(frozen=True, slots=True)
class Conclude:
    """It is over."""

    ending: Ending
    signed: Signed | None


Action: TypeAlias = Listen | AskState | FetchSignature | CancelRequest | StandBy | Conclude


@dataclass(frozen=True, slots=True)
class Confirmation:
    """Where the host stands with one request. Times are on the caller's monotonic clock."""

    request_id: bytes
    deadline: float
    ask_at: float
    phase: Phase = Phase.LISTENING
    page: int = 0
    ending: Ending | None = None
    signed: Signed | None = None


Step: TypeAlias = tuple[Confirmation, Action, tuple[Progress, ...]]


def begin(begun: Begun, now: float, *, has_panel: bool) -> tuple[Confirmation, Action]:
    """A request was put on the screen. Without panel events its state is asked at once."""
    confirmation = Confirmation(
        begun.request_id,
        deadline=now + begun.timeout + GRACE_SECONDS,
        ask_at=now + POLL_SECONDS if has_panel else now,
    )
    return _go_on(confirmation, now)


def step(confirmation: Confirmation, happening: Happening, now: float) -> Step:
    """What to do after ``happening``, and what to tell the caller of it.

    Every happening is allowed in every phase. An answer that nobody waits for changes nothing.
    """
    if _is_over(confirmation):
        return confirmation, _conclusion(confirmation), ()
    progress: tuple[Progress, ...] = ()
    match happening:
        case TokenGone():
            after, action = _end(confirmation, Ending.REMOVED)
        case _ if _is_given_up(confirmation):
            after, action = _while_cancelling(confirmation, happening)
        case Withdrawn(ending):
            after, action = _give_up(confirmation, ending)
        case CallFailed():
            after, action = _give_up(confirmation, Ending.FAILED)
        case PanelHeard(event) if _is_awaited(confirmation, Phase.LISTENING):
            after, action, progress = _hear(confirmation, event, now)
        case StateTold(state) if _is_awaited(confirmation, Phase.ASKING):
            after, action, progress = _learn(confirmation, state, now)
        case SignatureFetched(request_id, signed) if _is_awaited(
            confirmation, Phase.FETCHING
        ) and _is_ours(confirmation, request_id):
            after, action = _end(replace(confirmation, signed=signed), Ending.SIGNED)
        case StillPending() if _is_awaited(confirmation, Phase.FETCHING):
            after, action = _go_on(_back(confirmation, now), now)
        case Refused(ending) if _is_awaited(confirmation, Phase.ASKING, Phase.FETCHING):
            after, action = _end(confirmation, ending)
        case _:
            after, action = confirmation, StandBy()
    return after, action, progress


# The guards. Each stands alone, so that a test can take it away and see what goes wrong.


def _is_over(confirmation: Confirmation) -> bool:
    return confirmation.phase is Phase.ENDED


def _is_given_up(confirmation: Confirmation) -> bool:
    return confirmation.phase is Phase.CANCELLING


def _is_awaited(confirmation: Confirmation, *phases: Phase) -> bool:
    return confirmation.phase in phases


def _is_ours(confirmation: Confirmation, request_id: bytes) -> bool:
    return request_id == confirmation.request_id


def _is_overdue(confirmation: Confirmation, now: float) -> bool:
    return now >= confirmation.deadline


def _is_due_to_ask(confirmation: Confirmation, now: float) -> bool:
    return now >= confirmation.ask_at


def _may_fetch(stage: RequestStage | PanelEventKind) -> bool:
    return stage is RequestStage.CONFIRMED or stage is PanelEventKind.CONFIRMED


_STAGE_ENDING = {
    RequestStage.REJECTED: Ending.REJECTED,
    RequestStage.TIMED_OUT: Ending.TIMED_OUT,
    RequestStage.CANCELLED: Ending.HOST_CANCELLED,
    # Somebody else fetched the signature: this side never will.
    RequestStage.SIGNED: Ending.UNKNOWN,
}
_FINAL_EVENTS = frozenset(
    (PanelEventKind.REJECTED, PanelEventKind.TIMED_OUT, PanelEventKind.CANCELLED)
)


def _hear(confirmation: Confirmation, event: PanelEvent | None, now: float) -> Step:
    if event is None or not _is_ours(confirmation, event.request_id):
        return *_go_on(confirmation, now), ()
    if _may_fetch(event.kind):
        return replace(confirmation, phase=Phase.FETCHING), FetchSignature(), ()
    if event.kind in _FINAL_EVENTS:
        # The event wakes us; the token's answer ends it.
        return replace(confirmation, phase=Phase.ASKING), AskState(), ()
    progress: tuple[Progress, ...] = ()
    if event.kind is PanelEventKind.KEY_DOWN:
        progress = (KeyPressed(PanelKey(event.value)),)
    elif event.value != confirmation.page:
        confirmation = replace(confirmation, page=event.value)
        progress = (PageShown(event.value, event.pages),)
    return *_go_on(confirmation, now), progress


def _learn(confirmation: Confirmation, state: RequestState, now: float) -> Step:
    if _may_fetch(state.stage):
        return replace(confirmation, phase=Phase.FETCHING), FetchSignature(), ()
    ending = _STAGE_ENDING.get(state.stage)
    if ending is not None:
        return *_end(confirmation, ending), ()
    progress: tuple[Progress, ...] = (Waiting(state.time_left / 1000),)
    if state.page != confirmation.page:
        confirmation = replace(confirmation, page=state.page)
        progress = (PageShown(state.page, state.pages), *progress)
    return *_go_on(_back(confirmation, now), now), progress


def _back(confirmation: Confirmation, now: float) -> Confirmation:
    return replace(confirmation, phase=Phase.LISTENING, ask_at=now + POLL_SECONDS)


def _go_on(confirmation: Confirmation, now: float) -> tuple[Confirmation, Action]:
    if _is_overdue(confirmation, now):
        return _give_up(confirmation, Ending.TIMED_OUT)
    if _is_due_to_ask(confirmation, now):
        return replace(confirmation, phase=Phase.ASKING), AskState()
    return confirmation, Listen(min(confirmation.ask_at, confirmation.deadline))


def _give_up(confirmation: Confirmation, ending: Ending) -> tuple[Confirmation, Action]:
    return replace(confirmation, phase=Phase.CANCELLING, ending=ending), CancelRequest()


def _while_cancelling(
    confirmation: Confirmation, happening: Happening
) -> tuple[Confirmation, Action]:
    if isinstance(happening, Cancelled | Refused):
        return _end(confirmation, confirmation.ending or Ending.FAILED)
    if isinstance(happening, CallFailed):
        # It may still be on the screen, until the token's own timeout: the caller must hear of it.
        return _end(confirmation, Ending.FAILED)
    return confirmation, StandBy()


def _end(confirmation: Confirmation, ending: Ending) -> tuple[Confirmation, Action]:
    ended = replace(confirmation, phase=Phase.ENDED, ending=ending)
    return ended, _conclusion(ended)


def _conclusion(confirmation: Confirmation) -> Conclude:
    return Conclude(confirmation.ending or Ending.FAILED, confirmation.signed)
