"""No path lets a payment through without n distinct checkers of the maker's exact message."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine

from tests.bank.approval_exploration import (
    CHECKERS,
    EVENTS,
    MAKER,
    RIGHT,
    START,
    Violation,
    endorsement,
    explore,
    proposal,
)
from tests.bank.ledgers import prepare
from ushield.bank.approval import (
    Approve,
    ControlMachine,
    ControlRefusal,
    Endorsement,
    Event,
    LedgerConflict,
    Proposal,
    Reject,
    Stage,
    Step,
    Withdraw,
)
from ushield.bank.approval.stored_ledger import TransactionLedger
from ushield.bank.moments import microseconds
from ushield.errors import InputInvalid


def test_every_event_in_every_state_keeps_the_rules() -> None:
    found = explore(ControlMachine())
    assert found.nodes > 50
    assert found.stages == frozenset(Stage)
    assert found.refusals == frozenset(ControlRefusal)
    assert found.completions == {("first", "second"), ("second", "first")}


class _Kept(ControlMachine):
    """The machine, all of whose changes go through a database."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._ledger = TransactionLedger(connection, microseconds(START), facts={})
        self._placed: Proposal | None = None
        self._undo = connection.begin_nested()
        self.changes = 0

    def step(self, proposal: Proposal, event: Event, now: datetime) -> Step:
        step = super().step(proposal, event, now)
        if step.proposal == proposal:
            return step
        self._place(proposal)
        with self._connection.begin_nested() as change:
            self._ledger.replace(self._ledger.load(proposal.challenge), step.proposal)
            with pytest.raises(LedgerConflict):
                self._ledger.replace(proposal, step.proposal)
            kept = Step(self._ledger.load(proposal.challenge), step.refusal)
            change.rollback()
        self.changes += 1
        return kept

    def _place(self, proposal: Proposal) -> None:
        """Bring the database to where ``proposal`` is, by its way there."""
        if proposal == self._placed:
            return
        self._undo.rollback()
        self._undo = self._connection.begin_nested()
        at = replace(proposal, endorsements=proposal.endorsements[:1], stage=Stage.OPEN, version=1)
        self._ledger.create(at)
        for checker in proposal.checkers:
            after = ControlMachine().step(at, Approve(checker), START).proposal
            self._ledger.replace(at, after)
            at = after
        self._placed = self._ledger.load(proposal.challenge)
        assert self._placed == proposal


def test_every_event_in_every_state_keeps_the_rules_in_a_database_too(engine: Engine) -> None:
    with engine.connect() as connection, connection.begin() as whole:
        prepare(connection, "c", RIGHT)
        machine = _Kept(connection)
        found = explore(machine)
        whole.rollback()
    assert found == explore(ControlMachine())
    assert machine.changes > 50


class _OutlivesItsTime(ControlMachine):
    def in_time(self, proposal: Proposal, now: datetime) -> bool:
        return True


class _DiesEarly(ControlMachine):
    def in_time(self, proposal: Proposal, now: datetime) -> bool:
        return now < proposal.expires_at - timedelta(seconds=1)


class _GoesOnAfterItsEnd(ControlMachine):
    def ended(self, proposal: Proposal) -> bool:
        return False


class _AnyoneTakesItBack(ControlMachine):
    def is_maker(self, proposal: Proposal, person: str) -> bool:
        return True


class _AnyoneChecks(ControlMachine):
    def may_check(self, proposal: Proposal, person: str) -> bool:
        return True


class _MakerRejects(ControlMachine):
    def may_check(self, proposal: Proposal, person: str) -> bool:
        return person in proposal.entitled


class _AnyMessage(ControlMachine):
    def same_message(self, proposal: Proposal, endorsement: Endorsement) -> bool:
        return True


class _SignsTwice(ControlMachine):
    def another_person(self, proposal: Proposal, endorsement: Endorsement) -> bool:
        return endorsement.person != proposal.maker.person


class _AnyToken(ControlMachine):
    def another_token(self, proposal: Proposal, endorsement: Endorsement) -> bool:
        return all(endorsement.key != each.key for each in proposal.endorsements)


class _AnyKey(ControlMachine):
    def another_token(self, proposal: Proposal, endorsement: Endorsement) -> bool:
        return all(endorsement.token != each.token for each in proposal.endorsements)


class _OnlyTheMakersTokenCounts(ControlMachine):
    def another_token(self, proposal: Proposal, endorsement: Endorsement) -> bool:
        return endorsement.token != proposal.maker.token and endorsement.key != proposal.maker.key


class _OneIsEnough(ControlMachine):
    def enough(self, proposal: Proposal) -> bool:
        return len(proposal.checkers) >= 1


class _NeverEnough(ControlMachine):
    def enough(self, proposal: Proposal) -> bool:
        return False


class _CountsTheMaker(ControlMachine):
    def enough(self, proposal: Proposal) -> bool:
        return len(proposal.endorsements) >= proposal.needed


class _ForgetsTheMaker(ControlMachine):
    def step(self, proposal: Proposal, event: Event, now: datetime) -> Step:
        step = super().step(proposal, event, now)
        if isinstance(event, Withdraw) and step.refusal is None:
            return Step(proposal)
        return step


class _IgnoresRejection(ControlMachine):
    def step(self, proposal: Proposal, event: Event, now: datetime) -> Step:
        step = super().step(proposal, event, now)
        if isinstance(event, Reject) and step.refusal is None:
            return Step(proposal)
        return step


@pytest.mark.parametrize(
    "mutant",
    [
        _OutlivesItsTime,
        _DiesEarly,
        _GoesOnAfterItsEnd,
        _AnyoneTakesItBack,
        _AnyoneChecks,
        _MakerRejects,
        _AnyMessage,
        _SignsTwice,
        _AnyToken,
        _AnyKey,
        _OnlyTheMakersTokenCounts,
        _OneIsEnough,
        _NeverEnough,
        _CountsTheMaker,
        _ForgetsTheMaker,
        _IgnoresRejection,
    ],
)
def test_the_exploration_notices_when_a_guard_is_gone(mutant: type[ControlMachine]) -> None:
    with pytest.raises(Violation):
        explore(mutant())


@given(st.lists(st.sampled_from(EVENTS), max_size=12), st.integers(1, 2))
def test_whatever_happens_what_is_complete_was_signed_by_enough_different_people(
    events: list[Event], needed: int
) -> None:
    state = proposal(needed)
    for event in events:
        state = ControlMachine().step(state, event, START).proposal
    if state.stage is Stage.COMPLETE:
        people = {each.person for each in state.checkers}
        assert people <= CHECKERS
        assert len(people) == len(state.checkers) == needed
        for parts in zip(*((e.person, e.token, e.key) for e in state.endorsements), strict=True):
            assert len(set(parts)) == needed + 1


def test_a_checker_who_approved_may_still_reject() -> None:
    machine = ControlMachine()
    approved = machine.step(proposal(), Approve(endorsement("first", "2", "2")), START)
    rejected = machine.step(approved.proposal, Reject("first"), START).proposal
    assert (rejected.stage, rejected.ended_by) == (Stage.REJECTED, "first")


@pytest.mark.parametrize(
    "changes",
    [
        {"needed": 0},
        {"needed": 3},
        {"entitled": frozenset((MAKER, "first"))},
        {"endorsements": ()},
        {"expires_at": START.replace(tzinfo=None)},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_what_could_never_be_complete_is_no_proposal(changes: dict[str, object]) -> None:
    with pytest.raises(InputInvalid):
        replace(proposal(), **changes)  # type: ignore[arg-type]
