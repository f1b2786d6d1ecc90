"""Where a company's people hand in what they signed: `Ceremony` on the bank's database.

Each call is one transaction. The customer's row is locked in it, so that what was paid, who has
signed and what is decided belong together; every refusal is in the log.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, TypeVar

from sqlalchemy import Connection

from ushield.bank.acceptance import FRAUD, raise_alarms
from ushield.bank.approval.ceremony import ApprovedPayment, Ceremony
from ushield.bank.approval.ledger import LedgerConflict, ProposalUnknown
from ushield.bank.approval.proposal import Endorsement, Proposal
from ushield.bank.approval.stored_ledger import TransactionLedger, open_proposals
from ushield.bank.audit.entries import AuditEvent, Decision, record
from ushield.bank.gate import PolicyGate
from ushield.bank.judgement import (
    IssuedChallenge,
    RegisteredSigner,
    check_counter,
    check_message,
    check_signer,
    judge,
)
from ushield.bank.lookups import read_challenges, read_signers
from ushield.bank.moments import Clock, instant, microseconds
from ushield.bank.people import find_checkers
from ushield.bank.policy.facts import PaymentFacts, SignatureFacts
from ushield.bank.policy.refusal import PolicyRefused
from ushield.bank.presenting import Presented, decision_on, present
from ushield.bank.rejection import TransactionRejected
from ushield.bank.spending import Spending
from ushield.bank.store.store import Conflict, Store

if TYPE_CHECKING:
    from ushield.bank.batch import VerifiedRows
    from ushield.bank.judgement import Signed
    from ushield.bank.verifier import SignatureVerifier

__all__ = ["ApprovalDesk"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ApprovalDesk:
    """Payments of several people, proposed and approved; `Bank.approvals` is one.

    Signatures are CMS SignedData in DER. `TransactionRejected`, and `PolicyRefused` among them, say
    that nothing was done; so do `StoreError`s, but for `OutcomeUnknown`.
    """

    store: Store
    verifier: SignatureVerifier
    gate: PolicyGate
    clock: Clock

    def propose(
        self, challenge_id: str, signature: bytes, *, rows: VerifiedRows | None = None
    ) -> Proposal:
        """Take the maker's signature, and let the payment wait for its checkers.

        Those are the people with a token of the customer's that checks, but not its maker.
        `InputInvalid` if the policy wants none, or more than there are.
        """
        presented = present(self.verifier, challenge_id, signature, self.clock(), rows)
        return self._decide(presented, _Visit.propose)

    def approve(
        self, challenge_id: str, signature: bytes, *, rows: VerifiedRows | None = None
    ) -> Proposal | ApprovedPayment:
        """Take a checker's signature: the proposal if it waits for more, else the payment.

        An `ApprovedPayment` is to be carried out, and comes once for a challenge. `ProposalUnknown`
        if no maker has signed.
        """
        presented = present(self.verifier, challenge_id, signature, self.clock(), rows)
        self._recall(challenge_id)
        return self._decide(presented, _Visit.approve)

    def withdraw(self, challenge_id: str, person: str) -> Proposal:
        """Take it back; ``person`` is its maker, of which the caller has made sure."""
        return self._end(challenge_id, lambda ceremony: ceremony.withdraw, person)

    def reject(self, challenge_id: str, person: str) -> Proposal:
        """Say no; ``person`` may check it, of which the caller has made sure."""
        return self._end(challenge_id, lambda ceremony: ceremony.reject, person)

    def find(self, challenge_id: str) -> Proposal:
        """A proposal as it stands; `ProposalUnknown`."""
        return self.store.read(
            lambda connection: TransactionLedger(connection, 0, {}).look(challenge_id)
        )

    def waiting(self, customer: str | None = None) -> list[Proposal]:
        """What waits for checkers, of one customer or of all; what ends soonest comes first."""
        return self.store.read(
            lambda connection: open_proposals(connection, customer, microseconds(self.clock()))
        )

    def _recall(self, challenge_id: str) -> None:
        """Have the verifier remember those who signed before, while no transaction waits for it."""
        with suppress(ProposalUnknown):
            for each in self.find(challenge_id).endorsements:
                with suppress(TransactionRejected):
                    self.verifier.verify(each.signature, each.at)

    def _decide(self, presented: Presented, work: Callable[[_Visit], T]) -> T:
        def decide(connection: Connection) -> T | TransactionRejected:
            at = microseconds(self.clock())
            found = read_challenges(connection, {presented.challenge_id}).get(
                presented.challenge_id
            )
            try:
                if isinstance(presented.verdict, TransactionRejected):
                    raise presented.verdict
                visit = _Visit.begin(
                    self,
                    connection,
                    presented,
                    verified=presented.verdict,
                    found=found,
                    at=at,
                )
                return work(visit)
            except LedgerConflict as moved:
                raise Conflict from moved
            except TransactionRejected as rejected:
                self._raise_alarm(connection, presented, rejected, at)
                record(connection, [decision_on(presented, rejected, found, at, self.gate)])
                return rejected

        return _raised(self.store.write(decide))

    def _raise_alarm(
        self, connection: Connection, presented: Presented, rejected: TransactionRejected, at: int
    ) -> None:
        if rejected.reason not in FRAUD or isinstance(presented.verdict, TransactionRejected):
            return
        digest = sha256(presented.verdict.certificate).digest()
        signer = read_signers(connection, {digest}).get(digest)
        if signer is not None:
            raise_alarms(connection, [signer.token_serial], at)

    def _end(
        self,
        challenge_id: str,
        event: Callable[[Ceremony], Callable[..., Proposal]],
        person: str,
    ) -> Proposal:
        def end(connection: Connection) -> Proposal | TransactionRejected:
            at = microseconds(self.clock())
            ledger = TransactionLedger(connection, at, {})
            try:
                return event(Ceremony(self.gate.policy, ledger))(challenge_id, person, instant(at))
            except LedgerConflict as moved:
                raise Conflict from moved
            except TransactionRejected as rejected:
                # That it has expired is written all the same.
                found = ledger.look(challenge_id)
                record(connection, [_refusal(found, person, rejected, at)])
                return rejected

        return _raised(self.store.write(end))


def _refusal(found: Proposal, person: str, rejected: TransactionRejected, at: int) -> Decision:
    facts: dict[str, str | int | None] = {"person": person}
    if isinstance(rejected, PolicyRefused):
        facts["rules"] = " ".join(rejected.rules)
    return Decision(
        at,
        AuditEvent.REJECTED,
        reason=rejected.reason.value,
        challenge_id=found.challenge,
        customer_id=found.customer,
        facts=facts,
    )


def _raised(outcome: T | TransactionRejected) -> T:
    if isinstance(outcome, TransactionRejected):
        raise outcome
    return outcome


@dataclass(frozen=True, slots=True)
class _Visit:
    """One signature, handed in within one transaction."""

    desk: ApprovalDesk
    connection: Connection
    presented: Presented
    verified: Signed
    challenge: IssuedChallenge
    signer: RegisteredSigner | None
    spending: Spending
    at: int

    @classmethod
    def begin(
        cls,
        desk: ApprovalDesk,
        connection: Connection,
        presented: Presented,
        *,
        verified: Signed,
        found: IssuedChallenge | None,
        at: int,
    ) -> _Visit:
        """Lock the customer, then look who signed."""
        issued = check_message(found, verified)
        spending = desk.gate.lock(connection, {issued.customer_id}, instant(at))
        digest = sha256(verified.certificate).digest()
        signer = read_signers(connection, {digest}).get(digest)
        return cls(desk, connection, presented, verified, issued, signer, spending, at)

    def propose(self) -> Proposal:
        """Judge what the maker signed, and keep it."""
        issued = read_challenges(self.connection, {self.challenge.id}).get(self.challenge.id)
        judge(self.challenge.id, issued, self.signer, self.verified, at=self.at)
        facts = self._facts(
            [self._own_facts(check_signer(self.challenge, self.signer, self.verified))]
        )
        entitled = find_checkers(self.connection, self.challenge.customer_id)
        return self._ceremony.propose(facts, self.presented.signature, entitled)

    def approve(self) -> Proposal | ApprovedPayment:
        """Judge what a checker signed together with all that was signed before, and keep it."""
        if not self.challenge.proposed:
            raise ProposalUnknown(f"challenge {self.challenge.id} has no proposal")
        signer = check_signer(self.challenge, self.signer, self.verified)
        endorsement = Endorsement.of(
            self._own_facts(signer), self.presented.signature, instant(self.at)
        )
        outcome = self._ceremony.approve(self.challenge.id, endorsement, self._facts_of)
        if isinstance(outcome, ApprovedPayment):
            facts = outcome.approval.facts
            self.spending.add(
                self.challenge.customer_id, facts.transaction, is_blind=facts.is_blind
            )
            self.spending.write(self.connection)
        return outcome

    @property
    def _ceremony(self) -> Ceremony:
        policy = self.desk.gate.policy
        ledger = TransactionLedger(self.connection, self.at, {"policy": policy.digest})
        return Ceremony(policy, ledger)

    def _facts_of(self, proposal: Proposal) -> PaymentFacts:
        """Every signature but the new one is verified again, as of its time.

        Whoever signed must be allowed to now: a token that was lost since approves nothing.
        """
        *earlier, _ = proposal.endorsements
        signed = [self._earlier_facts(each) for each in earlier]
        signer = check_signer(self.challenge, self.signer, self.verified)
        # A second signature of one person was refused before: it is no sign of a copied token.
        check_counter(signer, self.verified)
        return self._facts([*signed, self._own_facts(signer)])

    def _earlier_facts(self, endorsement: Endorsement) -> SignatureFacts:
        verified = self.desk.verifier.verify(endorsement.signature, endorsement.at)
        check_message(self.challenge, verified)
        digest = sha256(verified.certificate).digest()
        found = read_signers(self.connection, {digest}).get(digest)
        signer = check_signer(self.challenge, found, verified)
        return SignatureFacts.of(
            verified,
            person=endorsement.person,
            token=signer.token_serial,
            last_counter=endorsement.last_counter,
        )

    def _own_facts(self, signer: RegisteredSigner) -> SignatureFacts:
        return SignatureFacts.of(
            self.verified,
            person=signer.person,
            token=signer.token_serial,
            last_counter=signer.counter or None,
        )

    def _facts(self, signed: list[SignatureFacts]) -> PaymentFacts:
        return self.desk.gate.facts(
            self.spending,
            self.challenge.customer_id,
            signed,
            self.verified.transaction,
            at=instant(self.at),
            batch=self.presented.batch,
        )
