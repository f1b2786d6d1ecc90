"""The steps of unblocking a token, each in the transaction that it is given.

What the bank refuses is returned, not raised, so that the log keeps it.
"""

from __future__ import annotations

import secrets

from sqlalchemy import Connection, and_, exists, func, insert, or_, select, update

from ushield.bank.audit.entries import AuditEvent, Decision, record
from ushield.bank.customers import check_customer
from ushield.bank.lifecycle.clerks import is_same_clerk
from ushield.bank.lifecycle.refusals import UnblockReason, UnblockRefused, UnblockSettled
from ushield.bank.lifecycle.unblock_challenge import UnblockChallenge
from ushield.bank.lifecycle.unblock_checks import standing, unproved, went_back
from ushield.bank.lifecycle.unblock_records import (
    ANSWERED,
    UnblockRequest,
    UnblockState,
    find_unblock,
)
from ushield.bank.store.store import Conflict
from ushield.bank.store.tables import token, unblock_request

__all__ = ["approve", "deny", "find_challenge", "keep_signature", "request"]


def request(
    connection: Connection,
    customer_id: str,
    challenge: UnblockChallenge,
    by: str,
    at: int,
    *,
    expires_at: int,
) -> UnblockRequest | UnblockRefused:
    """Let a challenge wait for another clerk; the same challenge again is the same request.

    An earlier request of the token that waits is void by it. `CustomerUnknown`.
    """
    check_customer(connection, customer_id)
    refusal = standing(connection, challenge.serial, customer_id)
    before = None
    if refusal is None:
        before = connection.execute(
            select(unblock_request.c.id, unblock_request.c.state).where(
                unblock_request.c.token_serial == challenge.serial,
                unblock_request.c.challenge == challenge.encoded,
                or_(
                    unblock_request.c.state.in_(ANSWERED),
                    and_(
                        unblock_request.c.state == UnblockState.WAITING.value,
                        unblock_request.c.expires_at > at,
                    ),
                ),
            )
        ).first()
        if before is None:
            refusal = unproved(connection, challenge) or went_back(connection, challenge, at)
        elif before.state == UnblockState.SUPERSEDED:
            refusal = UnblockRefused(
                "the challenge was answered before, and a later one of the token after it",
                reason=UnblockReason.CHALLENGE_SUPERSEDED,
            )
    if refusal is not None:
        _record_refusal(connection, refusal, customer_id, challenge, by=by, at=at)
        return refusal
    if before is not None:
        return find_unblock(connection, before.id, at)
    connection.execute(
        update(unblock_request)
        .where(
            unblock_request.c.token_serial == challenge.serial,
            unblock_request.c.state == UnblockState.WAITING.value,
        )
        .values(state=UnblockState.VOID.value, decided_at=at)
    )
    identifier = secrets.token_hex(16)
    connection.execute(
        insert(unblock_request).values(
            id=identifier,
            token_serial=challenge.serial,
            counter=challenge.counter,
            challenge=challenge.encoded,
            state=UnblockState.WAITING.value,
            requested_by=by,
            requested_at=at,
            expires_at=expires_at,
        )
    )
    found = find_unblock(connection, identifier, at)
    _record(connection, AuditEvent.UNBLOCK_REQUESTED, found, by, at=at)
    return found


def approve(
    connection: Connection, identifier: str, by: str, at: int
) -> UnblockRequest | UnblockRefused:
    """Let a request be answered, as another clerk; it supersedes an earlier answer.

    Repeated by the same clerk, it is as it stands. `UnblockUnknown`, `UnblockSettled`.
    """
    found = find_unblock(connection, identifier, at)
    refusal = standing(connection, found.token, found.customer_id)
    found = find_unblock(connection, identifier, at)
    if refusal is None and found.state is UnblockState.EXPIRED:
        refusal = UnblockRefused("the request is too old", reason=UnblockReason.EXPIRED)
    if refusal is None and is_same_clerk(found.requested_by, by):
        refusal = UnblockRefused(
            f"{by} asked for it; another clerk decides", reason=UnblockReason.SAME_CLERK
        )
    if refusal is not None:
        _record(
            connection, AuditEvent.UNBLOCK_REFUSED, found, by, at=at, reason=refusal.reason.value
        )
        return refusal
    if found.state is UnblockState.APPROVED and is_same_clerk(found.decided_by or "", by):
        return found
    if found.state is not UnblockState.WAITING:
        raise _settled(found)
    # First: of the answers to one value of the counter, one at most is not superseded.
    _supersede(connection, found, by, at)
    answered = unblock_request.alias("answered")
    changed = connection.execute(
        update(unblock_request)
        .where(
            unblock_request.c.id == identifier,
            unblock_request.c.state == UnblockState.WAITING.value,
            unblock_request.c.expires_at > at,
            func.lower(unblock_request.c.requested_by) != by.lower(),
            ~exists().where(
                answered.c.token_serial == unblock_request.c.token_serial,
                answered.c.state == UnblockState.APPROVED.value,
                answered.c.counter >= unblock_request.c.counter,
            ),
        )
        .values(state=UnblockState.APPROVED.value, decided_by=by, decided_at=at)
    ).rowcount
    if changed != 1:
        raise Conflict
    connection.execute(update(token).where(token.c.serial == found.token).values(pin_changed_at=at))
    approved = find_unblock(connection, identifier, at)
    _record(connection, AuditEvent.UNBLOCK_APPROVED, approved, by, at=at)
    return approved


