"""A forgotten PIN: the bank answers the token's challenge, if two of its people agree.

One clerk has looked at the customer and requests it, another one approves. The answer is good for
this token, this nonce and this value of the token's counter; each value is answered once.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import Connection, Row, exists, func, insert, select, update

from ushield.bank.audit.entries import AuditEvent, Decision, record
from ushield.bank.customers import TokenState
from ushield.bank.errors import CustomerUnknown
from ushield.bank.lifecycle.clerks import check_clerk, is_same_clerk
from ushield.bank.lifecycle.refusals import (
    UnblockReason,
    UnblockRefused,
    UnblockSettled,
    UnblockUnknown,
)
from ushield.bank.lifecycle.unblock_challenge import UnblockChallenge
from ushield.bank.moments import Clock, instant, microseconds, system_clock
from ushield.bank.store.store import Conflict, Store
from ushield.bank.store.tables import customer as customers
from ushield.bank.store.tables import token, unblock_request
from ushield.errors import InputInvalid

if TYPE_CHECKING:
    from ushield.bank.lifecycle.unblock_keys import UnblockSigner

__all__ = ["UnblockRequest", "UnblockState", "Unblocking"]

T = TypeVar("T")
_MICROSECOND = timedelta(microseconds=1)
_LONGEST_LIFETIME = timedelta(days=1)


class UnblockState(StrEnum):
    """How a request stands; all but the first are final. A later one makes it void."""

    WAITING = "waiting"
    APPROVED = "approved"
    DENIED = "denied"
    VOID = "void"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True, kw_only=True)
class UnblockRequest:
    """A token's challenge, who brought it before the bank, and who decided.

    ``signature`` (DER) is the answer for the token, once it was approved and made.
    """

    id: str
    token: str
    customer_id: str
    counter: int
    state: UnblockState
    requested_by: str
    requested_at: datetime
    expires_at: datetime
    decided_by: str | None
    decided_at: datetime | None
    signature: bytes | None


class Unblocking:
    """Unblocks tokens with the bank's key, ``signer``; a request lives for ``lifetime``."""

    def __init__(
        self,
        store: Store,
        signer: UnblockSigner,
        *,
        clock: Clock = system_clock,
        lifetime: timedelta = timedelta(minutes=30),
    ) -> None:
        if not timedelta() < lifetime <= _LONGEST_LIFETIME:
            raise InputInvalid("a request to unblock lives for a day at most")
        self._store = store
        self._signer = signer
        self._clock = clock
        self._lifetime = lifetime

    def request(self, customer: str, challenge: bytes, *, by: str) -> UnblockRequest:
        """Ask for an answer to a challenge (the token's bytes) of ``customer``'s token.

        ``by`` is the clerk who made sure of the customer. An earlier request for the token is void
        by it; the same challenge again is the same request. `UnblockChallengeInvalid`,
        `CustomerUnknown`, `UnblockRefused`, `StoreError`.
        """
        check_clerk(by)
        read = UnblockChallenge.parse(challenge)
        return self._settle(
            lambda connection, at: self._request(connection, customer, read, by, at)
        )

    def approve(self, identifier: str, *, by: str) -> UnblockRequest:
        """Answer it, as another clerk than the one who asked: the signature is in what returns.

        Repeated by the same clerk, it gives the same answer. `UnblockUnknown`, `UnblockRefused`,
        `UnblockSettled`; what the signer raises leaves it approved, to be repeated.
        """
        check_clerk(by)
        found = self._settle(lambda connection, at: _approve(connection, identifier, by, at))
        if found.signature is not None:
            return found
        challenge = self._store.read(lambda connection: _challenge(connection, identifier))
        signature = self._signer.sign(challenge)
        return self._write(
            lambda connection, at: _keep_signature(connection, identifier, signature, at)
        )

    def deny(self, identifier: str, *, by: str) -> UnblockRequest:
        """Do not answer it, as any clerk; `UnblockUnknown`, `UnblockSettled`."""
        check_clerk(by)
        return self._write(lambda connection, at: _deny(connection, identifier, by, at))

    def find(self, identifier: str) -> UnblockRequest:
        """How a request stands; `UnblockUnknown`."""
        return self._store.read(lambda connection: _find(connection, identifier, self._now()))

    def _request(
        self,
        connection: Connection,
        customer: str,
        challenge: UnblockChallenge,
        by: str,
        at: int,
    ) -> UnblockRequest | UnblockRefused:
        if (
            connection.execute(select(customers.c.id).where(customers.c.id == customer)).first()
            is None
        ):
            raise CustomerUnknown(f"there is no customer {customer}")
        # First, since it locks the token's row: what is read after it stands.
        refusal = _standing(connection, challenge.serial, customer)
        before = connection.execute(
            select(unblock_request.c.id).where(
                unblock_request.c.token_serial == challenge.serial,
                unblock_request.c.challenge == challenge.encoded,
                unblock_request.c.state.in_((UnblockState.WAITING, UnblockState.APPROVED)),
            )
        ).scalar()
        if refusal is None and before is None:
            refusal = _count(connection, challenge.serial, challenge.counter, at)
        if refusal is not None:
            facts: dict[str, str | int | None] = {
                "token": challenge.serial,
                "counter": challenge.counter,
                "by": by,
            }
            record(
                connection,
                [
                    Decision(
                        at,
                        AuditEvent.UNBLOCK_REFUSED,
                        reason=refusal.reason.value,
                        customer_id=customer,
                        facts=facts,
                    )
                ],
            )
            return refusal
        if before is not None:
            return _find(connection, before, at)
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
                expires_at=at + self._lifetime // _MICROSECOND,
            )
        )
        found = _find(connection, identifier, at)
        _record(connection, AuditEvent.UNBLOCK_REQUESTED, found, by, at=at)
        return found

    def _settle(
        self, work: Callable[[Connection, int], UnblockRequest | UnblockRefused]
    ) -> UnblockRequest:
        outcome = self._write(work)
        if isinstance(outcome, UnblockRefused):
            raise outcome
        return outcome

    def _write(self, work: Callable[[Connection, int], T]) -> T:
        return self._store.write(lambda connection: work(connection, self._now()))

    def _now(self) -> int:
        return microseconds(self._clock())


