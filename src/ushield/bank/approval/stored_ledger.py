"""Proposals in the bank's database: the rules of `ApprovalLedger`, held by its statements.

A challenge that is proposed takes no single signature any more. It is used up by the change that
completes its proposal, or voided by the one that ends it, in the transaction that also writes the
signature, raises the token's counter, and records all of it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, TypeVar

from sqlalchemy import Connection, Row, insert, select, update
from sqlalchemy.exc import IntegrityError

from ushield.bank.approval.ledger import LedgerConflict, ProposalExists, ProposalUnknown
from ushield.bank.approval.proposal import Endorsement, Proposal, Stage
from ushield.bank.audit.entries import AuditEvent, Decision, record
from ushield.bank.challenge_records import ChallengeState
from ushield.bank.customers import TokenState
from ushield.bank.errors import ChallengeSettled, ChallengeUnknown
from ushield.bank.moments import Clock, instant, microseconds
from ushield.bank.store.store import Store
from ushield.bank.store.tables import challenge, endorsement, proposal, token

__all__ = ["StoreLedger", "TransactionLedger", "open_proposals"]

T = TypeVar("T")

_ENDED = {
    Stage.WITHDRAWN: (AuditEvent.PROPOSAL_WITHDRAWN, ChallengeState.VOID),
    Stage.REJECTED: (AuditEvent.PROPOSAL_REJECTED, ChallengeState.VOID),
    Stage.EXPIRED: (AuditEvent.PROPOSAL_EXPIRED, ChallengeState.EXPIRED),
}
_PROPOSALS = select(
    proposal,
    challenge.c.customer_id,
    challenge.c.message,
    challenge.c.state,
).join(challenge, challenge.c.id == proposal.c.challenge_id)


@dataclass(frozen=True, slots=True)
class TransactionLedger:
    """An `ApprovalLedger` within one transaction of the database, at ``at`` (microseconds).

    What it refuses it has not written: each change is whole, or undone. Further ``facts`` go to
    the log with each.
    """

    connection: Connection
    at: int
    facts: Mapping[str, str | int | None]

    def create(self, new: Proposal) -> None:
        """As `ApprovalLedger.create`.

        `ChallengeUnknown` if the bank issued no such challenge to the customer, `ChallengeSettled`
        if it is not live any more, `LedgerConflict` if its message is another, or the token's
        counter moved on.
        """
        with _whole(self.connection):
            if not self._propose(new):
                raise self._not_proposed(new)
            self.connection.execute(
                insert(proposal).values(
                    challenge_id=new.challenge,
                    needed=new.needed,
                    entitled=json.dumps(sorted(new.entitled), ensure_ascii=False),
                    expires_at=microseconds(new.expires_at),
                    stage=new.stage.value,
                    ended_by=new.ended_by,
                    version=new.version,
                )
            )
            self._endorse(new, 0)
            self._record(AuditEvent.PROPOSED, new, new.maker)

    def load(self, challenge_id: str) -> Proposal:
        """As `ApprovalLedger.load`; until the transaction ends nobody else changes it."""
        self.connection.execute(
            select(proposal.c.version)
            .where(proposal.c.challenge_id == challenge_id)
            .with_for_update()
        )
        return self.look(challenge_id)

    def look(self, challenge_id: str) -> Proposal:
        """The same, for a transaction that changes nothing."""
        row = self.connection.execute(
            _PROPOSALS.where(proposal.c.challenge_id == challenge_id)
        ).first()
        if row is None:
            raise ProposalUnknown(f"challenge {challenge_id} has no proposal")
        return _read(self.connection, row)

    def replace(self, before: Proposal, after: Proposal) -> None:
        """As `ApprovalLedger.replace`; a change that is none writes nothing."""
        if after == before:
            return
        with _whole(self.connection):
            changed = self.connection.execute(
                update(proposal)
                .where(
                    proposal.c.challenge_id == before.challenge,
                    proposal.c.version == before.version,
                    proposal.c.stage == Stage.OPEN.value,
                )
                .values(stage=after.stage.value, ended_by=after.ended_by, version=after.version)
            ).rowcount
            if changed != 1:
                raise _changed(before)
            for place in range(len(before.endorsements), len(after.endorsements)):
                self._endorse(after, place)
                self._record(AuditEvent.ENDORSED, after, after.endorsements[place])
            if after.stage is Stage.COMPLETE:
                self._complete(after)
            elif after.stage is not Stage.OPEN:
                event, state = _ENDED[after.stage]
                # It may have been withdrawn, or freed for another order, by itself.
                self._settle(after, state)
                self._record(event, after, None)

    def _propose(self, new: Proposal) -> bool:
        changed = self.connection.execute(
            update(challenge)
            .where(
                challenge.c.id == new.challenge,
                challenge.c.customer_id == new.customer,
                challenge.c.message == new.message,
                challenge.c.state == ChallengeState.ISSUED.value,
                challenge.c.proposed == 0,
                challenge.c.expires_at > self.at,
            )
            .values(proposed=1)
        ).rowcount
        return changed == 1

    def _not_proposed(self, new: Proposal) -> Exception:
        row = self.connection.execute(
            select(challenge).where(challenge.c.id == new.challenge)
        ).first()
        if row is None or row.customer_id != new.customer:
            return ChallengeUnknown("the bank issued no such challenge to this customer")
        if row.proposed:
            return ProposalExists(f"challenge {new.challenge} has a proposal")
        if row.state != ChallengeState.ISSUED.value or row.expires_at <= self.at:
            state = row.state if row.state != ChallengeState.ISSUED.value else "expired"
            return ChallengeSettled(f"challenge {new.challenge} is {state} already", state=state)
        return LedgerConflict("the maker signed another message than was issued")

    def _endorse(self, of: Proposal, place: int) -> None:
        given = of.endorsements[place]
        if given.message != of.message:
            raise LedgerConflict("another message than the maker's was signed")
        self.connection.execute(
            insert(endorsement).values(
                challenge_id=of.challenge,
                place=place,
                person=given.person,
                token=given.token,
                key=given.key,
                signature=given.signature,
                at=microseconds(given.at),
                counter=given.counter,
                last_counter=given.last_counter,
            )
        )
        if given.counter is None:
            return
        counted = self.connection.execute(
            update(token)
            .where(
                token.c.serial == given.token,
                token.c.counter == (given.last_counter or 0),
                token.c.state == TokenState.ACTIVE.value,
            )
            .values(counter=given.counter)
        ).rowcount
        if counted != 1:
            raise LedgerConflict(f"token {given.token} has signed since, or was lost")

    def _complete(self, after: Proposal) -> None:
        last = after.endorsements[-1]
        values = {"signature": last.signature, "counter": last.counter}
        if not self._settle(after, ChallengeState.CONSUMED, values):
            raise _changed(after)
        self._record(AuditEvent.ACCEPTED, after, last)

    def _settle(
        self, after: Proposal, state: ChallengeState, values: Mapping[str, Any] | None = None
    ) -> bool:
        settled = self.connection.execute(
            update(challenge)
            .where(
                challenge.c.id == after.challenge,
                challenge.c.state == ChallengeState.ISSUED.value,
                challenge.c.proposed == 1,
                # What ran out of time may end, but is not used up any more.
                *([challenge.c.expires_at > self.at] if state is ChallengeState.CONSUMED else ()),
            )
            .values(state=state.value, decided_at=self.at, **(values or {}))
        ).rowcount
        return settled == 1

    def _record(self, event: AuditEvent, of: Proposal, by: Endorsement | None) -> None:
        facts: dict[str, str | int | None] = dict(self.facts)
        if by is None:
            facts["person"] = of.ended_by
        else:
            facts |= {
                "person": by.person,
                "token": by.token,
                "signature_sha256": sha256(by.signature).hexdigest(),
                "counter": by.counter,
            }
        record(
            self.connection,
            [
                Decision(
                    self.at, event, challenge_id=of.challenge, customer_id=of.customer, facts=facts
                )
            ],
        )


@dataclass(frozen=True, slots=True)
class StoreLedger:
    """An `ApprovalLedger` each of whose changes is a transaction of its own."""

    store: Store
    clock: Clock

    def create(self, new: Proposal) -> None:
        """As `TransactionLedger.create`."""
        self._do(lambda ledger: ledger.create(new))

    def load(self, challenge_id: str) -> Proposal:
        """As `ApprovalLedger.load`."""
        return self.store.read(
            lambda connection: TransactionLedger(connection, 0, facts={}).look(challenge_id)
        )

    def replace(self, before: Proposal, after: Proposal) -> None:
        """As `ApprovalLedger.replace`."""
        self._do(lambda ledger: ledger.replace(before, after))

    def _do(self, work: Callable[[TransactionLedger], T]) -> T:
        return self.store.write(
            lambda connection: work(
                TransactionLedger(connection, microseconds(self.clock()), facts={})
            )
        )


def open_proposals(connection: Connection, customer_id: str | None, at: int) -> list[Proposal]:
    """The proposals that wait for checkers at ``at``, those of one customer or all."""
    query = _PROPOSALS.where(
        proposal.c.stage == Stage.OPEN.value,
        proposal.c.expires_at > at,
        challenge.c.state == ChallengeState.ISSUED.value,
    ).order_by(proposal.c.expires_at, proposal.c.challenge_id)
    if customer_id is not None:
        query = query.where(challenge.c.customer_id == customer_id)
    return [_read(connection, row) for row in connection.execute(query).all()]


@contextmanager
def _whole(connection: Connection) -> Iterator[None]:
    """A part of a transaction that is undone if it fails, and whose doubles are conflicts."""
    try:
        with connection.begin_nested():
            yield
    except IntegrityError as error:
        raise LedgerConflict("this person, token or key has signed it already") from error


def _read(connection: Connection, row: Row[Any]) -> Proposal:
    given = connection.execute(
        select(endorsement)
        .where(endorsement.c.challenge_id == row.challenge_id)
        .order_by(endorsement.c.place)
    ).all()
    stage = Stage(row.stage)
    if stage is Stage.OPEN and row.state == ChallengeState.VOID:
        # The bank itself took the challenge back, or its database was restored.
        stage = Stage.WITHDRAWN
    return Proposal(
        challenge=row.challenge_id,
        customer=row.customer_id,
        needed=row.needed,
        entitled=frozenset(json.loads(row.entitled)),
        expires_at=instant(row.expires_at),
        endorsements=tuple(
            Endorsement(
                person=each.person,
                token=each.token,
                key=each.key,
                message=row.message,
                signature=each.signature,
                at=instant(each.at),
                counter=each.counter,
                last_counter=each.last_counter,
            )
            for each in given
        ),
        stage=stage,
        ended_by=row.ended_by,
        version=row.version,
    )


def _changed(before: Proposal) -> LedgerConflict:
    return LedgerConflict(f"the proposal for challenge {before.challenge} changed")
