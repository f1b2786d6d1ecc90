"""Dual control from proposal to payment: machine, policy and ledger together.

Each signature is judged by the policy when it comes, together with all that came before, and the
last one lets the payment through only if the policy allows it then. Nothing is written before that.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from ushield.bank.approval.ledger import ApprovalLedger, LedgerConflict
from ushield.bank.approval.machine import (
    Approve,
    ControlMachine,
    ControlRefusal,
    Event,
    Reject,
    Step,
    Withdraw,
)
from ushield.bank.approval.proposal import Endorsement, Proposal, Stage
from ushield.bank.policy.facts import PaymentFacts
from ushield.bank.policy.policy import Approval, Policy
from ushield.bank.policy.refusal import PolicyRefused, Refusal
from ushield.errors import InputInvalid

__all__ = ["ApprovedPayment", "Ceremony"]

_MACHINE = ControlMachine()
_TRIES = 16

FactsOf = Callable[[Proposal], PaymentFacts]


@dataclass(frozen=True, slots=True)
class ApprovedPayment:
    """A payment to carry out: all its checkers have signed, and the policy allows it.

    Only `Ceremony.approve` makes one, and only one for a challenge.
    """

    proposal: Proposal
    approval: Approval


@dataclass(frozen=True, slots=True)
class Ceremony:
    """How payments of several people are proposed and approved.

    Refusals are `PolicyRefused`, by the machine's rules as by the policy's; nothing is written
    then, but that a proposal has expired.
    """

    policy: Policy
    ledger: ApprovalLedger

    def propose(self, facts: PaymentFacts, signature: bytes, entitled: frozenset[str]) -> Proposal:
        """Keep the maker's payment until ``entitled`` people have checked it.

        ``facts`` hold the maker's signature only, whose DER is ``signature``. It lives as long as
        the policy says, and never longer than the expiry that was signed. `InputInvalid` if it
        wants no checker, or more than are entitled; `ProposalExists`.
        """
        if len(facts.signatures) != 1:
            raise InputInvalid("a proposal has one signature, its maker's")
        control = self.policy.propose(facts)
        expires_at = facts.at + control.lifetime
        if facts.transaction.expires is not None:
            expires_at = min(expires_at, facts.transaction.expires)
        proposal = Proposal(
            challenge=facts.transaction.challenge,
            customer=facts.customer.id,
            needed=control.checkers,
            entitled=entitled,
            expires_at=expires_at,
            endorsements=(Endorsement.of(facts.signatures[0], signature, facts.at),),
        )
        self.ledger.create(proposal)
        return proposal

    def approve(
        self, challenge: str, endorsement: Endorsement, facts_of: FactsOf
    ) -> Proposal | ApprovedPayment:
        """Add a checker's signature: the proposal if it waits for more, else the payment.

        ``facts_of`` gives the facts of the proposal as it would stand with this signature, those of
        every signature among them, in their order. The maker's are best had by verifying
        its `Endorsement.signature` again, as of its time: then nobody who can write into the
        ledger can make up a maker. It may be called several times.
        """
        for _ in range(_TRIES):
            before = self.ledger.load(challenge)
            step = self._step(before, Approve(endorsement), endorsement.at)
            after = step.proposal
            facts = facts_of(after)
            _check_facts(facts, after)
            approval = None
            if after.stage is Stage.COMPLETE:
                approval = self.policy.approve(facts)
            else:
                self.policy.propose(facts)
            try:
                self.ledger.replace(before, after)
            except LedgerConflict:
                continue
            return after if approval is None else ApprovedPayment(after, approval)
        raise LedgerConflict(f"the proposal for challenge {challenge} changes all the time")

    def withdraw(self, challenge: str, person: str, now: datetime) -> Proposal:
        """Take it back: its maker may, as long as it is open."""
        return self._end(challenge, Withdraw(person), now)

    def reject(self, challenge: str, person: str, now: datetime) -> Proposal:
        """Say no: whoever may check it may, as long as it is open, even after approving it."""
        return self._end(challenge, Reject(person), now)

    def _end(self, challenge: str, event: Event, now: datetime) -> Proposal:
        for _ in range(_TRIES):
            before = self.ledger.load(challenge)
            step = self._step(before, event, now)
            try:
                self.ledger.replace(before, step.proposal)
            except LedgerConflict:
                continue
            return step.proposal
        raise LedgerConflict(f"the proposal for challenge {challenge} changes all the time")

    def _step(self, before: Proposal, event: Event, now: datetime) -> Step:
        step = _MACHINE.step(before, event, now)
        if step.refusal is None:
            return step
        if step.refusal is ControlRefusal.EXPIRED and before.stage is Stage.OPEN:
            # Somebody else may have written that already, or completed it just in time.
            with suppress(LedgerConflict):
                self.ledger.replace(before, step.proposal)
        raise PolicyRefused([Refusal(step.refusal.value, step.refusal.told)])


def _check_facts(facts: PaymentFacts, proposal: Proposal) -> None:
    known = [(each.person, each.token, each.message) for each in facts.signatures]
    kept = [(each.person, each.token, each.message) for each in proposal.endorsements]
    if known != kept or facts.customer.id != proposal.customer:
        raise InputInvalid("the facts are not about the signatures of this proposal")
