"""The host's confirmation and the token's together: two requests one after the other, a person at
the keys, events and answers lost, time passing or not, the caller giving up whenever it likes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from ushield.shield.events import PanelEvent, PanelEventKind, PanelKey
from ushield.shield.requests import Begun, RequestStage, RequestState, Signed
from ushield.signing import confirmation as host
from ushield.signing.confirmation import (
    POLL_SECONDS,
    Action,
    AskState,
    CallFailed,
    Cancelled,
    Conclude,
    Confirmation,
    Ending,
    FetchSignature,
    Happening,
    Listen,
    PanelHeard,
    Refused,
    SignatureFetched,
    StateTold,
    StillPending,
    Withdrawn,
)
from ushield.virtual.confirmation import (
    Begin,
    Cancel,
    ConfirmationMachine,
    ConfirmationState,
    Event,
    KeyDown,
    KeyUp,
    Notice,
    PinVerified,
    Refusal,
    Take,
    Tick,
)

FIRST, SECOND = b"first---", b"second--"
PAGES = 2
TOKEN_TIMEOUT = 2 * POLL_SECONDS
HOST_PATIENCE = 3 * POLL_SECONDS
END_OF_TIME = 4 * POLL_SECONDS

MACHINE = ConfirmationMachine(
    timeout=TOKEN_TIMEOUT, pin_per_signature=True, collect_time=POLL_SECONDS
)
_ENDING_OF_REFUSAL = {
    Refusal.REJECTED: Ending.REJECTED,
    Refusal.TIMED_OUT: Ending.TIMED_OUT,
    Refusal.CANCELLED: Ending.HOST_CANCELLED,
    Refusal.UNKNOWN: Ending.UNKNOWN,
}


NOBODY: frozenset[bytes] = frozenset()


class Violated(AssertionError):
    """A path on which the two together did what they must never do."""


@dataclass(frozen=True, slots=True)
class Place:
    """Both sides, what is on its way between them, and what the person has read to the end and
    agreed to."""

    token: ConfirmationState
    confirmation: Confirmation
    due: Action
    event: Notice | None = None
    read: frozenset[bytes] = NOBODY
    agreed: frozenset[bytes] = NOBODY
    now: float = 0.0


def at_token(place: Place, event: Event) -> tuple[Place, Refusal | None]:
    """Let something happen on the token. One event is kept for the host; an older one is lost."""
    happened = MACHINE.step(place.token, event, place.now)
    notice = happened.notices[-1] if happened.notices else place.event
    token = happened.state
    if token.request is not None:
        token = replace(token, request=replace(token.request, begun=0.0, pressed=0.0))
    return replace(place, token=token, event=notice), happened.refusal


def to_host(place: Place, happening: Happening) -> Place:
    confirmation, action, _ = host.step(place.confirmation, happening, place.now)
    due = place.due if isinstance(action, host.StandBy) else action
    # Progress is another test's; when it was over does not matter any more.
    confirmation = replace(confirmation, page=0)
    if isinstance(due, Conclude):
        confirmation = replace(confirmation, ask_at=0.0, deadline=0.0)
    return replace(place, confirmation=confirmation, due=due)


def put_on_screen(place: Place, request_id: bytes) -> Place | None:
    # Each request has its own time, so that all that can be before it is the same for it.
    place, _ = at_token(place, Tick())
    place, _ = at_token(replace(place, now=0.0), PinVerified())
    place, refusal = at_token(place, Begin(request_id, PAGES))
    if refusal is not None:
        return None
    confirmation, due = host.begin(Begun(request_id, PAGES, 1), place.now, has_panel=True)
    confirmation = replace(confirmation, deadline=place.now + HOST_PATIENCE)
    return replace(place, confirmation=confirmation, due=due, read=NOBODY, agreed=NOBODY)


def press(place: Place, key: PanelKey) -> Place:
    place, _ = at_token(place, Tick())
    request = place.token.live_request
    if request is not None and request.page == PAGES:
        place = replace(place, read=place.read | {request.request_id})
    if key is PanelKey.OK and request is not None and request.request_id in place.read:
        # What a person means by OK who has had the last page before their eyes.
        place = replace(place, agreed=place.agreed | {request.request_id})
    place, _ = at_token(place, KeyDown(key))
    place, _ = at_token(place, KeyUp(key))
    return place


def perform(place: Place) -> tuple[Place, Happening]:
    """What the host's due action does on the token, and the answer."""
    request_id = place.confirmation.request_id
    match place.due:
        case Listen():
            notice, place = place.event, replace(place, event=None)
            return place, PanelHeard(PanelEvent(*notice, counter=0) if notice else None)
        case AskState():
            place, _ = at_token(place, Tick())
            request = place.token.request
            if request is None or request.request_id != request_id:
                return place, Refused(Ending.UNKNOWN)
            return place, StateTold(RequestState(request.stage, request.page, PAGES, 0))
        case FetchSignature():
            place, refusal = at_token(place, Take(request_id))
            if refusal is None:
                return place, SignatureFetched(request_id, Signed(request_id, b""))
            if refusal is Refusal.PENDING:
                return place, StillPending()
            return place, Refused(_ENDING_OF_REFUSAL[refusal])
        case _:
            place, _ = at_token(place, Cancel(request_id))
            return place, Cancelled()


