"""The steps of an enrolment, each in the transaction that it is given.

What the bank refuses is returned, not raised, so that the log keeps it.
"""

from __future__ import annotations

import hmac
import secrets
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, Row, case, insert, select, update

from ushield.bank.audit.entries import AuditEvent, Decision, record
from ushield.bank.authorities.protocol import CertificateProfile, new_transaction_id
from ushield.bank.customers import TokenState, check_customer, check_serial, find_token
from ushield.bank.lifecycle.codes import RegistrationCode
from ushield.bank.lifecycle.key_request import KeyRequest
from ushield.bank.lifecycle.policy import EnrolmentPolicy
from ushield.bank.lifecycle.records import Enrolment, EnrolmentState, find_enrolment
from ushield.bank.lifecycle.refusals import (
    CodeReason,
    EnrolmentReason,
    EnrolmentRefused,
    RegistrationCodeRefused,
)
from ushield.bank.lifecycle.steps import record_step, settled
from ushield.bank.moments import microseconds_of
from ushield.bank.store.statements import insert_unless_there
from ushield.bank.store.store import Conflict
from ushield.bank.store.tables import customer, enrolment, token
from ushield.errors import InputInvalid

__all__ = [
    "check_token",
    "profile_of",
    "record_request",
    "register",
    "registered_salt",
    "request_values",
    "withdraw",
]

_UNKNOWN_SALT = bytes(16)


def register(
    connection: Connection,
    customer_id: str,
    code: RegistrationCode,
    policy: EnrolmentPolicy,
    at: int,
    *,
    salt: bytes,
    digest: bytes,
    serial: str | None,
    replaces: str | None,
) -> Enrolment:
    """Let whoever shows ``code`` enrol a token for a customer; ``digest`` is the code's.

    ``serial`` is the token it must be, ``replaces`` the one whose place it takes, which stays what
    it is until the new one is confirmed. `CustomerUnknown`, `TokenUnknown`; `InputInvalid` if
    ``replaces`` is not the customer's.
    """
    check_customer(connection, customer_id)
    if serial is not None:
        check_serial(serial)
    if replaces is not None and find_token(connection, replaces).customer_id != customer_id:
        raise InputInvalid(f"token {replaces} is not {customer_id}'s")
    if replaces is not None and replaces == serial:
        raise InputInvalid("a token does not take its own place; renew its certificate")
    identifier = secrets.token_hex(16)
    connection.execute(
        insert(enrolment).values(
            id=identifier,
            customer_id=customer_id,
            state=EnrolmentState.REGISTERED.value,
            locator=code.locator,
            code_salt=salt,
            code_digest=digest,
            tries_left=policy.tries,
            token_serial=serial,
            replaces=replaces,
            registered_at=at,
            expires_at=at + microseconds_of(policy.registration),
            changed_at=at,
        )
    )
    facts = {"enrolment": identifier, "token": serial, "replaces": replaces}
    record(
        connection,
        [Decision(at, AuditEvent.ENROLMENT_REGISTERED, customer_id=customer_id, facts=facts)],
    )
    return find_enrolment(connection, identifier, at)


def withdraw(connection: Connection, identifier: str, at: int) -> Enrolment:
    """Let nobody enrol by this registration any more.

    `EnrolmentUnknown`; `EnrolmentSettled` if it was used, or is over.
    """
    changed = connection.execute(
        update(enrolment)
        .where(enrolment.c.id == identifier, enrolment.c.state == EnrolmentState.REGISTERED.value)
        .values(state=EnrolmentState.VOID.value, changed_at=at)
    ).rowcount
    found = find_enrolment(connection, identifier, at)
    if not changed:
        raise settled(found)
    record_step(connection, AuditEvent.ENROLMENT_VOID, found, at, reason="withdrawn")
    return found


def registered_salt(connection: Connection, locator: str) -> bytes:
    """The salt of the registration there, or some other, so that both take the same time."""
    found: bytes | None = connection.execute(
        select(enrolment.c.code_salt).where(enrolment.c.locator == locator)
    ).scalar()
    return found or _UNKNOWN_SALT


def record_request(
    connection: Connection,
    code: RegistrationCode,
    asked: KeyRequest,
    policy: EnrolmentPolicy,
    at: int,
    *,
    digest: bytes,
) -> Enrolment | RegistrationCodeRefused | EnrolmentRefused:
    """Use a code up for the key that is asked for; ``digest`` is the code's, with its salt.

    Asked again for the same key, the enrolment is returned as it stands. A wrong code costs one of
    the registration's tries; a token that may not be enrolled costs nothing.
    """
    row = connection.execute(
        select(enrolment, customer.c.name)
        .join(customer, customer.c.id == enrolment.c.customer_id)
        .where(enrolment.c.locator == code.locator)
        .with_for_update(of=enrolment)
    ).first()
    if row is None or not hmac.compare_digest(row.code_digest or b"", digest):
        return _wrong_code(connection, row, at)
    used = row.key_digest is not None
    if used and row.key_digest == asked.key_digest and row.state not in _OVER:
        return find_enrolment(connection, row.id, at)
    reason = _code_reason(row, at)
    refusal: RegistrationCodeRefused | EnrolmentRefused | None
    if reason is not None:
        refusal = RegistrationCodeRefused(f"the registration code is {reason}", reason=reason)
    else:
        refusal = check_token(connection, row.customer_id, row.token_serial, asked, at)
    if refusal is not None:
        _record_refusal(connection, refusal, row, asked, at)
        return refusal
    changed = connection.execute(
        update(enrolment)
        .where(
            enrolment.c.id == row.id,
            enrolment.c.state == EnrolmentState.REGISTERED.value,
            enrolment.c.code_digest == digest,
            enrolment.c.expires_at > at,
        )
        .values(
            state=EnrolmentState.REQUESTED.value,
            changed_at=at,
            **request_values(asked, policy, row.customer_id, row.name),
        )
    ).rowcount
    if changed != 1:
        raise Conflict
    found = find_enrolment(connection, row.id, at)
    record_step(
        connection, AuditEvent.ENROLMENT_REQUESTED, found, at, key_sha256=asked.key_digest.hex()
    )
    return found


