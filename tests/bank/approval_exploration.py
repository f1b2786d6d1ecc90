"""Exhaustive exploration of dual control beside an independent observer.

The observer keeps a diary of who signed what by which token, and says from that alone whether an
event may have an effect. Each node of the search is both together; it ends when no new one appears.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import product

from ushield.bank.approval import (
    Approve,
    ControlMachine,
    ControlRefusal,
    Endorsement,
    Event,
    Proposal,
    Reject,
    Stage,
    Tick,
    Withdraw,
)

START = datetime(2026, 6, 1, tzinfo=UTC)
SECONDS = 2
NEEDED = 2
RIGHT, WRONG = b"message", b"massage"
MAKER = "maker"
CHECKERS = frozenset(("first", "second"))
STRANGER = "stranger"
PEOPLE = (MAKER, *sorted(CHECKERS), STRANGER)
TOKENS = KEYS = ("1", "2", "3")


def endorsement(person: str, token: str, key: str, message: bytes = RIGHT) -> Endorsement:
    return Endorsement(person, token, key.encode(), message, b"signature", START)


EVENTS: tuple[Event, ...] = (
    Tick(),
    *(
        Approve(endorsement(person, token, key, message))
        for person, token, key, message in product(PEOPLE, TOKENS, KEYS, (RIGHT, WRONG))
    ),
    *(kind(person) for kind in (Withdraw, Reject) for person in PEOPLE),
)


def proposal(needed: int = NEEDED) -> Proposal:
    return Proposal(
        challenge="c",
        customer="F1",
        needed=needed,
        # The maker may check payments, too: those of others.
        entitled=CHECKERS | {MAKER},
        expires_at=START + timedelta(seconds=SECONDS),
        endorsements=(endorsement(MAKER, "1", "1"),),
    )


class Violation(AssertionError):
    """A path on which a payment got through that must not, or was held up for nothing."""


@dataclass(frozen=True)
class Diary:
    """What an observer wrote down: signatures that counted, how it ended, and the time."""

    signed: tuple[tuple[str, str, bytes], ...] = ((MAKER, "1", b"1"),)
    end: Stage | None = None
    second: int = 0

    def after(self, event: Event) -> tuple[Diary, bool]:
        """The diary after ``event``, and whether it has an effect; time is looked at first."""
        if isinstance(event, Tick):
            later = replace(self, second=min(self.second + 1, SECONDS + 1))
            return later.in_time(), True
        now = self.in_time()
        if now.end is not None:
            return now, False
        match event:
            case Withdraw(person):
                allowed = person == MAKER
                return (replace(now, end=Stage.WITHDRAWN), True) if allowed else (now, False)
            case Reject(person):
                allowed = person in CHECKERS
                return (replace(now, end=Stage.REJECTED), True) if allowed else (now, False)
            case Approve(given):
                signed = (*now.signed, (given.person, given.token, given.key))
                people, tokens, keys = (set(column) for column in zip(*signed, strict=True))
                fair = len(people) == len(tokens) == len(keys) == len(signed)
                if not fair or given.message != RIGHT or not people <= CHECKERS | {MAKER}:
                    return now, False
                full = len(signed) == NEEDED + 1
                return replace(now, signed=signed, end=Stage.COMPLETE if full else None), True
        raise AssertionError(event)

    def in_time(self) -> Diary:
        if self.end is None and self.second >= SECONDS:
            return replace(self, end=Stage.EXPIRED)
        return self


@dataclass(frozen=True)
class Exploration:
    """What a complete search found."""

    nodes: int
    stages: frozenset[Stage]
    refusals: frozenset[ControlRefusal]
    completions: frozenset[tuple[str, ...]]


def _compare(event: Event, before: Proposal, after: Proposal, diary: Diary) -> None:
    if after.stage is not (diary.end or Stage.OPEN):
        raise Violation(f"{event}: {after.stage}, the diary says {diary.end}")
    signed = tuple((each.person, each.token, each.key) for each in after.endorsements)
    if signed != diary.signed:
        raise Violation(f"{event}: signed by {signed}, the diary says {diary.signed}")
    if any(each.message != before.message for each in after.endorsements):
        raise Violation(f"{event}: another message counts")
    if (after != before) != (after.version > before.version):
        raise Violation(f"{event}: changed, and the version does not say so")


def explore(machine: ControlMachine) -> Exploration:
    """Every event in every state that can be reached; `Violation` at the first wrong answer."""
    start = (proposal(), Diary())
    seen = {start}
    frontier = [start]
    refusals: set[ControlRefusal] = set()
    while frontier:
        state, diary = frontier.pop()
        for event in EVENTS:
            noted, effect = diary.after(event)
            step = machine.step(state, event, START + timedelta(seconds=noted.second))
            if (step.refusal is None) != effect:
                raise Violation(f"{event}: {step.refusal} where the diary says {diary}")
            _compare(event, state, step.proposal, noted)
            if step.refusal is not None:
                refusals.add(step.refusal)
            node = (step.proposal, noted)
            if node not in seen:
                seen.add(node)
                frontier.append(node)
    return Exploration(
        len(seen),
        frozenset(state.stage for state, _ in seen),
        frozenset(refusals),
        frozenset(
            tuple(each.person for each in state.checkers)
            for state, _ in seen
            if state.stage is Stage.COMPLETE
        ),
    )