def next_places(place: Place) -> Iterator[Place]:
    if place.now < END_OF_TIME:
        yield at_token(replace(place, now=place.now + POLL_SECONDS), Tick())[0]
    yield replace(place, event=None)
    for key in (PanelKey.DOWN, PanelKey.OK, PanelKey.CANCEL):
        yield press(place, key)
    if isinstance(place.due, Conclude):
        if place.confirmation.request_id == FIRST:
            second = put_on_screen(place, SECOND)
            if second is not None:
                yield second
                # Its first event was lost, and one of the request before is still to come.
                yield replace(second, event=place.event)
        return
    yield to_host(place, Withdrawn(Ending.HOST_CANCELLED))
    done, answer = perform(place)
    yield to_host(done, answer)
    if not isinstance(place.due, Listen):
        yield to_host(done, CallFailed())
        yield to_host(place, CallFailed())


def check(place: Place) -> None:
    if not isinstance(place.due, Conclude):
        return
    request_id = place.confirmation.request_id
    on_screen = place.token.live_request
    if place.due.ending is Ending.SIGNED:
        if request_id not in place.agreed:
            raise Violated("a signature that nobody agreed to")
        if place.due.signed != Signed(request_id, b""):
            raise Violated("the signature of another request")
    if (
        place.due.ending is not Ending.FAILED
        and on_screen is not None
        and on_screen.request_id == request_id
    ):
        raise Violated("over for the host, and still on the screen")


def explore() -> set[Place]:
    start = put_on_screen(Place(ConfirmationState(), None, None), FIRST)  # type: ignore[arg-type]
    assert start is not None
    seen = {start}
    front = [start]
    while front:
        for place in next_places(front.pop()):
            if place not in seen:
                check(place)
                seen.add(place)
                front.append(place)
    return seen


@pytest.fixture(scope="module")
def seen() -> set[Place]:
    return explore()


def test_no_path_makes_a_signature_without_agreement_or_leaves_a_request_behind(
    seen: set[Place],
) -> None:
    endings = {
        (place.confirmation.request_id, place.due.ending)
        for place in seen
        if isinstance(place.due, Conclude)
    }
    for request_id in (FIRST, SECOND):
        for ending in (
            Ending.SIGNED,
            Ending.REJECTED,
            Ending.TIMED_OUT,
            Ending.HOST_CANCELLED,
            Ending.FAILED,
        ):
            assert (request_id, ending) in endings


def ok_on_any_page(machine: ConfirmationMachine, request: object) -> bool:
    return True


def conclude_at_once(confirmation: Confirmation, ending: Ending) -> tuple[Confirmation, Action]:
    return host._end(confirmation, ending)


@pytest.mark.parametrize(
    ("side", "guard", "without"),
    [
        (ConfirmationMachine, "last_page_shown", ok_on_any_page),
        (host, "_give_up", conclude_at_once),
    ],
)
def test_the_exploration_notices_a_guard_that_is_missing_on_either_side(
    monkeypatch: pytest.MonkeyPatch, side: Any, guard: str, without: Callable[..., Any]
) -> None:
    monkeypatch.setattr(side, guard, without)
    with pytest.raises(Violated):
        explore()


def test_an_event_of_the_first_request_reaches_the_second_as_nothing(seen: set[Place]) -> None:
    late = [
        place
        for place in seen
        if place.event is not None
        and place.event.request_id == FIRST
        and place.event.kind is PanelEventKind.CONFIRMED
        and place.confirmation.request_id == SECOND
        and isinstance(place.due, Listen)
    ]
    assert late
    for place in late:
        _, answer = perform(place)
        assert to_host(place, answer) == to_host(place, PanelHeard(None))
        assert place.token.request is not None
        assert place.token.request.stage is not RequestStage.SIGNED