def deny(connection: Connection, identifier: str, by: str, at: int) -> UnblockRequest:
    """Let a request never be answered; `UnblockUnknown`, `UnblockSettled`."""
    changed = connection.execute(
        update(unblock_request)
        .where(
            unblock_request.c.id == identifier,
            unblock_request.c.state == UnblockState.WAITING.value,
        )
        .values(state=UnblockState.DENIED.value, decided_by=by, decided_at=at)
    ).rowcount
    found = find_unblock(connection, identifier, at)
    if not changed:
        raise _settled(found)
    _record(connection, AuditEvent.UNBLOCK_DENIED, found, by, at=at)
    return found


def find_challenge(connection: Connection, identifier: str) -> bytes:
    """The token's bytes that a request is about."""
    challenge: bytes = connection.execute(
        select(unblock_request.c.challenge).where(unblock_request.c.id == identifier)
    ).scalar_one()
    return challenge


def keep_signature(
    connection: Connection, identifier: str, signature: bytes, at: int
) -> UnblockRequest:
    """Keep the answer to a request that was approved; the first one stays.

    `UnblockSettled` if it was superseded meanwhile.
    """
    connection.execute(
        update(unblock_request)
        .where(
            unblock_request.c.id == identifier,
            unblock_request.c.state == UnblockState.APPROVED.value,
            unblock_request.c.signature.is_(None),
        )
        .values(signature=signature)
    )
    found = find_unblock(connection, identifier, at)
    if found.state is not UnblockState.APPROVED:
        raise _settled(found)
    return found


def _supersede(connection: Connection, found: UnblockRequest, by: str, at: int) -> None:
    """Give the earlier answer to the same value of the counter out no more, if there is one."""
    earlier = connection.execute(
        update(unblock_request)
        .where(
            unblock_request.c.token_serial == found.token,
            unblock_request.c.counter == found.counter,
            unblock_request.c.state == UnblockState.APPROVED.value,
        )
        .values(state=UnblockState.SUPERSEDED.value)
        .returning(unblock_request.c.id)
    ).scalar()
    if earlier is not None:
        superseded = find_unblock(connection, earlier, at)
        _record(
            connection, AuditEvent.UNBLOCK_SUPERSEDED, superseded, by, at=at, superseded_by=found.id
        )


def _settled(found: UnblockRequest) -> UnblockSettled:
    return UnblockSettled(f"the request is {found.state} already", state=found.state.value)


def _record_refusal(
    connection: Connection,
    refusal: UnblockRefused,
    customer_id: str,
    challenge: UnblockChallenge,
    *,
    by: str,
    at: int,
) -> None:
    facts: dict[str, str | int | None] = {
        "token": challenge.serial,
        "counter": challenge.counter,
        "by": by,
    }
    decision = Decision(
        at,
        AuditEvent.UNBLOCK_REFUSED,
        reason=refusal.reason.value,
        customer_id=customer_id,
        facts=facts,
    )
    record(connection, [decision])


def _record(
    connection: Connection,
    event: AuditEvent,
    found: UnblockRequest,
    by: str,
    *,
    at: int,
    reason: str | None = None,
    **more: str,
) -> None:
    facts: dict[str, str | int | None] = {
        "request": found.id,
        "token": found.token,
        "counter": found.counter,
        "answers": found.answers,
        "by": by,
        **more,
    }
    record(
        connection,
        [Decision(at, event, reason=reason, customer_id=found.customer_id, facts=facts)],
    )
