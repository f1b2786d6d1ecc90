"""Challenges: what the bank asked a customer to sign, once, and until when.

A challenge is ``issued``, and ends as ``consumed`` (its signature was accepted), ``expired`` or
``void`` (withdrawn, or lost its meaning when the database was restored). One order of a customer
stands in at most one challenge that is live or was consumed: an index of the database sees to it.
"""

from __future__ import annotations

import dataclasses
import secrets
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection, Row, bindparam, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from ushield.bank.audit.entries import AuditEvent, Decision, record
from ushield.bank.challenge_records import Challenge, ChallengeRecord, ChallengeState
from ushield.bank.errors import (
    ChallengeSettled,
    ChallengeUnknown,
    CustomerUnknown,
    DuplicateOrder,
)
from ushield.bank.moments import instant, microseconds, microseconds_of
from ushield.bank.store.statements import Lookup, Statement
from ushield.bank.store.store import Conflict
from ushield.bank.store.tables import challenge, customer
from ushield.errors import TransactionInvalid
from ushield.transaction.message import parse_message, write_message
from ushield.transaction.model import CertificateRenewal, Login, ShopPayment, Transaction

__all__ = [
    "MAX_LIFETIME",
    "find_challenge",
    "issue_challenge",
    "withdraw_challenge",
]

MAX_LIFETIME = timedelta(days=1)
"""The longest time a challenge may live that one person answers."""

_SECOND = 1_000_000
_DRAFT = "draft"


_COLUMNS = (
    "id",
    "customer_id",
    "order_key",
    "draft_digest",
    "message",
    "state",
    "issued_at",
    "expires_at",
)
_VALUES: dict[str, Any] = {name: bindparam(name) for name in _COLUMNS}
# Both dialects say it in the same words; SQLAlchemy has them in two places.
_INSERT = {
    "sqlite": Statement(sqlite.insert(challenge).values(_VALUES).on_conflict_do_nothing()),
    "postgresql": Statement(postgresql.insert(challenge).values(_VALUES).on_conflict_do_nothing()),
}
_CUSTOMERS = Lookup(select(customer.c.id), customer.c.id)
_OF_ORDER = (
    challenge.c.customer_id == bindparam("customer"),
    challenge.c.order_key == bindparam("order"),
)
_EXPIRE_ORDER = Statement(
    update(challenge)
    .where(
        *_OF_ORDER,
        challenge.c.state == ChallengeState.ISSUED.value,
        challenge.c.expires_at <= bindparam("now"),
    )
    .values(state=ChallengeState.EXPIRED.value, decided_at=bindparam("at"))
)
_HOLDER_OF_ORDER = select(challenge).where(
    *_OF_ORDER,
    or_(
        challenge.c.state == ChallengeState.ISSUED.value,
        challenge.c.state == ChallengeState.CONSUMED.value,
    ),
)


def issue_challenge(
    connection: Connection,
    draft: Transaction,
    customer_id: str,
    *,
    now: datetime,
    lifetime: timedelta,
    longest: timedelta = MAX_LIFETIME,
    repeat: bool,
) -> Challenge | DuplicateOrder:
    """Issue a challenge for ``draft``, whose own challenge is replaced.

    It lives until the draft's ``expires``, or for ``lifetime`` where it has none, and not for more
    than ``longest`` (`TransactionInvalid`). `CustomerUnknown` if there is no such customer.

    `DuplicateOrder` is returned, not raised, so that the log keeps it, if the customer's order
    number stands in a challenge that is live or consumed. With ``repeat``, a live one for the very
    same draft is given out again instead.
    """
    at = microseconds(now)
    expires_at = _expiry(draft, at, lifetime, longest)
    if not _CUSTOMERS.find(connection, [customer_id]):
        raise CustomerUnknown(f"there is no customer {customer_id}")
    identifier = secrets.token_hex(16)
    expires = instant(expires_at)
    transaction = dataclasses.replace(draft, challenge=identifier, expires=expires)
    message = write_message(transaction)
    issued = Challenge(identifier, customer_id, transaction, message, now, expires)
    order = _order_key(draft)
    digest = _draft_digest(draft)
    decisions: list[Decision] = []
    if order is not None:
        decisions += _expire(connection, customer_id, order, at)
    inserted = _INSERT[connection.dialect.name].run(
        connection,
        id=identifier,
        customer_id=customer_id,
        order_key=order,
        draft_digest=digest,
        message=issued.message,
        state=ChallengeState.ISSUED.value,
        issued_at=at,
        expires_at=expires_at,
    )
    outcome: Challenge | DuplicateOrder = issued
    if inserted == 1:
        decisions.append(_decision(issued, AuditEvent.ISSUED, at))
    else:
        holder = connection.execute(
            _HOLDER_OF_ORDER, {"customer": customer_id, "order": order}
        ).first()
        if holder is None:
            # It ended between the two statements, or its id is one that was issued before.
            raise Conflict
        outcome = _duplicate(holder, digest, repeat=repeat)
        if isinstance(outcome, DuplicateOrder):
            decisions.append(_refusal(outcome, customer_id, order, at))
    record(connection, decisions)
    return outcome