def _approve(
    connection: Connection, identifier: str, by: str, at: int
) -> UnblockRequest | UnblockRefused:
    found = _find(connection, identifier, at)
    # The token's row stays locked: no report of loss passes in between.
    refusal = _standing(connection, found.token, found.customer_id)
    found = _find(connection, identifier, at)
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
    _record(connection, AuditEvent.UNBLOCK_APPROVED, found, by, at=at)
    return _find(connection, identifier, at)


def _deny(connection: Connection, identifier: str, by: str, at: int) -> UnblockRequest:
    changed = connection.execute(
        update(unblock_request)
        .where(
            unblock_request.c.id == identifier,
            unblock_request.c.state == UnblockState.WAITING.value,
        )
        .values(state=UnblockState.DENIED.value, decided_by=by, decided_at=at)
    ).rowcount
    found = _find(connection, identifier, at)
    if not changed:
        raise _settled(found)
    _record(connection, AuditEvent.UNBLOCK_DENIED, found, by, at=at)
    return found


def _standing(connection: Connection, serial: str, customer: str) -> UnblockRefused | None:
    row = connection.execute(
        select(token.c.customer_id, token.c.state).where(token.c.serial == serial).with_for_update()
    ).first()
    if row is None:
        return UnblockRefused(f"the bank has no token {serial}", reason=UnblockReason.TOKEN_UNKNOWN)
    if row.customer_id != customer:
        return UnblockRefused(
            f"token {serial} is not {customer}'s", reason=UnblockReason.TOKEN_FOREIGN
        )
    if row.state != TokenState.ACTIVE:
        return UnblockRefused(f"token {serial} was reported lost", reason=UnblockReason.TOKEN_LOST)
    return None


def _count(connection: Connection, serial: str, counter: int, at: int) -> UnblockRefused | None:
    answered: int | None = connection.execute(
        select(func.max(unblock_request.c.counter)).where(
            unblock_request.c.token_serial == serial,
            unblock_request.c.state == UnblockState.APPROVED.value,
        )
    ).scalar()
    if answered is None or counter > answered:
        return None
    if counter == answered:
        return UnblockRefused(
            f"the token's counter {counter} was answered before",
            reason=UnblockReason.COUNTER_ANSWERED,
        )
    connection.execute(
        update(token)
        .where(token.c.serial == serial)
        .values(alarms=token.c.alarms + 1, alarmed_at=at)
    )
    return UnblockRefused(
        f"the token's counter went back from {answered} to {counter}",
        reason=UnblockReason.COUNTER_WENT_BACK,
    )


def _challenge(connection: Connection, identifier: str) -> bytes:
    challenge: bytes = connection.execute(
        select(unblock_request.c.challenge).where(unblock_request.c.id == identifier)
    ).scalar_one()
    return challenge


def _keep_signature(
    connection: Connection, identifier: str, signature: bytes, at: int
) -> UnblockRequest:
    connection.execute(
        update(unblock_request)
        .where(unblock_request.c.id == identifier, unblock_request.c.signature.is_(None))
        .values(signature=signature)
    )
    return _find(connection, identifier, at)


def _find(connection: Connection, identifier: str, at: int) -> UnblockRequest:
    row = connection.execute(
        select(unblock_request, token.c.customer_id)
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
        state=state,
        requested_by=row.requested_by,
        requested_at=instant(row.requested_at),
        expires_at=instant(row.expires_at),
        decided_by=row.decided_by,
        decided_at=None if row.decided_at is None else instant(row.decided_at),
        signature=row.signature,
    )


def _settled(found: UnblockRequest) -> UnblockSettled:
    return UnblockSettled(f"the request is {found.state} already", state=found.state.value)


def _record(
    connection: Connection,
    event: AuditEvent,
    found: UnblockRequest,
    by: str,
    *,
    at: int,
    reason: str | None = None,
) -> None:
    facts: dict[str, str | int | None] = {
        "request": found.id,
        "token": found.token,
        "counter": found.counter,
        "by": by,
    }
    record(
        connection,
        [Decision(at, event, reason=reason, customer_id=found.customer_id, facts=facts)],
    )
