"""What may happen to a proposal, as an explicit state machine.

Events go in, a new state and perhaps a refusal come out; it has no clock, no store and no keys.
That an `Endorsement` was verified is up to whoever makes it. Every guard is a method of its own, so
that tests can take it away and see that it is missed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from ushield.bank.approval.proposal import Endorsement, Proposal, Stage

__all__ = [
    "Approve",
    "ControlMachine",
    "ControlRefusal",
    "Event",
    "Reject",
    "Step",
    "Tick",
    "Withdraw",
]


@dataclass(frozen=True, slots=True)
class Approve:
    """A checker signed."""

    endorsement: Endorsement


@dataclass(frozen=True, slots=True)
class Withdraw:
    """The maker takes it back."""

    person: str


@dataclass(frozen=True, slots=True)
class Reject:
    """A checker says no."""

    person: str


@dataclass(frozen=True, slots=True)
class Tick:
    """Time passed."""


Event = Approve | Withdraw | Reject | Tick


class ControlRefusal(StrEnum):
    """Why an event has no effect; the values are names of rules, as those of a policy are."""

    COMPLETE = "proposal-complete"
    WITHDRAWN = "proposal-withdrawn"
    REJECTED = "proposal-rejected"
    EXPIRED = "proposal-expired"
    MESSAGE_MISMATCH = "message-mismatch"
    SAME_PERSON = "same-person"
    SAME_TOKEN = "same-token"  # noqa: S105 - a reason, not a secret
    NOT_ENTITLED = "checker-not-entitled"
    NOT_THE_MAKER = "not-the-maker"

    @property
    def told(self) -> str:
        """It in words."""
        return _TOLD[self]


_TOLD = {
    ControlRefusal.COMPLETE: "all its checkers have signed",
    ControlRefusal.WITHDRAWN: "its maker took it back",
    ControlRefusal.REJECTED: "a checker rejected it",
    ControlRefusal.EXPIRED: "its time has passed",
    ControlRefusal.MESSAGE_MISMATCH: "what was signed is not what the maker signed, byte for byte",
    ControlRefusal.SAME_PERSON: "this person has signed it already, as maker or as checker",
    ControlRefusal.SAME_TOKEN: "this token, or this key, has signed it already",
    ControlRefusal.NOT_ENTITLED: "this person may not check it",
    ControlRefusal.NOT_THE_MAKER: "only its maker may take it back",
}
_ENDED = {
    Stage.COMPLETE: ControlRefusal.COMPLETE,
    Stage.WITHDRAWN: ControlRefusal.WITHDRAWN,
    Stage.REJECTED: ControlRefusal.REJECTED,
    Stage.EXPIRED: ControlRefusal.EXPIRED,
}


@dataclass(frozen=True, slots=True)
class Step:
    """The proposal after an event; with ``refusal``, the event did nothing."""

    proposal: Proposal
    refusal: ControlRefusal | None = None


class ControlMachine:
    """The rules of dual control."""

    def step(self, proposal: Proposal, event: Event, now: datetime) -> Step:
        """What ``event`` makes of ``proposal`` at ``now``.

        An open proposal whose time has passed becomes an expired one first, whatever the event.
        """
        proposal = self._expire(proposal, now)
        if isinstance(event, Tick):
            return Step(proposal)
        if self.ended(proposal):
            return Step(proposal, _ENDED[proposal.stage])
        match event:
            case Approve(endorsement):
                return self._approve(proposal, endorsement)
            case Withdraw(person):
                if not self.is_maker(proposal, person):
                    return Step(proposal, ControlRefusal.NOT_THE_MAKER)
                return Step(_end(proposal, Stage.WITHDRAWN, person))
            case Reject(person):
                if not self.may_check(proposal, person):
                    return Step(proposal, ControlRefusal.NOT_ENTITLED)
                return Step(_end(proposal, Stage.REJECTED, person))

    def _approve(self, proposal: Proposal, endorsement: Endorsement) -> Step:
        if not self.same_message(proposal, endorsement):
            return Step(proposal, ControlRefusal.MESSAGE_MISMATCH)
        if not self.another_person(proposal, endorsement):
            return Step(proposal, ControlRefusal.SAME_PERSON)
        if not self.may_check(proposal, endorsement.person):
            return Step(proposal, ControlRefusal.NOT_ENTITLED)
        if not self.another_token(proposal, endorsement):
            return Step(proposal, ControlRefusal.SAME_TOKEN)
        after = replace(
            proposal,
            endorsements=(*proposal.endorsements, endorsement),
            version=proposal.version + 1,
        )
        if self.enough(after):
            after = replace(after, stage=Stage.COMPLETE)
        return Step(after)

    def _expire(self, proposal: Proposal, now: datetime) -> Proposal:
        if proposal.stage is Stage.OPEN and not self.in_time(proposal, now):
            return _end(proposal, Stage.EXPIRED, None)
        return proposal

    def in_time(self, proposal: Proposal, now: datetime) -> bool:
        """Whether it may still be signed."""
        return now < proposal.expires_at

    def ended(self, proposal: Proposal) -> bool:
        """Whether nothing can happen to it any more."""
        return proposal.stage is not Stage.OPEN

    def is_maker(self, proposal: Proposal, person: str) -> bool:
        """Whether ``person`` made it."""
        return person == proposal.maker.person

    def may_check(self, proposal: Proposal, person: str) -> bool:
        """Whether ``person`` may approve or reject it; its maker never may."""
        return person in proposal.entitled and person != proposal.maker.person

    def same_message(self, proposal: Proposal, endorsement: Endorsement) -> bool:
        """Whether the very bytes were signed that the maker signed."""
        return endorsement.message == proposal.message

    def another_person(self, proposal: Proposal, endorsement: Endorsement) -> bool:
        """Whether nobody signs twice."""
        return all(endorsement.person != each.person for each in proposal.endorsements)

    def another_token(self, proposal: Proposal, endorsement: Endorsement) -> bool:
        """Whether neither token nor key signs twice: a key may be on two tokens, a token may have
        two keys.
        """
        return all(
            endorsement.token != each.token and endorsement.key != each.key
            for each in proposal.endorsements
        )

    def enough(self, proposal: Proposal) -> bool:
        """Whether as many checkers signed as are needed."""
        return len(proposal.checkers) >= proposal.needed


def _end(proposal: Proposal, stage: Stage, person: str | None) -> Proposal:
    return replace(proposal, stage=stage, ended_by=person, version=proposal.version + 1)
