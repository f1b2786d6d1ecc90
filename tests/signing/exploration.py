"""Every happening in every state of the host's confirmation, until no new state appears.

The world outside is free: it may answer what nobody asked, for this request or for another, early,
late or twice, while time passes or stands still. What must hold is checked on every step, with a
record beside the machine (`Record`) of what was asked for and what the token said.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from ushield.shield.events import PanelEvent, PanelEventKind, PanelKey
from ushield.shield.requests import Begun, RequestStage, RequestState, Signed
from ushield.signing import confirmation as machine
from ushield.signing.confirmation import (
    POLL_SECONDS,
    Action,
    AskState,
    CallFailed,
    Cancelled,
    CancelRequest,
    Conclude,
    Confirmation,
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
    Step,
    StillPending,
    TokenGone,
    Withdrawn,
)
from ushield.signing.progress import Progress, Waiting

OURS, THEIRS = b"ours----", b"theirs--"
DEADLINE = 3 * POLL_SECONDS
END_OF_TIME = DEADLINE + POLL_SECONDS

OUR_SIGNATURE = Signed(b"ours", b"signature")
THEIR_SIGNATURE = Signed(b"theirs", b"signature")


class Violated(AssertionError):
    """A path on which the confirmation did what it must never do."""


@dataclass(frozen=True, slots=True)
class Record:
    """What happened on the way here, as far as the rules speak of it."""

    told_at: float = 0.0
    confirmed: bool = False
    final: Ending | None = None
    fetching: bool = False
    withdrawn: bool = False
    cancel_sent: bool = False
    cancel_failed: bool = False
    concluded: Conclude | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """A state of the exploration."""

    confirmation: Confirmation
    due: Action
    record: Record
    now: float


_STAGE_ENDING = {
    RequestStage.REJECTED: Ending.REJECTED,
    RequestStage.TIMED_OUT: Ending.TIMED_OUT,
    RequestStage.CANCELLED: Ending.HOST_CANCELLED,
    RequestStage.SIGNED: Ending.UNKNOWN,
}


def happenings() -> Iterator[Happening]:
    """All that can happen; page and key values stand for all others."""
    yield PanelHeard(None)
    for request_id in (OURS, THEIRS):
        for page in (1, 2):
            yield PanelHeard(PanelEvent(PanelEventKind.PAGE_SHOWN, request_id, page, 2, 0))
        for kind in set(PanelEventKind) - {PanelEventKind.PAGE_SHOWN, PanelEventKind.KEY_DOWN}:
            yield PanelHeard(PanelEvent(kind, request_id, 0, 2, 0))
        yield PanelHeard(PanelEvent(PanelEventKind.KEY_DOWN, request_id, PanelKey.OK, 2, 0))
    for stage in RequestStage:
        yield StateTold(RequestState(stage, 1, 2, 1000))
    yield SignatureFetched(OURS, OUR_SIGNATURE)
    yield SignatureFetched(THEIRS, THEIR_SIGNATURE)
    yield StillPending()
    for ending in (Ending.REJECTED, Ending.TIMED_OUT, Ending.HOST_CANCELLED, Ending.UNKNOWN):
        yield Refused(ending)
    yield Cancelled()
    yield CallFailed()
    yield TokenGone()
    yield Withdrawn(Ending.HOST_CANCELLED)
    yield Withdrawn(Ending.TIMED_OUT)


def explore(*, has_panel: bool) -> int:
    """Walk to the fixpoint and return the number of states; `Violated` for a broken rule."""
    confirmation, action = machine.begin(Begun(OURS, 2, 0), 0.0, has_panel=has_panel)
    # The way to the deadline is the same each half second: three of them are enough.
    confirmation = replace(confirmation, deadline=DEADLINE)
    start = Place(confirmation, action, _asked(Record(), action), 0.0)
    everything = tuple(happenings())
    seen = {start}
    front = [start]
    while front:
        place = front.pop()
        for now in {place.now, min(place.now + POLL_SECONDS, END_OF_TIME)}:
            for happening in everything:
                after = _walk(place, happening, now)
                if after not in seen:
                    seen.add(after)
                    front.append(after)
    _check_ends_in_time(seen)
    return len(seen)


def _require(rule: str, holds: bool) -> None:
    if not holds:
        raise Violated(rule)


def _walk(place: Place, happening: Happening, now: float) -> Place:
    before = place.confirmation
    after, action, progress = machine.step(before, happening, now)
    record = _noted(place, happening, now)
    _check_absorbing(place, after, action, progress)
    _check_foreign(before, happening, now, (after, action, progress))
    _check_time(record, action, now)
    _check_fetch(record, action)
    _check_conclusion(place, record, happening, after, action)
    record = _asked(record, action)
    # Standing by asks for nothing, so what was asked for before is still under way.
    due = place.due if isinstance(action, StandBy) else action
    if record.concluded is not None:
        now = 0.0
    # What was said in this step has been judged in this step.
    return Place(after, due, replace(record, confirmed=False, final=None), now)


def _noted(place: Place, happening: Happening, now: float) -> Record:
    """The record with what the token, or the caller, has just said."""
    record = place.record
    match happening, place.due:
        case Withdrawn(), _ if record.concluded is None:
            record = replace(record, withdrawn=True)
        case CallFailed(), CancelRequest():
            record = replace(record, cancel_failed=True)
        case PanelHeard(PanelEvent(PanelEventKind.CONFIRMED, request_id)), Listen():
            record = replace(record, confirmed=request_id == OURS)
        case StateTold(state), AskState():
            record = replace(
                record,
                told_at=now,
                confirmed=state.stage is RequestStage.CONFIRMED,
                final=_STAGE_ENDING.get(state.stage),
            )
        case StillPending(), FetchSignature():
            record = replace(record, told_at=now)
        case Refused(ending), AskState() | FetchSignature():
            record = replace(record, final=ending)
        case _:
            pass
    return record


def _asked(record: Record, action: Action) -> Record:
    match action:
        case AskState():
            return replace(record, fetching=False)
        case FetchSignature():
            return replace(record, fetching=True)
        case CancelRequest():
            return replace(record, cancel_sent=True)
        case Conclude():
            return replace(record, concluded=action)
        case _:
            return record


def _check_absorbing(
    place: Place, after: Confirmation, action: Action, progress: tuple[Progress, ...]
) -> None:
    if place.record.concluded is not None:
        _require("an ending never changes", action == place.record.concluded)
        _require("nothing follows an ending", after == place.confirmation and not progress)


def _check_foreign(
    before: Confirmation, happening: Happening, now: float, came_of_it: Step
) -> None:
    """Another request's event is like no event; its signature is like nothing at all."""
    match happening:
        case PanelHeard(event) if event is not None and event.request_id == THEIRS:
            silence = machine.step(before, PanelHeard(None), now)
            _require("foreign events are ignored", came_of_it == silence)
        case SignatureFetched(request_id) if request_id == THEIRS:
            _require("foreign signatures are ignored", came_of_it[0] == before)
        case _:
            pass


