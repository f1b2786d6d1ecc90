"""One request on the panel, step by step: what is reported, what is refused, when it is over."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from ushield.shield.events import PanelEventKind, PanelKey
from ushield.shield.requests import RequestStage
from ushield.virtual.confirmation import (
    Begin,
    Cancel,
    ConfirmationMachine,
    ConfirmationState,
    Event,
    KeyDown,
    KeyUp,
    Notice,
    PinForgotten,
    PinVerified,
    PowerOff,
    Refusal,
    Take,
    Tick,
    UsePin,
)

A, B = b"aaaaaaaa", b"bbbbbbbb"
MACHINE = ConfirmationMachine(timeout=60.0, collect_time=5.0, pin_per_signature=True)
Timed = tuple[float, Event]


def run(
    *events: Event | Timed, machine: ConfirmationMachine = MACHINE
) -> tuple[ConfirmationState, list[Notice], list[Refusal | None]]:
    """Every event in turn; those without a time happen at the time of the one before."""
    state, now = ConfirmationState(), 0.0
    notices: list[Notice] = []
    refusals: list[Refusal | None] = []
    for item in events:
        now, event = item if isinstance(item, tuple) else (now, item)
        step = machine.step(state, event, now)
        state = step.state
        notices += step.notices
        refusals.append(step.refusal)
    return state, notices, refusals


def pressed(key: PanelKey) -> tuple[Event, Event]:
    return KeyDown(key), KeyUp(key)


def kinds(notices: Sequence[Notice]) -> list[PanelEventKind]:
    return [notice.kind for notice in notices]


def test_paging_to_the_end_and_ok_confirms_and_gives_one_signature() -> None:
    state, notices, refusals = run(
        PinVerified(), Begin(A, 2), *pressed(PanelKey.DOWN), *pressed(PanelKey.OK), Take(A), Take(A)
    )
    assert refusals[-2:] == [None, Refusal.UNKNOWN]
    assert notices == [
        Notice(PanelEventKind.PAGE_SHOWN, A, 1, 2),
        Notice(PanelEventKind.KEY_DOWN, A, PanelKey.DOWN, 2),
        Notice(PanelEventKind.PAGE_SHOWN, A, 2, 2),
        Notice(PanelEventKind.KEY_DOWN, A, PanelKey.OK, 2),
        Notice(PanelEventKind.CONFIRMED, A, 0, 2),
    ]
    assert state.request is not None
    assert state.request.stage is RequestStage.SIGNED


def test_ok_before_the_last_page_does_nothing() -> None:
    state, _, refusals = run(PinVerified(), Begin(A, 2), *pressed(PanelKey.OK), Take(A))
    assert refusals[-1] is Refusal.PENDING
    assert state.live_request is not None


def test_ok_held_while_the_last_page_comes_up_does_not_count_until_pressed_anew() -> None:
    events = (
        PinVerified(),
        Begin(A, 2),
        KeyDown(PanelKey.OK),
        *pressed(PanelKey.DOWN),
        KeyDown(PanelKey.OK),
        Take(A),
        KeyUp(PanelKey.OK),
        KeyDown(PanelKey.OK),
        Take(A),
    )
    _, _, refusals = run(*events)
    assert refusals[6] is Refusal.PENDING
    assert refusals[9] is None


def test_ok_counts_on_an_earlier_page_once_the_last_was_shown() -> None:
    _, _, refusals = run(
        PinVerified(),
        Begin(A, 2),
        *pressed(PanelKey.DOWN),
        *pressed(PanelKey.UP),
        *pressed(PanelKey.OK),
        Take(A),
    )
    assert refusals[-1] is None


def test_paging_stops_at_both_ends() -> None:
    state, notices, _ = run(
        PinVerified(), Begin(A, 2), *pressed(PanelKey.UP), *pressed(PanelKey.DOWN) * 3
    )
    assert state.request is not None
    assert state.request.page == 2
    assert kinds(notices).count(PanelEventKind.PAGE_SHOWN) == 2


@pytest.mark.parametrize("key", list(PanelKey))
def test_no_dialog_opens_while_a_key_is_down(key: PanelKey) -> None:
    _, _, refusals = run(KeyDown(key), PinVerified(), Begin(A, 1), KeyUp(key), Begin(A, 1))
    assert refusals[2] is Refusal.KEY_HELD
    assert refusals[4] is None, "the refused begin did not use the PIN up"


def test_a_second_request_waits_for_the_first_to_end() -> None:
    _, _, refusals = run(
        PinVerified(), Begin(A, 1), PinVerified(), Begin(B, 1), Cancel(A), Begin(B, 1), Take(A)
    )
    assert refusals[3] is Refusal.BUSY
    assert refusals[5] is None
    assert refusals[6] is Refusal.UNKNOWN


@pytest.mark.parametrize(
    ("ending", "refusal", "kind"),
    [
        (KeyDown(PanelKey.CANCEL), Refusal.REJECTED, PanelEventKind.REJECTED),
        (Cancel(A), Refusal.CANCELLED, PanelEventKind.CANCELLED),
        (PinForgotten(), Refusal.CANCELLED, PanelEventKind.CANCELLED),
        (PowerOff(), Refusal.UNKNOWN, PanelEventKind.CANCELLED),
        ((60.0, Tick()), Refusal.TIMED_OUT, PanelEventKind.TIMED_OUT),
    ],
)
@pytest.mark.parametrize("confirmed", [False, True])
def test_what_ends_a_request_before_and_after_ok(
    ending: Event | Timed, refusal: Refusal, kind: PanelEventKind, confirmed: bool
) -> None:
    before = pressed(PanelKey.OK) if confirmed else ()
    _, notices, refusals = run(PinVerified(), Begin(A, 1), *before, ending, Take(A), Take(A))
    assert refusals[-2:] == [refusal, refusal]
    assert notices[-1].kind is kind
    assert notices[-1].request_id == A


def test_a_press_in_the_last_second_can_still_be_collected_but_not_for_ever() -> None:
    late = (PinVerified(), Begin(A, 1), (59.9, KeyDown(PanelKey.OK)))
    assert run(*late, (64.0, Take(A)))[2][-1] is None
    assert run(*late, (65.0, Take(A)))[2][-1] is Refusal.TIMED_OUT


def test_a_press_after_the_deadline_belongs_to_no_request() -> None:
    _, notices, _ = run(PinVerified(), Begin(A, 1), (60.0, KeyDown(PanelKey.OK)))
    assert kinds(notices)[-2:] == [PanelEventKind.TIMED_OUT, PanelEventKind.KEY_DOWN]
    assert notices[-1].request_id == bytes(8)


def test_one_verification_serves_one_signature_where_the_profile_says_so() -> None:
    events = (PinVerified(), Begin(A, 1), Cancel(A), Begin(B, 1))
    assert run(*events)[2][-1] is Refusal.PIN_NEEDED
    once = ConfirmationMachine(timeout=60.0, pin_per_signature=False)
    assert run(*events, machine=once)[2][-1] is None


def test_a_bare_signature_uses_the_verification_up_as_well() -> None:
    _, _, refusals = run(UsePin(), PinVerified(), UsePin(), UsePin(), Begin(A, 1))
    assert refusals == [Refusal.PIN_NEEDED, None, None, Refusal.PIN_NEEDED, Refusal.PIN_NEEDED]


def test_upkeep_goes_on_after_a_signature_used_the_verification_up() -> None:
    state, _, _ = run(PinVerified(), Begin(A, 1))
    assert state.pin_verified
    assert not state.pin_unused


def test_a_request_tells_how_long_the_person_took() -> None:
    state, _, _ = run(PinVerified(), (10.0, Begin(A, 1)), (12.5, KeyDown(PanelKey.OK)), Take(A))
    assert state.request is not None
    assert state.request.pressed - state.request.begun == 2.5
