"""What is due: certificates that end, PINs that are old, people and machines that wait."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar

from sqlalchemy import Connection, exists, select

from ushield.bank.customers import CertificateState, TokenState
from ushield.bank.lifecycle.records import EnrolmentState
from ushield.bank.lifecycle.unblock_records import UnblockState
from ushield.bank.moments import instant, microseconds_of
from ushield.bank.store.tables import certificate, enrolment, revocation, token, unblock_request
from ushield.errors import InputInvalid

__all__ = [
    "CertificateExpiring",
    "CertificateUnconfirmed",
    "IssuanceWaiting",
    "PinUnchanged",
    "RegistrationUnanswered",
    "Reminder",
    "RevocationWaiting",
    "UnblockWaiting",
    "find_due",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateExpiring:
    """A certificate that signs ends on ``due``, and none that follows it was issued."""

    kind: ClassVar[str] = "certificate-expiring"
    customer_id: str
    due: datetime
    token: str
    certificate_sha256: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class PinUnchanged:
    """The bank has heard of no new PIN of a token for too long, which is so from ``due`` on."""

    kind: ClassVar[str] = "pin-unchanged"
    customer_id: str
    due: datetime
    token: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrationUnanswered:
    """A customer was told a code, and has not used it; it ends on ``due``."""

    kind: ClassVar[str] = "registration-unanswered"
    customer_id: str
    due: datetime
    enrolment: str


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuanceWaiting:
    """The CA has not issued what was asked on ``due``: somebody should resume it."""

    kind: ClassVar[str] = "issuance-waiting"
    customer_id: str
    due: datetime
    enrolment: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateUnconfirmed:
    """A certificate was issued on ``due``, and nobody has said that it is on the token."""

    kind: ClassVar[str] = "certificate-unconfirmed"
    customer_id: str
    due: datetime
    enrolment: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UnblockWaiting:
    """A clerk asked to unblock a token, and another one has not decided; it ends on ``due``."""

    kind: ClassVar[str] = "unblock-waiting"
    customer_id: str
    due: datetime
    token: str
    request: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RevocationWaiting:
    """The CA has not yet revoked what the bank decided on ``due`` to be revoked."""

    kind: ClassVar[str] = "revocation-waiting"
    customer_id: str
    due: datetime
    token: str
    certificate_sha256: bytes


Reminder = (
    CertificateExpiring
    | PinUnchanged
    | RegistrationUnanswered
    | IssuanceWaiting
    | CertificateUnconfirmed
    | UnblockWaiting
    | RevocationWaiting
)


def find_due(
    connection: Connection, at: int, *, within: timedelta, pin_age: timedelta
) -> list[Reminder]:
    """What is due at ``at`` (microseconds since 1970), or ends ``within``; the earliest first.

    A PIN is due when it is older than ``pin_age``. `InputInvalid` for a time that goes back.
    """
    if within < timedelta() or pin_age < timedelta():
        raise InputInvalid("what is due lies ahead: a time that goes back")
    found = [
        *_expiring(connection, at, at + microseconds_of(within)),
        *_old_pins(connection, at, microseconds_of(pin_age)),
        *_enrolments(connection, at),
        *_unblocking(connection, at),
        *_revocations(connection),
    ]
    return sorted(found, key=lambda each: (each.due, each.kind, repr(each)))


def _expiring(connection: Connection, at: int, until: int) -> list[Reminder]:
    follower = enrolment.alias("follower")
    rows = connection.execute(
        select(
            certificate.c.sha256,
            certificate.c.not_after,
            certificate.c.token_serial,
            token.c.customer_id,
        )
        .join(token, token.c.serial == certificate.c.token_serial)
        .where(
            certificate.c.not_after > at,
            certificate.c.not_after <= until,
            certificate.c.state == CertificateState.ACTIVE.value,
            token.c.state == TokenState.ACTIVE.value,
            ~exists().where(
                follower.c.renews == certificate.c.sha256,
                follower.c.certificate_sha256.is_not(None),
            ),
        )
    )
    return [
        CertificateExpiring(
            customer_id=row.customer_id,
            due=instant(row.not_after),
            token=row.token_serial,
            certificate_sha256=row.sha256,
        )
        for row in rows
    ]


def _old_pins(connection: Connection, at: int, age: int) -> list[Reminder]:
    rows = connection.execute(
        select(token.c.serial, token.c.customer_id, token.c.pin_changed_at).where(
            token.c.state == TokenState.ACTIVE.value, token.c.pin_changed_at <= at - age
        )
    )
    return [
        PinUnchanged(
            customer_id=row.customer_id,
            due=instant(row.pin_changed_at + age),
            token=row.serial,
        )
        for row in rows
    ]


_OF_STATE: dict[
    str, type[RegistrationUnanswered] | type[IssuanceWaiting] | type[CertificateUnconfirmed]
] = {
    EnrolmentState.REGISTERED.value: RegistrationUnanswered,
    EnrolmentState.REQUESTED.value: IssuanceWaiting,
    EnrolmentState.ISSUED.value: CertificateUnconfirmed,
}


def _enrolments(connection: Connection, at: int) -> list[Reminder]:
    rows = connection.execute(
        select(
            enrolment.c.id,
            enrolment.c.customer_id,
            enrolment.c.state,
            enrolment.c.expires_at,
            enrolment.c.changed_at,
        ).where(enrolment.c.state.in_(_OF_STATE))
    ).all()
    found: list[Reminder] = []
    for row in rows:
        is_registered = row.state == EnrolmentState.REGISTERED
        if is_registered and row.expires_at <= at:
            continue
        found.append(
            _OF_STATE[row.state](
                customer_id=row.customer_id,
                due=instant(row.expires_at if is_registered else row.changed_at),
                enrolment=row.id,
            )
        )
    return found


def _unblocking(connection: Connection, at: int) -> list[Reminder]:
    rows = connection.execute(
        select(
            unblock_request.c.id,
            unblock_request.c.expires_at,
            unblock_request.c.token_serial,
            token.c.customer_id,
        )
        .join(token, token.c.serial == unblock_request.c.token_serial)
        .where(
            unblock_request.c.state == UnblockState.WAITING.value,
            unblock_request.c.expires_at > at,
        )
    )
    return [
        UnblockWaiting(
            customer_id=row.customer_id,
            due=instant(row.expires_at),
            token=row.token_serial,
            request=row.id,
        )
        for row in rows
    ]


def _revocations(connection: Connection) -> list[Reminder]:
    rows = connection.execute(
        select(
            revocation.c.certificate_sha256,
            revocation.c.asked_at,
            certificate.c.token_serial,
            token.c.customer_id,
        )
        .join(certificate, certificate.c.sha256 == revocation.c.certificate_sha256)
        .join(token, token.c.serial == certificate.c.token_serial)
        .where(revocation.c.done_at.is_(None))
    )
    return [
        RevocationWaiting(
            customer_id=row.customer_id,
            due=instant(row.asked_at),
            token=row.token_serial,
            certificate_sha256=row.certificate_sha256,
        )
        for row in rows
    ]