def _check_time(record: Record, action: Action, now: float) -> None:
    if isinstance(action, Listen):
        _require("after the deadline the host gives up", now < action.until <= DEADLINE)
        _require(
            "the state is asked every half second",
            action.until <= record.told_at + POLL_SECONDS,
        )


def _check_fetch(record: Record, action: Action) -> None:
    if isinstance(action, FetchSignature):
        _require("SIGN follows only the token's own word", record.confirmed)
        _require("nothing is fetched once it was given up", not record.withdrawn)
    if isinstance(action, CancelRequest):
        _require("CANCEL is sent once", not record.cancel_sent)


def _check_conclusion(
    place: Place, record: Record, happening: Happening, after: Confirmation, action: Action
) -> None:
    if not isinstance(action, Conclude) or record.concluded is not None:
        _require(
            "a signature is had at the end only", after.signed is None or bool(record.concluded)
        )
        return
    if action.ending is Ending.SIGNED:
        _require("only our signature is ours", action.signed == OUR_SIGNATURE)
        _require("a signature answers SIGN", record.fetching and after.ending is Ending.SIGNED)
        _require("it comes while it is waited for", isinstance(place.due, FetchSignature))
        _require("no signature after giving up", not record.withdrawn and not record.cancel_sent)
        return
    _require("no signature without its ending", action.signed is None)
    if isinstance(happening, TokenGone):
        _require("removal is told as removal", action.ending is Ending.REMOVED)
    elif record.final is not None and not record.cancel_sent:
        _require("the token's ending is told as it is", action.ending is record.final)
    else:
        _require("what this side gives up is taken off the screen first", record.cancel_sent)
        _require(
            "a request that may still be on the screen is told as a failure",
            not record.cancel_failed or action.ending is Ending.FAILED,
        )


_SILENT_ANSWER: dict[type[Action], Happening] = {
    Listen: PanelHeard(None),
    AskState: StateTold(RequestState(RequestStage.SHOWING, 1, 2, 1000)),
    FetchSignature: StillPending(),
    CancelRequest: Cancelled(),
}


def _check_ends_in_time(seen: set[Place]) -> None:
    """From anywhere, a silent panel and a token that goes on waiting lead to an end."""
    for place in seen:
        confirmation, due, now = place.confirmation, place.due, place.now
        for _ in range(64):
            now += POLL_SECONDS
            if isinstance(due, Conclude):
                break
            happening = _SILENT_ANSWER[type(due)]
            confirmation, due, progress = machine.step(confirmation, happening, now)
            _require("waiting is told in seconds", Waiting(1000) not in progress)
        _require("every path ends", isinstance(due, Conclude) and confirmation.phase is Phase.ENDED)
