"""The PIN operations, explored until nothing new appears; and each guard shown to be needed."""

from __future__ import annotations

import itertools

import pytest

from tests.virtual.pin_exploration import (
    MAX,
    PINS,
    PUK,
    PUKS,
    RULES,
    USER,
    PinStoreOf,
    Violation,
    explore,
)
from ushield.errors import PinIncorrect, PinInvalid, PinLocked
from ushield.pin import PinReference, PinRules
from ushield.virtual import pins
from ushield.virtual.nvram import PowerCut, records
from ushield.virtual.pins import TRANSITIONS, Action, Signal, Stage


@pytest.fixture(autouse=True)
def quick_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The search hashes thousands of times, and how long that takes is not its subject."""
    monkeypatch.setattr(records, "_ITERATIONS", 1)


def test_no_path_gives_a_free_try_or_sets_half_a_secret() -> None:
    found = explore()
    assert found.answers == {None, PinInvalid, PinIncorrect, PinLocked, PowerCut}
    every_user = {(value, tries) for value in PINS for tries in range(MAX[USER] + 1)}
    every_puk = {(value, tries) for value in PUKS for tries in range(MAX[PUK] + 1)}
    reached = {((u.value, u.tries), (p.value, p.tries)) for u, p in found.memories}
    assert reached == set(itertools.product(every_user, every_puk))


MUTANTS = [
    pytest.param(entry, target, id=f"{entry[0].value}, {entry[1].value} -> {target[1].value}")
    for entry in TRANSITIONS
    for target in dict.fromkeys(TRANSITIONS.values())
    if target != TRANSITIONS[entry]
]


@pytest.mark.parametrize(("entry", "target"), MUTANTS)
def test_exploration_notices_any_entry_that_leads_elsewhere(
    entry: tuple[Stage, Signal], target: tuple[Stage, Action]
) -> None:
    with pytest.raises(Violation):
        explore(PinStoreOf(transitions={**TRANSITIONS, entry: target}))


@pytest.mark.parametrize("entry", TRANSITIONS, ids=lambda entry: f"{entry[0].value}")
def test_exploration_notices_any_entry_that_is_missing(entry: tuple[Stage, Signal]) -> None:
    rest = {key: target for key, target in TRANSITIONS.items() if key != entry}
    with pytest.raises(Violation):
        explore(PinStoreOf(transitions=rest))


class AnyFormat(PinRules):
    """Rules without the guard on a PIN's form."""

    def check_format(self, secret: bytes | bytearray, reference: PinReference) -> None:
        """Takes anything."""


class AnyNew(PinRules):
    """Rules without the guard on a new PIN."""

    def check_new(self, secret: bytes | bytearray, reference: PinReference) -> None:
        """Takes anything."""


@pytest.mark.parametrize("rules", [AnyFormat, AnyNew])
def test_exploration_notices_a_format_that_is_not_checked(rules: type[PinRules]) -> None:
    with pytest.raises(Violation):
        explore(PinStoreOf(rules(max_tries=RULES.max_tries, puk_max_tries=RULES.puk_max_tries)))


def test_exploration_notices_a_change_to_the_same_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pins, "_check_changed", lambda old, new, reference: None)
    with pytest.raises(Violation):
        explore()


class Unrestored(pins.PinStore):
    """Proves a secret and then writes nothing: the tries stay spent, the new PIN is lost."""

    def _prove(self, reference: PinReference, secret: bytes, settle: object) -> None:
        super()._prove(reference, secret, lambda: None)


def test_exploration_notices_a_right_secret_that_settles_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tests.virtual.pin_exploration.PinStore", Unrestored)
    with pytest.raises(Violation):
        explore()
