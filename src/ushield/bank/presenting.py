"""What is presented: verified before the database is asked about it, and recorded after that."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import TYPE_CHECKING

from ushield.bank.audit.entries import AuditEvent, Decision
from ushield.bank.batch import BatchMismatch, BatchRule
from ushield.bank.judgement import AcceptedTransaction, IssuedChallenge, receipt_of
from ushield.bank.lookups import CHALLENGE_ID
from ushield.bank.policy.refusal import PolicyRefused
from ushield.bank.rejection import TransactionRejected

if TYPE_CHECKING:
    from ushield.bank.batch import VerifiedRows
    from ushield.bank.gate import PolicyGate
    from ushield.bank.judgement import Signed
    from ushield.bank.policy.facts import BatchFacts
    from ushield.bank.verifier import SignatureVerifier

__all__ = ["Presented", "decision_on", "present"]


@dataclass(frozen=True, slots=True)
class Presented:
    """A signature (DER) that came for a challenge, and what the verifier said of it.

    ``batch`` is what the rows of a batch are, if they were compared with what was signed.
    """

    challenge_id: str
    signature: bytes
    verdict: Signed | TransactionRejected
    batch: BatchFacts | None = None


def present(
    verifier: SignatureVerifier,
    challenge_id: str,
    signature: bytes,
    at: datetime,
    rows: VerifiedRows | None = None,
) -> Presented:
    """What ``verifier`` says of a signature (DER) at ``at``, with the rows that belong to it."""
    try:
        verified = verifier.verify(signature, at)
        if rows is not None and rows.batch != verified.transaction:
            raise BatchMismatch("the rows are those of another batch", rule=BatchRule.DIGEST)
    except TransactionRejected as rejected:
        return Presented(challenge_id, signature, rejected)
    return Presented(challenge_id, signature, verified, None if rows is None else rows.facts)


def decision_on(
    each: Presented,
    outcome: AcceptedTransaction | TransactionRejected,
    found: IssuedChallenge | None,
    at: int,
    gate: PolicyGate | None,
) -> Decision:
    """The entry of the log on what was decided about ``each``."""
    facts: dict[str, str | int | None] = {"signature_sha256": sha256(each.signature).hexdigest()}
    if not isinstance(each.verdict, TransactionRejected):
        facts["certificate_sha256"] = sha256(each.verdict.certificate).hexdigest()
        receipt = receipt_of(each.verdict)
        if receipt is not None:
            facts["token"] = receipt.serial
            facts["counter"] = receipt.counter
    if gate is not None:
        facts["policy"] = gate.policy.digest
    if isinstance(outcome, PolicyRefused):
        facts["rules"] = " ".join(outcome.rules)
    if isinstance(outcome, AcceptedTransaction):
        event, reason = AuditEvent.ACCEPTED, None
    else:
        event, reason = AuditEvent.REJECTED, outcome.reason.value
    return Decision(
        at,
        event,
        reason=reason,
        challenge_id=each.challenge_id if CHALLENGE_ID.fullmatch(each.challenge_id) else None,
        customer_id=None if found is None else found.customer_id,
        facts=facts,
    )
