"""Renewals: a new certificate, which the key of the old one authorises on the token's screen.

The customer confirms a `CertificateRenewal` that names the key to be certified, as any transaction
and by a challenge of its own. The key may be the same, or another one made on the same token.
"""

from __future__ import annotations

import secrets
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from ushield.bank.audit.entries import AuditEvent, Decision, record
from ushield.bank.challenge_records import Challenge, ChallengeState
from ushield.bank.challenges import issue_challenge
from ushield.bank.customers import TokenState
from ushield.bank.errors import CertificateUnknown, DuplicateOrder
from ushield.bank.lifecycle.issuing import check_renewed
from ushield.bank.lifecycle.key_request import KeyRequest
from ushield.bank.lifecycle.policy import EnrolmentPolicy
from ushield.bank.lifecycle.records import Enrolment, EnrolmentState, find_enrolment
from ushield.bank.lifecycle.refusals import (
    EnrolmentReason,
    EnrolmentRefused,
)
from ushield.bank.lifecycle.registering import check_token, request_values
from ushield.bank.lifecycle.steps import record_step, settled
from ushield.bank.moments import microseconds
from ushield.bank.store.store import Conflict
from ushield.bank.store.tables import certificate, challenge, customer, enrolment, token
from ushield.errors import TransactionInvalid
from ushield.transaction.model import CertificateRenewal

__all__ = ["Renewal", "authorise_renewal", "begin_renewal"]


@dataclass(frozen=True, slots=True)
class Renewal:
    """A renewal that waits for the customer: ``challenge`` is to be signed by the old key."""

    id: str
    challenge: Challenge


def begin_renewal(
    connection: Connection,
    sha256: bytes,
    asked: KeyRequest,
    policy: EnrolmentPolicy,
    *,
    now: datetime,
    lifetime: timedelta,
) -> Renewal | EnrolmentRefused:
    """Ask the customer to have the certificate of this SHA-256 followed by one for another key.

    `CertificateUnknown`. What the bank refuses is returned, so that the log keeps it.
    """
    at = microseconds(now)
    row = connection.execute(
        select(certificate, token.c.customer_id, customer.c.name)
        .join(token, token.c.serial == certificate.c.token_serial)
        .join(customer, customer.c.id == token.c.customer_id)
        .where(certificate.c.sha256 == sha256)
    ).first()
    if row is None:
        raise CertificateUnknown("no certificate is enrolled with that digest")
    refusal = _renewable(connection, row, asked, at)
    if refusal is not None:
        facts = {"certificate_sha256": sha256.hex(), "token": asked.attestation.serial}
        decision = Decision(
            at,
            AuditEvent.ENROLMENT_REFUSED,
            reason=refusal.reason.value,
            customer_id=row.customer_id,
            facts=facts,
        )
        record(connection, [decision])
        return refusal
    issued = issue_challenge(
        connection,
        _transaction(row.customer_id, row.name, asked.key_digest),
        row.customer_id,
        now=now,
        lifetime=lifetime,
        repeat=False,
    )
    if isinstance(issued, DuplicateOrder):
        raise Conflict
    identifier = secrets.token_hex(16)
    connection.execute(
        insert(enrolment).values(
            id=identifier,
            customer_id=row.customer_id,
            state=EnrolmentState.REGISTERED.value,
            tries_left=0,
            renews=sha256,
            challenge_id=issued.id,
            registered_at=at,
            expires_at=microseconds(issued.expires_at),
            changed_at=at,
            **request_values(asked, policy, row.customer_id, row.name),
        )
    )
    found = find_enrolment(connection, identifier, at)
    record_step(connection, AuditEvent.ENROLMENT_REGISTERED, found, at)
    return Renewal(identifier, issued)


def authorise_renewal(
    connection: Connection, identifier: str, at: int
) -> Enrolment | EnrolmentRefused:
    """Let the CA be asked, if the old certificate's key has signed the renewal's challenge.

    Nothing happens if that was done before. `EnrolmentUnknown`; `EnrolmentSettled` if it is no
    renewal, or is over.
    """
    found = find_enrolment(connection, identifier, at)
    if found.challenge is None or found.state in (EnrolmentState.VOID, EnrolmentState.REFUSED):
        raise settled(found)
    if found.state not in (EnrolmentState.REGISTERED, EnrolmentState.EXPIRED):
        return found
    signed = connection.execute(
        select(challenge.c.state, challenge.c.certificate_sha256).where(
            challenge.c.id == found.challenge
        )
    ).one()
    if signed.state != ChallengeState.CONSUMED or signed.certificate_sha256 != found.renews:
        return _refused(
            connection,
            found,
            EnrolmentRefused(
                "the old certificate's key has not signed the renewal",
                reason=EnrolmentReason.NOT_AUTHORISED,
            ),
            at,
        )
    # First the token, whose row is locked by that.
    refusal = _lost(connection, found) or check_renewed(connection, signed.certificate_sha256)
    if refusal is not None:
        return _refused(connection, found, refusal, at)
    changed = connection.execute(
        update(enrolment)
        .where(enrolment.c.id == identifier, enrolment.c.state == EnrolmentState.REGISTERED.value)
        .values(state=EnrolmentState.REQUESTED.value, changed_at=at)
    ).rowcount
    if changed != 1:
        raise Conflict
    record_step(connection, AuditEvent.ENROLMENT_REQUESTED, found, at)
    return find_enrolment(connection, identifier, at)


def _renewable(
    connection: Connection, row: Row[Any], asked: KeyRequest, at: int
) -> EnrolmentRefused | None:
    refusal = check_token(connection, row.customer_id, row.token_serial, asked, at)
    if refusal is not None:
        return refusal
    refusal = check_renewed(connection, row.sha256)
    if refusal is not None:
        return refusal
    if row.not_after is not None and row.not_after <= at:
        return EnrolmentRefused(
            "the certificate has expired; register the customer anew",
            reason=EnrolmentReason.CERTIFICATE_EXPIRED,
        )
    return None


def _lost(connection: Connection, found: Enrolment) -> EnrolmentRefused | None:
    state = connection.execute(
        select(token.c.state).where(token.c.serial == found.token).with_for_update()
    ).scalar_one()
    if state == TokenState.ACTIVE:
        return None
    return EnrolmentRefused(
        f"token {found.token} was reported lost", reason=EnrolmentReason.TOKEN_LOST
    )


def _transaction(customer_id: str, name: str | None, key: bytes) -> CertificateRenewal:
    if name is not None:
        # A name may have what no screen shows; the id has nothing but ASCII.
        with suppress(TransactionInvalid):
            return CertificateRenewal(customer=name, key=key, challenge="draft")
    return CertificateRenewal(customer=customer_id, key=key, challenge="draft")


def _refused(
    connection: Connection, found: Enrolment, refusal: EnrolmentRefused, at: int
) -> EnrolmentRefused:
    record_step(connection, AuditEvent.ENROLMENT_REFUSED, found, at, reason=refusal.reason.value)
    return refusal
