"""A request to unblock a token, from a clerk's word to the bank's answer.

```
waiting --another clerk--> approved --a later answer for the same counter--> superseded
   |
   +--> denied, void (a later request took its place), expired
```
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, func, select

from ushield.bank.lifecycle.refusals import UnblockUnknown
from ushield.bank.moments import instant
from ushield.bank.store.tables import token, unblock_request

__all__ = ["ANSWERED", "UnblockRequest", "UnblockState", "find_unblock"]


class UnblockState(StrEnum):
    """How a request stands; all but the first two are final."""

    WAITING = "waiting"
    APPROVED = "approved"
    SUPERSEDED = "superseded"
    DENIED = "denied"
    VOID = "void"
    EXPIRED = "expired"


ANSWERED = (UnblockState.APPROVED.value, UnblockState.SUPERSEDED.value)
"""The states of requests that were answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnblockRequest:
    """A token's challenge, who brought it before the bank, and who decided.

    ``signature`` (DER) is the answer for the token, once it was approved and made, and until it is
    superseded. ``answers`` is how often the bank has answered this value of the token's ``counter``
    so far. A token takes one of them at most: each that was not the last did not reach it while it
    knew its challenge, or somebody says so.
    """

    id: str
    token: str
    customer_id: str
    counter: int
    answers: int
    state: UnblockState
    requested_by: str
    requested_at: datetime
    expires_at: datetime
    decided_by: str | None
    decided_at: datetime | None
    signature: bytes | None


def find_unblock(connection: Connection, identifier: str, at: int) -> UnblockRequest:
    """How a request stands at ``at``; `UnblockUnknown`."""
    same = unblock_request.alias("same")
    answers = (
        select(func.count())
        .select_from(same)
        .where(
            same.c.token_serial == unblock_request.c.token_serial,
            same.c.counter == unblock_request.c.counter,
            same.c.state.in_(ANSWERED),
        )
        .scalar_subquery()
    )
    row = connection.execute(
        select(unblock_request, token.c.customer_id, answers.label("answers"))
        .join(token, token.c.serial == unblock_request.c.token_serial)
        .where(unblock_request.c.id == identifier)
    ).first()
    if row is None:
        raise UnblockUnknown("the bank has no such request to unblock")
    return _read(row, at)


def _read(row: Row[Any], at: int) -> UnblockRequest:
    state = UnblockState(row.state)
    if state is UnblockState.WAITING and row.expires_at <= at:
        state = UnblockState.EXPIRED
    return UnblockRequest(
        id=row.id,
        token=row.token_serial,
        customer_id=row.customer_id,
        counter=row.counter,
        answers=row.answers,
        state=state,
        requested_by=row.requested_by,
        requested_at=instant(row.requested_at),
        expires_at=instant(row.expires_at),
        decided_by=row.decided_by,
        decided_at=None if row.decided_at is None else instant(row.decided_at),
        signature=row.signature if state is UnblockState.APPROVED else None,
    )
