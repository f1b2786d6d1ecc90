"""PIN and PUK on a real NVRAM: what each operation answers, spends and restores."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.virtual.memory import (
    MAX_TRIES,
    NEW_PIN,
    NEW_PUK,
    PIN,
    PUK,
    PUK_MAX_TRIES,
    RULES,
    WRONG_PIN,
    WRONG_PUK,
    contents,
    make_memory,
)
from ushield.errors import PinIncorrect, PinInvalid, PinLocked
from ushield.pin import PinReference, PinState
from ushield.virtual.nvram import Nvram
from ushield.virtual.pins import TRANSITIONS, Action, PinStore, Signal, Stage

USER, PUK_REFERENCE = PinReference.USER, PinReference.PUK


@pytest.fixture
def nvram(tmp_path: Path) -> Iterator[Nvram]:
    with Nvram.open(make_memory(tmp_path / "a.token", must_change=True)) as memory:
        yield memory


@pytest.fixture
def pins(nvram: Nvram) -> PinStore:
    return PinStore(nvram, RULES)


def lock(pins: PinStore, reference: PinReference, wrong: bytes) -> None:
    while pins.state(reference).tries_left:
        with pytest.raises(PinIncorrect):
            pins.verify(reference, wrong)


def test_right_pin_keeps_all_tries(pins: PinStore) -> None:
    pins.verify(USER, PIN)
    assert pins.state(USER) == PinState(USER, MAX_TRIES, MAX_TRIES, must_change=True)


def test_each_wrong_pin_takes_one_try_and_the_right_one_gives_all_back(pins: PinStore) -> None:
    for left in (MAX_TRIES - 1, MAX_TRIES - 2):
        with pytest.raises(PinIncorrect) as refusal:
            pins.verify(USER, WRONG_PIN)
        assert (refusal.value.reference, refusal.value.tries_left) == ("user", left)
        assert pins.state(USER).tries_left == left
    pins.verify(USER, PIN)
    assert pins.state(USER).tries_left == MAX_TRIES


def test_last_wrong_pin_locks_and_then_even_the_right_one_is_refused(pins: PinStore) -> None:
    lock(pins, USER, WRONG_PIN)
    for secret in (PIN, WRONG_PIN):
        with pytest.raises(PinLocked):
            pins.verify(USER, secret)
    with pytest.raises(PinLocked):
        pins.change(USER, PIN, NEW_PIN)


def test_locked_puk_refuses_to_unblock(pins: PinStore) -> None:
    lock(pins, PUK_REFERENCE, WRONG_PUK)
    with pytest.raises(PinLocked) as refusal:
        pins.unblock(PUK, NEW_PIN)
    assert refusal.value.reference == "puk"
    pins.verify(USER, PIN)


def test_changed_pin_is_the_owners_own(pins: PinStore) -> None:
    pins.change(USER, PIN, NEW_PIN)
    assert not pins.state(USER).must_change
    pins.verify(USER, NEW_PIN)
    with pytest.raises(PinIncorrect):
        pins.verify(USER, PIN)


def test_change_with_a_wrong_pin_takes_a_try_and_changes_nothing(pins: PinStore) -> None:
    with pytest.raises(PinIncorrect) as refusal:
        pins.change(USER, WRONG_PIN, NEW_PIN)
    assert refusal.value.tries_left == MAX_TRIES - 1
    pins.verify(USER, PIN)
    assert pins.state(USER).must_change


def test_puk_is_changed_by_proof_of_itself(pins: PinStore) -> None:
    pins.change(PUK_REFERENCE, PUK, NEW_PUK)
    with pytest.raises(PinIncorrect):
        pins.unblock(PUK, NEW_PIN)
    pins.unblock(NEW_PUK, NEW_PIN)
    pins.verify(USER, NEW_PIN)


def test_puk_unblocks_a_locked_pin_and_gives_the_tries_of_both_back(pins: PinStore) -> None:
    lock(pins, USER, WRONG_PIN)
    with pytest.raises(PinIncorrect) as refusal:
        pins.unblock(WRONG_PUK, NEW_PIN)
    assert (refusal.value.reference, refusal.value.tries_left) == ("puk", PUK_MAX_TRIES - 1)
    pins.unblock(PUK, NEW_PIN)
    assert pins.state(USER) == PinState(USER, MAX_TRIES, MAX_TRIES)
    assert pins.state(PUK_REFERENCE).tries_left == PUK_MAX_TRIES
    pins.verify(USER, NEW_PIN)


def test_bank_unblocks_a_locked_pin_and_is_counted(pins: PinStore, nvram: Nvram) -> None:
    lock(pins, USER, WRONG_PIN)
    pins.unblock_by_bank(NEW_PIN)
    pins.verify(USER, NEW_PIN)
    assert nvram.counters().unblocks == 1


IMPOSSIBLE = (b"", b"12345", b"1234567890123", b"12345a", "１２３４５６".encode(), b"\x00" * 6)
WEAK = (b"000000", b"123456", b"987654321")
REFUSED: list[tuple[str, Callable[[PinStore, bytes], None], tuple[bytes, ...]]] = [
    ("verify", lambda pins, secret: pins.verify(USER, secret), IMPOSSIBLE),
    ("old", lambda pins, secret: pins.change(USER, secret, NEW_PIN), IMPOSSIBLE),
    ("new", lambda pins, secret: pins.change(USER, PIN, secret), IMPOSSIBLE + WEAK),
    ("new puk", lambda pins, secret: pins.change(PUK_REFERENCE, PUK, secret), IMPOSSIBLE + WEAK),
    ("puk", lambda pins, secret: pins.unblock(secret, NEW_PIN), IMPOSSIBLE),
    ("unblock", lambda pins, secret: pins.unblock(PUK, secret), IMPOSSIBLE + WEAK),
    ("bank", lambda pins, secret: pins.unblock_by_bank(secret), IMPOSSIBLE + WEAK),
]


@pytest.mark.parametrize(
    ("operation", "secret"),
    [
        pytest.param(operation, secret, id=f"{name}-{secret.hex()}")
        for name, operation, secrets in REFUSED
        for secret in secrets
    ],
)
def test_what_cannot_be_a_pin_or_must_not_become_one_costs_nothing(
    pins: PinStore, nvram: Nvram, operation: Callable[[PinStore, bytes], None], secret: bytes
) -> None:
    before = contents(nvram)
    with pytest.raises(PinInvalid):
        operation(pins, secret)
    assert contents(nvram) == before


@pytest.mark.parametrize(("reference", "secret"), [(USER, PIN), (PUK_REFERENCE, PUK)])
def test_new_secret_must_not_be_the_old_one(
    pins: PinStore, nvram: Nvram, reference: PinReference, secret: bytes
) -> None:
    before = contents(nvram)
    with pytest.raises(PinInvalid) as refusal:
        pins.change(reference, secret, secret)
    assert refusal.value.rule == "unchanged"
    assert contents(nvram) == before


@given(
    secret=st.one_of(st.binary(max_size=14), st.from_regex(rb"[0-9]{4,14}", fullmatch=True)).filter(
        lambda secret: secret != PIN
    )
)
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_bytes_as_pin_are_answered_by_a_typed_refusal(pins: PinStore, secret: bytes) -> None:
    before = pins.state(USER)
    with pytest.raises((PinInvalid, PinIncorrect, PinLocked)) as refusal:
        pins.verify(USER, secret)
    spent = isinstance(refusal.value, PinIncorrect)
    assert pins.state(USER).tries_left == before.tries_left - spent


@pytest.mark.parametrize(
    ("operation", "commits"),
    [
        (lambda pins: pins.verify(USER, PIN), 2),
        (lambda pins: pins.change(USER, PIN, NEW_PIN), 2),
        (lambda pins: pins.unblock(PUK, NEW_PIN), 2),
        (lambda pins: pins.unblock_by_bank(NEW_PIN), 1),
    ],
    ids=["verify", "change", "unblock", "bank"],
)
def test_no_more_commits_than_the_order_of_things_needs(
    tmp_path: Path, operation: Callable[[PinStore], None], commits: int
) -> None:
    statements: list[str] = []
    with Nvram.open(make_memory(tmp_path / "b.token")) as nvram:
        connection = nvram._connection
        assert hasattr(connection, "set_trace_callback")
        connection.set_trace_callback(statements.append)
        operation(PinStore(nvram, RULES))
    assert statements.count("COMMIT") == commits


def test_table_has_an_entry_for_all_that_can_follow_and_nothing_else() -> None:
    signals = {
        Action.SPEND: {Signal.WRITTEN},
        Action.COMPARE: {Signal.RIGHT, Signal.WRONG},
        Action.SETTLE: {Signal.WRITTEN},
    }
    due = {(Stage.READY, signal) for signal in (Signal.LOCKED, Signal.TRY_LEFT)}
    for stage, action in TRANSITIONS.values():
        due |= {(stage, signal) for signal in signals.get(action, ())}
    assert set(TRANSITIONS) == due
