"""The host's confirmation: what it does next, and that no path leads where none may lead."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.signing.exploration import (
    OUR_SIGNATURE,
    OURS,
    THEIRS,
    Violated,
    explore,
)
from ushield.shield.events import PanelEvent, PanelEventKind, PanelKey
from ushield.shield.requests import Begun, RequestStage, RequestState
from ushield.signing import confirmation as machine
from ushield.signing.confirmation import (
    GRACE_SECONDS,
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
    StillPending,
    TokenGone,
    Withdrawn,
    begin,
    step,
)
from ushield.signing.progress import KeyPressed, PageShown, Progress, Waiting

BEGUN = Begun(OURS, 2, 60)
CONFIRMED = PanelHeard(PanelEvent(PanelEventKind.CONFIRMED, OURS, 0, 2, 7))


def shown(page: int, request_id: bytes = OURS) -> PanelHeard:
    return PanelHeard(PanelEvent(PanelEventKind.PAGE_SHOWN, request_id, page, 2, 1))


def told(stage: RequestStage, page: int = 1) -> StateTold:
    return StateTold(RequestState(stage, page, 2, 41_500))


def play(*happenings: Happening, now: float = 0.1) -> tuple[Action, list[Progress]]:
    """What is to be done after all of these, and everything told on the way."""
    confirmation, action = begin(BEGUN, 0.0, has_panel=True)
    progress: list[Progress] = []
    for happening in happenings:
        confirmation, action, new = step(confirmation, happening, now)
        progress += new
    return action, progress


@pytest.mark.parametrize("has_panel", [True, False])
def test_no_path_breaks_a_rule_however_the_world_behaves(has_panel: bool) -> None:
    states = explore(has_panel=has_panel)
    assert 500 < states < 100_000


def always(_: object, *__: object) -> bool:
    return True


def never(_: object, *__: object) -> bool:
    return False


def conclude_at_once(confirmation: Confirmation, ending: Ending) -> tuple[Confirmation, Action]:
    return machine._end(confirmation, ending)


def conclude_as_withdrawn(
    confirmation: Confirmation, happening: Happening
) -> tuple[Confirmation, Action]:
    if isinstance(happening, Cancelled | Refused | CallFailed):
        return machine._end(confirmation, confirmation.ending or Ending.FAILED)
    return confirmation, StandBy()


def poll_late(confirmation: Confirmation, now: float) -> Confirmation:
    return replace(confirmation, phase=Phase.LISTENING, ask_at=now + 4 * POLL_SECONDS)


@pytest.mark.parametrize(
    ("guard", "without"),
    [
        ("_is_over", never),
        ("_is_given_up", never),
        ("_is_awaited", always),
        ("_is_ours", always),
        ("_is_overdue", never),
        ("_is_due_to_ask", never),
        ("_may_fetch", always),
        ("_give_up", conclude_at_once),
        ("_while_cancelling", conclude_as_withdrawn),
        ("_back", poll_late),
    ],
)
def test_the_exploration_notices_the_absence_of_each_guard(
    monkeypatch: pytest.MonkeyPatch, guard: str, without: Callable[..., Any]
) -> None:
    monkeypatch.setattr(machine, guard, without)
    with pytest.raises(Violated):
        explore(has_panel=True)


def test_a_token_with_panel_events_is_listened_to_first() -> None:
    _, action = begin(BEGUN, 100.0, has_panel=True)
    assert action == Listen(100.0 + POLL_SECONDS)


def test_a_token_without_panel_events_is_asked_at_once() -> None:
    _, action = begin(BEGUN, 100.0, has_panel=False)
    assert action == AskState()


def test_pages_and_keys_are_told_as_they_come() -> None:
    ok = PanelHeard(PanelEvent(PanelEventKind.KEY_DOWN, OURS, PanelKey.DOWN, 2, 2))
    action, progress = play(shown(1), ok, shown(2))
    assert progress == [PageShown(1, 2), KeyPressed(PanelKey.DOWN), PageShown(2, 2)]
    assert isinstance(action, Listen)


def test_a_page_whose_event_was_missed_is_told_by_the_state_once() -> None:
    confirmation, _ = begin(BEGUN, 0.0, has_panel=True)
    confirmation, action, _ = step(confirmation, PanelHeard(None), POLL_SECONDS)
    assert action == AskState()
    confirmation, action, progress = step(
        confirmation, told(RequestStage.SHOWING, page=2), POLL_SECONDS
    )
    assert progress == (PageShown(2, 2), Waiting(41.5))
    assert action == Listen(2 * POLL_SECONDS)
    _, _, progress = step(confirmation, shown(2), 0.6)
    assert progress == ()


def test_the_confirmed_event_only_makes_the_host_ask_for_the_signature() -> None:
    assert play(CONFIRMED)[0] == FetchSignature()
    assert isinstance(play(CONFIRMED, StillPending())[0], Listen)
    assert play(CONFIRMED, Refused(Ending.REJECTED))[0] == Conclude(Ending.REJECTED, None)


@pytest.mark.parametrize(
    "kind", [PanelEventKind.REJECTED, PanelEventKind.TIMED_OUT, PanelEventKind.CANCELLED]
)
def test_an_event_alone_ends_nothing(kind: PanelEventKind) -> None:
    event = PanelHeard(PanelEvent(kind, OURS, 0, 2, 7))
    assert play(event)[0] == AskState()
    assert isinstance(play(event, told(RequestStage.SHOWING))[0], Listen)


@pytest.mark.parametrize(
    ("stage", "ending"),
    [
        (RequestStage.REJECTED, Ending.REJECTED),
        (RequestStage.TIMED_OUT, Ending.TIMED_OUT),
        (RequestStage.CANCELLED, Ending.HOST_CANCELLED),
        (RequestStage.SIGNED, Ending.UNKNOWN),
    ],
)
def test_what_the_token_says_of_the_request_is_how_it_ends(
    stage: RequestStage, ending: Ending
) -> None:
    confirmation, _ = begin(BEGUN, 0.0, has_panel=False)
    _, action, progress = step(confirmation, told(stage), 0.0)
    assert action == Conclude(ending, None)
    assert progress == ()


def test_a_flood_of_other_requests_events_does_not_keep_the_host_from_asking() -> None:
    confirmation, _ = begin(BEGUN, 0.0, has_panel=True)
    now = 0.0
    for _ in range(100):
        now += POLL_SECONDS / 50
        confirmation, action, progress = step(confirmation, shown(1, THEIRS), now)
        assert progress == ()
        if action == AskState():
            break
    assert action == AskState()
    assert now <= POLL_SECONDS + POLL_SECONDS / 50


def test_giving_up_takes_the_request_off_the_screen_before_it_is_told() -> None:
    withdrawn = Withdrawn(Ending.HOST_CANCELLED)
    assert play(shown(1), withdrawn)[0] == CancelRequest()
    assert play(withdrawn, Cancelled())[0] == Conclude(Ending.HOST_CANCELLED, None)
    assert play(withdrawn, Refused(Ending.UNKNOWN))[0] == Conclude(Ending.HOST_CANCELLED, None)
    assert play(withdrawn, CallFailed())[0] == Conclude(Ending.FAILED, None)
    assert play(withdrawn, TokenGone())[0] == Conclude(Ending.REMOVED, None)


def test_a_signature_that_comes_after_giving_up_is_dropped() -> None:
    action, _ = play(
        CONFIRMED, Withdrawn(Ending.HOST_CANCELLED), SignatureFetched(OURS, OUR_SIGNATURE)
    )
    assert action == StandBy()


def test_a_token_that_never_times_out_is_given_up_after_its_time_and_some_grace() -> None:
    confirmation, _ = begin(BEGUN, 0.0, has_panel=True)
    late = BEGUN.timeout + GRACE_SECONDS
    confirmation, action, _ = step(confirmation, PanelHeard(None), late)
    assert action == CancelRequest()
    _, action, _ = step(confirmation, Cancelled(), late)
    assert action == Conclude(Ending.TIMED_OUT, None)
