"""Accepting signatures against challenges: each once, by any number of processes.

What is read may be outdated when it is written, so the writing has conditions of its own: one
statement takes a challenge only while it is issued and in time, one takes a token's counter only if
nothing about the token changed. If either finds less than it should, all is rolled back and judged
again. Tokens are written before challenges, both in order, so that no two transactions wait for
each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING

from sqlalchemy import Connection, bindparam, update

from ushield.bank.audit.entries import record
from ushield.bank.challenge_records import ChallengeState
from ushield.bank.customers import TokenState
from ushield.bank.judgement import (
    Acceptance,
    AcceptedTransaction,
    Guard,
    RegisteredSigner,
    judge,
    receipt_of,
)
from ushield.bank.lookups import read_challenges, read_signers
from ushield.bank.moments import instant
from ushield.bank.presenting import Presented, decision_on
from ushield.bank.rejection import RejectionReason, TransactionRejected
from ushield.bank.store.statements import Statement
from ushield.bank.store.store import Conflict
from ushield.bank.store.tables import challenge, token

if TYPE_CHECKING:
    from ushield.bank.gate import PolicyGate
    from ushield.bank.judgement import Signed
    from ushield.bank.spending import Spending

__all__ = ["FRAUD", "decide", "raise_alarms"]

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