def request_values(
    asked: KeyRequest, policy: EnrolmentPolicy, customer_id: str, name: str | None
) -> dict[str, Any]:
    """What an enrolment keeps of a request, and the order at the CA that follows from it.

    `InputInvalid` for a subject that the policy made and no certificate can have.
    """
    subject = policy.subject(customer_id, name).rfc4514_string()
    profile_of(subject, policy.validity)
    return {
        "token_serial": asked.attestation.serial,
        "request": asked.request,
        "key_digest": asked.key_digest,
        "attestation": asked.enrolled.certificate,
        "device": asked.enrolled.device,
        "subject": subject,
        "validity": int(policy.validity.total_seconds()),
        "transaction_id": new_transaction_id().hex(),
    }


def profile_of(subject: str, validity: timedelta) -> CertificateProfile:
    """What is asked for, of a subject as the database has it (RFC 4514); `InputInvalid`."""
    from cryptography import x509

    try:
        return CertificateProfile(subject=x509.Name.from_rfc4514_string(subject), validity=validity)
    except ValueError as error:
        raise InputInvalid("a subject that no certificate can have") from error


def check_token(
    connection: Connection,
    customer_id: str,
    expected: str | None,
    asked: KeyRequest,
    at: int,
) -> EnrolmentRefused | None:
    """Make the attested token the customer's, unless something is against it.

    Its row stays locked, so that no report of loss passes in between.
    """
    serial = asked.attestation.serial
    if expected is not None and expected != serial:
        return EnrolmentRefused(
            f"the key was made on {serial}, and {expected} is due",
            reason=EnrolmentReason.TOKEN_MISMATCH,
        )
    insert_unless_there(
        connection,
        token,
        serial=serial,
        customer_id=customer_id,
        state=TokenState.ACTIVE.value,
        counter=0,
        revision=0,
        changed_at=at,
        alarms=0,
        pin_changed_at=at,
    )
    found = connection.execute(
        select(token.c.customer_id, token.c.state).where(token.c.serial == serial).with_for_update()
    ).one()
    if found.customer_id != customer_id:
        return EnrolmentRefused(
            f"token {serial} is another customer's", reason=EnrolmentReason.TOKEN_FOREIGN
        )
    if found.state != TokenState.ACTIVE:
        return EnrolmentRefused(
            f"token {serial} was reported lost", reason=EnrolmentReason.TOKEN_LOST
        )
    return None


_OVER = (EnrolmentState.VOID.value, EnrolmentState.REFUSED.value)


def _code_reason(row: Row[Any], at: int) -> CodeReason | None:
    if row.state in _OVER:
        return CodeReason.VOID
    if row.state != EnrolmentState.REGISTERED:
        return CodeReason.USED
    return CodeReason.EXPIRED if row.expires_at <= at else None


def _wrong_code(connection: Connection, row: Row[Any] | None, at: int) -> RegistrationCodeRefused:
    refusal = RegistrationCodeRefused("the registration code is wrong", reason=CodeReason.WRONG)
    decision = Decision(
        at,
        AuditEvent.ENROLMENT_REFUSED,
        reason=refusal.reason.value,
        customer_id=None if row is None else row.customer_id,
        facts={"enrolment": None if row is None else row.id},
    )
    record(connection, [decision])
    if row is not None and row.state == EnrolmentState.REGISTERED:
        is_last = enrolment.c.tries_left <= 1
        left = connection.execute(
            update(enrolment)
            .where(enrolment.c.id == row.id, enrolment.c.state == EnrolmentState.REGISTERED.value)
            .values(
                tries_left=enrolment.c.tries_left - 1,
                state=case((is_last, EnrolmentState.VOID.value), else_=enrolment.c.state),
                changed_at=case((is_last, at), else_=enrolment.c.changed_at),
            )
            .returning(enrolment.c.tries_left)
        ).scalar_one()
        if not left:
            found = find_enrolment(connection, row.id, at)
            record_step(connection, AuditEvent.ENROLMENT_VOID, found, at, reason="wrong-codes")
    return refusal


def _record_refusal(
    connection: Connection,
    refusal: RegistrationCodeRefused | EnrolmentRefused,
    row: Row[Any],
    asked: KeyRequest,
    at: int,
) -> None:
    facts = {"enrolment": row.id, "token": asked.attestation.serial}
    record(
        connection,
        [
            Decision(
                at,
                AuditEvent.ENROLMENT_REFUSED,
                reason=refusal.reason.value,
                customer_id=row.customer_id,
                facts=facts,
            )
        ],
    )
