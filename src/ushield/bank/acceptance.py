"""Accepting signatures against challenges: each once, by any number of processes.

What is read may be outdated when it is written, so the writing has conditions of its own: one
statement takes a challenge only while it is issued and in time, one takes a token's counter only if
nothing about the token changed. If either finds less than it should, all is rolled back and judged
again. Tokens are written before challenges, both in order, so that no two transactions wait for
each other.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import TYPE_CHECKING

from sqlalchemy import Connection, bindparam, select, update

from ushield.bank.audit.entries import AuditEvent, Decision, record
from ushield.bank.challenges import ChallengeState
from ushield.bank.customers import TokenState
from ushield.bank.judgement import (
    Acceptance,
    AcceptedTransaction,
    Guard,
    IssuedChallenge,
    RegisteredSigner,
    judge,
    receipt_of,
)
from ushield.bank.moments import instant
from ushield.bank.policy.refusal import PolicyRefused
from ushield.bank.rejection import RejectionReason, TransactionRejected
from ushield.bank.store.statements import Lookup, Statement
from ushield.bank.store.store import Conflict
from ushield.bank.store.tables import certificate, challenge, token

if TYPE_CHECKING:
    from ushield.bank.gate import PolicyGate
    from ushield.bank.judgement import Signed
    from ushield.bank.policy.facts import BatchFacts
    from ushield.bank.spending import Spending

__all__ = [
    "FRAUD",
    "Presented",
    "decide",
    "decision_on",
    "raise_alarms",
    "read_challenges",
    "read_signers",
]

_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Presented:
    """A signature (DER) that came for a challenge, and what the verifier said of it.

    ``batch`` is what the rows of a batch are, if they were compared with what was signed.
    """

    challenge_id: str
    signature: bytes
    verdict: Signed | TransactionRejected
    batch: BatchFacts | None = None


_CHALLENGES = Lookup(
    select(
        challenge.c.id,
        challenge.c.customer_id,
        challenge.c.message,
        challenge.c.state,
        challenge.c.issued_at,
        challenge.c.expires_at,
        challenge.c.proposed,
    ),
    challenge.c.id,
)
_SIGNERS = Lookup(
    select(
        certificate.c.sha256,
        certificate.c.state,
        token.c.serial,
        token.c.state,
        token.c.customer_id,
        token.c.counter,
        token.c.revision,
        token.c.person,
    ).select_from(certificate.join(token, token.c.serial == certificate.c.token_serial)),
    certificate.c.sha256,
)
_COUNT = Statement(
    update(token)
    .where(
        token.c.serial == bindparam("token_serial"),
        token.c.revision == bindparam("known_revision"),
        token.c.counter == bindparam("known_counter"),
        token.c.state == TokenState.ACTIVE.value,
    )
    .values(counter=bindparam("new_counter"))
)
_ALARM = Statement(
    update(token)
    .where(token.c.serial == bindparam("token_serial"))
    .values(alarms=token.c.alarms + 1, alarmed_at=bindparam("now"))
)
_CONSUME = Statement(
    update(challenge)
    .where(
        challenge.c.id == bindparam("challenge_id"),
        challenge.c.state == ChallengeState.ISSUED.value,
        challenge.c.expires_at > bindparam("now"),
        challenge.c.proposed == 0,
    )
    .values(
        state=ChallengeState.CONSUMED.value,
        decided_at=bindparam("at"),
        signature=bindparam("signed"),
        certificate_sha256=bindparam("signer"),
        counter=bindparam("count"),
    )
)
FRAUD = frozenset((RejectionReason.COUNTER_REPEATED, RejectionReason.COUNTER_WENT_BACK))
"""Reasons that are remembered with the token."""


def decide(
    connection: Connection,
    presented: Sequence[Presented],
    at: int,
    guards: Sequence[Guard],
    gate: PolicyGate | None = None,
) -> list[AcceptedTransaction | TransactionRejected]:
    """Accept or reject each of ``presented`` at ``at``, in their order; record all of it.

    ``gate`` is the bank's policy, without which nothing is accepted that no screen showed. A
    signer's signatures are judged by their counters, lowest first. `Conflict` if the database moved
    on meanwhile: roll back, and decide again.
    """
    outcomes: list[AcceptedTransaction | TransactionRejected | None] = [None] * len(presented)
    for position, each in enumerate(presented):
        if isinstance(each.verdict, TransactionRejected):
            outcomes[position] = each.verdict
    held = [
        (position, each, each.verdict, sha256(each.verdict.certificate).digest())
        for position, each in enumerate(presented)
        if not isinstance(each.verdict, TransactionRejected)
    ]
    came = {digest: position for position, *_, digest in reversed(held)}
    held.sort(key=lambda found: (came[found[3]], _counter(found[2])))
    issued = read_challenges(connection, {each.challenge_id for each in presented})
    spending = None
    if gate is not None:
        # From here on to the end nobody else pays for these customers.
        spending = gate.lock(
            connection, {found.customer_id for found in issued.values()}, instant(at)
        )
    signers = read_signers(connection, {digest for *_, digest in held})
    writing = _Writing(at)
    accepted: list[AcceptedTransaction] = []
    counters = {signer.token_serial: signer.counter for signer in signers.values()}
    for position, each, verified, digest in held:
        found = issued.get(each.challenge_id)
        signer = signers.get(digest)
        if signer is not None:
            signer = replace(signer, counter=counters[signer.token_serial])
        try:
            acceptance = judge(
                each.challenge_id,
                found,
                signer,
                verified,
                at=at,
                earlier=accepted,
                batch=each.batch,
            )
            for guard in guards:
                guard(acceptance, connection)
            _ask_policy(acceptance, gate, spending)
        except TransactionRejected as rejected:
            outcomes[position] = rejected
            if signer is not None and rejected.reason in FRAUD:
                writing.alarms.append(signer.token_serial)
            continue
        accepted.append(
            AcceptedTransaction(
                acceptance.challenge_id,
                acceptance.customer_id,
                acceptance.token_serial,
                acceptance.at,
                verified,
            )
        )
        outcomes[position] = accepted[-1]
        if found is not None and signer is not None:
            issued[found.id] = replace(found, state=ChallengeState.CONSUMED.value)
            counters[signer.token_serial] = _counter(verified) or signer.counter
            writing.take(each, verified, digest)
    writing.count(signers, counters)
    writing.write(connection)
    if spending is not None:
        spending.write(connection)
    settled = [outcome for outcome in outcomes if outcome is not None]
    record(
        connection,
        [
            decision_on(each, outcome, issued.get(each.challenge_id), at, gate)
            for each, outcome in zip(presented, settled, strict=True)
        ],
    )
    return settled


def _ask_policy(acceptance: Acceptance, gate: PolicyGate | None, spending: Spending | None) -> None:
    if gate is not None and spending is not None:
        gate.approve(acceptance, spending)
    elif receipt_of(acceptance.verified) is None:
        raise TransactionRejected(
            "no screen showed what was signed, and no policy says what may be signed so",
            reason=RejectionReason.BLIND_SIGNATURE,
        )


class _Writing:
    """What a transaction will write, once all is judged."""

    def __init__(self, at: int) -> None:
        self._at = at
        self._consumed: list[dict[str, object]] = []
        self._counted: list[dict[str, object]] = []
        self.alarms: list[str] = []

    def take(self, each: Presented, verified: Signed, digest: bytes) -> None:
        """Use a challenge up."""
        self._consumed.append(
            {
                "challenge_id": each.challenge_id,
                "now": self._at,
                "at": self._at,
                "signed": each.signature,
                "signer": digest,
                "count": _counter(verified) or None,
            }
        )

    def count(self, signers: Mapping[bytes, RegisteredSigner], counters: Mapping[str, int]) -> None:
        """Raise the counters of the tokens that signed."""
        known = {signer.token_serial: signer for signer in signers.values()}
        self._counted += [
            {
                "token_serial": serial,
                "known_revision": signer.revision,
                "known_counter": signer.counter,
                "new_counter": counters[serial],
            }
            for serial, signer in known.items()
            if counters[serial] != signer.counter
        ]

    def write(self, connection: Connection) -> None:
        """Write it, or raise `Conflict`."""
        self._counted.sort(key=lambda row: str(row["token_serial"]))
        self._consumed.sort(key=lambda row: str(row["challenge_id"]))
        _write(connection, _COUNT, self._counted)
        raise_alarms(connection, self.alarms, self._at)
        _write(connection, _CONSUME, self._consumed)


def raise_alarms(connection: Connection, tokens: Sequence[str], at: int) -> None:
    """Remember with each of ``tokens`` that its counter was passed before."""
    alarms = [{"token_serial": serial, "now": at} for serial in sorted(tokens)]
    if alarms:
        _ALARM.run_many(connection, alarms)


def _write(
    connection: Connection, statement: Statement, rows: Sequence[Mapping[str, object]]
) -> None:
    if not rows:
        return
    if len(rows) == 1:
        done = statement.run(connection, **rows[0])
    else:
        done = statement.run_many(connection, rows)
    if done != len(rows):
        raise Conflict


def _counter(verified: Signed) -> int:
    receipt = receipt_of(verified)
    return 0 if receipt is None else receipt.counter


def read_challenges(connection: Connection, identifiers: set[str]) -> dict[str, IssuedChallenge]:
    """The challenges of these ids, by them."""
    known = [each for each in identifiers if _ID.fullmatch(each) is not None]
    if not known:
        return {}
    return {row[0]: IssuedChallenge(*row) for row in _CHALLENGES.find(connection, known)}


def read_signers(connection: Connection, digests: set[bytes]) -> dict[bytes, RegisteredSigner]:
    """The signers enrolled with certificates of these SHA-256 (32 bytes), by them."""
    if not digests:
        return {}
    return {row[0]: RegisteredSigner(*row) for row in _SIGNERS.find(connection, list(digests))}


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
        challenge_id=each.challenge_id if _ID.fullmatch(each.challenge_id) else None,
        customer_id=None if found is None else found.customer_id,
        facts=facts,
    )