def withdraw_challenge(connection: Connection, identifier: str, at: int) -> ChallengeRecord:
    """Take no signature for this challenge any more; its order number is free again.

    `ChallengeUnknown`; `ChallengeSettled` if it is not live any more.
    """
    changed = connection.execute(
        update(challenge)
        .where(
            challenge.c.id == identifier,
            challenge.c.state == ChallengeState.ISSUED.value,
            challenge.c.expires_at > at,
        )
        .values(state=ChallengeState.VOID.value, decided_at=at)
    ).rowcount
    found = find_challenge(connection, identifier, at)
    if not changed:
        raise ChallengeSettled(
            f"challenge {identifier} is {found.state} already", state=found.state.value
        )
    record(
        connection,
        [
            Decision(
                at,
                AuditEvent.WITHDRAWN,
                challenge_id=identifier,
                customer_id=found.customer_id,
            )
        ],
    )
    return found


def find_challenge(connection: Connection, identifier: str, at: int) -> ChallengeRecord:
    """What became of a challenge by ``at``; `ChallengeUnknown`."""
    row = connection.execute(select(challenge).where(challenge.c.id == identifier)).first()
    if row is None:
        raise ChallengeUnknown("the bank issued no such challenge")
    state = ChallengeState(row.state)
    if state is ChallengeState.ISSUED and row.expires_at <= at:
        state = ChallengeState.EXPIRED
    return ChallengeRecord(
        id=row.id,
        customer_id=row.customer_id,
        state=state,
        issued_at=instant(row.issued_at),
        expires_at=instant(row.expires_at),
        decided_at=None if row.decided_at is None else instant(row.decided_at),
        message=row.message,
        signature=row.signature,
        certificate_sha256=row.certificate_sha256,
        counter=row.counter,
    )


def _expiry(draft: Transaction, at: int, lifetime: timedelta, longest: timedelta) -> int:
    latest = at + microseconds_of(longest)
    if draft.expires is not None:
        expires_at = microseconds(draft.expires)
    else:
        # A message tells its expiry to the second.
        expires_at = -(-(at + microseconds_of(lifetime)) // _SECOND) * _SECOND
        latest += _SECOND
    if not at < expires_at <= latest:
        raise TransactionInvalid(
            f"expires: must be in the future, and not by more than {longest}", field="expires"
        )
    return expires_at


def _order_key(draft: Transaction) -> str | None:
    if isinstance(draft, Login | CertificateRenewal):
        return None
    if isinstance(draft, ShopPayment):
        # The number is the shop's, and two shops may come to the same one.
        return f"{draft.merchant}\n{draft.order}"
    return draft.order


def _draft_digest(draft: Transaction) -> bytes:
    return sha256(
        write_message(dataclasses.replace(draft, challenge=_DRAFT, expires=None))
    ).digest()


def _expire(connection: Connection, customer_id: str, order: str, at: int) -> list[Decision]:
    expired = _EXPIRE_ORDER.run(connection, customer=customer_id, order=order, now=at, at=at)
    if not expired:
        return []
    return [Decision(at, AuditEvent.EXPIRED, customer_id=customer_id, facts={"order": order})]


def _duplicate(holder: Row[Any], digest: bytes, *, repeat: bool) -> Challenge | DuplicateOrder:
    if repeat and holder.state == ChallengeState.ISSUED and holder.draft_digest == digest:
        return Challenge(
            holder.id,
            holder.customer_id,
            parse_message(holder.message).transaction,
            holder.message,
            instant(holder.issued_at),
            instant(holder.expires_at),
            repeated=True,
        )
    return DuplicateOrder(
        f"the order stands in challenge {holder.id}, which is {holder.state}",
        challenge=holder.id,
        state=holder.state,
    )


def _decision(issued: Challenge, event: AuditEvent, at: int) -> Decision:
    return Decision(
        at,
        event,
        challenge_id=issued.id,
        customer_id=issued.customer_id,
        facts={"message_sha256": sha256(issued.message).hexdigest()},
    )


def _refusal(error: DuplicateOrder, customer_id: str, order: str | None, at: int) -> Decision:
    return Decision(
        at,
        AuditEvent.ISSUE_REFUSED,
        reason=error.code,
        challenge_id=error.challenge,
        customer_id=customer_id,
        facts={"order": order},
    )
