"""Customers, their tokens, and the certificates enrolled for them.

A token belongs to one customer, a certificate to one token. Whatever changes how a token or one of
its certificates stands counts the token's revision up, so that an acceptance that read the old
standing does not get through.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from sqlalchemy import Connection, Row, Table, select, update

from ushield.bank.audit.entries import AuditEvent, Decision, record
from ushield.bank.authorities.protocol import RevocationReason
from ushield.bank.errors import (
    CertificateUnknown,
    CustomerUnknown,
    DuplicateEntry,
    TokenUnknown,
)
from ushield.bank.lifecycle.revocation_queue import queue_revocations
from ushield.bank.moments import instant, microseconds
from ushield.bank.store.statements import insert_unless_there
from ushield.bank.store.store import Conflict
from ushield.bank.store.tables import certificate, customer, token
from ushield.errors import CertificateInvalid, InputInvalid

__all__ = [
    "ID",
    "CertificateState",
    "EnrolledCertificate",
    "TokenRecord",
    "TokenState",
    "add_customer",
    "change_certificate",
    "check_customer",
    "check_serial",
    "enrol_certificate",
    "find_certificate",
    "find_token",
    "find_tokens",
    "keep_revoked",
    "report_loss",
    "report_pin_change",
]

ID = re.compile(r"[0-9A-Za-z._-]{1,64}")
"""What ids of customers and people look like."""


class TokenState(StrEnum):
    """How a token stands; one that was lost never comes back."""

    ACTIVE = "active"
    LOST = "lost"


class CertificateState(StrEnum):
    """How an enrolled certificate stands; one that was revoked never comes back."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class TokenRecord:
    """What the bank knows of a token.

    ``counter`` is the highest signature counter accepted from it, ``alarms`` how often a signature
    came with one that had been passed already, or a challenge to unblock it did, the last time at
    ``alarmed_at``. ``person`` of the
    customer has it, and with ``checks`` may check payments; ``None`` is the customer.
    """

    serial: str
    customer_id: str
    state: TokenState
    counter: int
    changed_at: datetime
    alarms: int
    alarmed_at: datetime | None
    person: str | None = None
    checks: bool = False


@dataclass(frozen=True, slots=True)
class EnrolledCertificate:
    """A certificate (DER) the bank takes signatures by, and whose it is.

    ``sha256`` is over the DER (32 bytes), ``serial_number`` the issuer's, in hexadecimal.
    """

    sha256: bytes
    der: bytes
    serial_number: str
    token_serial: str
    customer_id: str
    state: CertificateState
    changed_at: datetime


_EVENTS = {
    CertificateState.ACTIVE: AuditEvent.CERTIFICATE_RESUMED,
    CertificateState.SUSPENDED: AuditEvent.CERTIFICATE_SUSPENDED,
    CertificateState.REVOKED: AuditEvent.CERTIFICATE_REVOKED,
}


def add_customer(
    connection: Connection,
    customer_id: str,
    name: str | None,
    at: int,
    *,
    profile: str | None = None,
) -> None:
    """Register a customer; nothing happens if that was done before with the same facts.

    `InputInvalid` for an id other than 1 to 64 of A-Z a-z 0-9 . _ -, `DuplicateEntry` if it has
    another name or profile.
    """
    if ID.fullmatch(customer_id) is None:
        raise InputInvalid("a customer's id: 1 to 64 of A-Z a-z 0-9 . _ -")
    found = connection.execute(
        select(customer.c.name, customer.c.profile).where(customer.c.id == customer_id)
    ).first()
    if found is not None:
        if found.name != name:
            raise DuplicateEntry(f"customer {customer_id} is registered, by another name")
        if found.profile != profile:
            raise DuplicateEntry(f"customer {customer_id} is registered, with another profile")
        return
    if profile is not None and not 1 <= len(profile) <= 64:
        raise InputInvalid("a profile's name has 1 to 64 characters")
    _insert(connection, customer, id=customer_id, name=name, profile=profile, created_at=at)
    facts: dict[str, str | int | None] = {"name": name}
    if profile is not None:
        facts["profile"] = profile
    record(
        connection,
        [Decision(at, AuditEvent.CUSTOMER_ADDED, customer_id=customer_id, facts=facts)],
    )


def check_customer(connection: Connection, customer_id: str) -> None:
    """`CustomerUnknown` unless the bank has this customer."""
    known = select(customer.c.id).where(customer.c.id == customer_id)
    if connection.execute(known).first() is None:
        raise CustomerUnknown(f"there is no customer {customer_id}")


def enrol_certificate(
    connection: Connection, customer_id: str, der: bytes, token_serial: str, at: int
) -> EnrolledCertificate:
    """Take signatures by the certificate ``der`` of the token ``token_serial`` from now on.

    Nothing happens if that was done before. `CustomerUnknown`, `CertificateInvalid`;
    `DuplicateEntry` if certificate or token is another's, or the token was reported lost.
    """
    try:
        loaded = x509.load_der_x509_certificate(der)
    except ValueError as error:
        raise CertificateInvalid("the certificate cannot be read") from error
    check_serial(token_serial)
    sha256 = hashlib.sha256(der).digest()
    check_customer(connection, customer_id)
    _register_token(connection, customer_id, token_serial, at)
    known = connection.execute(
        select(certificate.c.token_serial).where(certificate.c.sha256 == sha256)
    ).first()
    if known is None:
        _keep(connection, loaded, token_serial, CertificateState.ACTIVE, at)
        facts = {"certificate_sha256": sha256.hex(), "token": token_serial}
        record(
            connection,
            [Decision(at, AuditEvent.CERTIFICATE_ENROLLED, customer_id=customer_id, facts=facts)],
        )
    elif known.token_serial != token_serial:
        raise DuplicateEntry("the certificate is enrolled for another token")
    return find_certificate(connection, sha256)


def keep_revoked(connection: Connection, der: bytes, token_serial: str, at: int) -> None:
    """Keep a certificate that came too late, when its token was lost already, as revoked."""
    loaded = x509.load_der_x509_certificate(der)
    _keep(connection, loaded, token_serial, CertificateState.REVOKED, at)


def _keep(
    connection: Connection,
    loaded: x509.Certificate,
    token_serial: str,
    state: CertificateState,
    at: int,
) -> None:
    der = loaded.public_bytes(Encoding.DER)
    _insert(
        connection,
        certificate,
        sha256=hashlib.sha256(der).digest(),
        der=der,
        serial_number=f"{loaded.serial_number:x}",
        token_serial=token_serial,
        state=state.value,
        changed_at=at,
        enrolled_at=at,
        not_after=microseconds(loaded.not_valid_after_utc),
    )


def _insert(connection: Connection, table: Table, **values: Any) -> None:
    """Insert a row that was not there; `Conflict` if another process was quicker."""
    if not insert_unless_there(connection, table, **values):
        raise Conflict


def check_serial(token_serial: str) -> None:
    """`InputInvalid` for what is no token's serial number: 1 to 64 characters."""
    if not 1 <= len(token_serial) <= 64:
        raise InputInvalid("a token's serial number has 1 to 64 characters")


def _register_token(connection: Connection, customer_id: str, serial: str, at: int) -> None:
    found = connection.execute(select(token).where(token.c.serial == serial)).first()
    if found is None:
        _insert(
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
    elif found.customer_id != customer_id:
        raise DuplicateEntry(f"token {serial} is another customer's")
    elif found.state != TokenState.ACTIVE:
        raise DuplicateEntry(f"token {serial} was reported lost")


def report_loss(connection: Connection, serial: str, at: int) -> TokenRecord:
    """Take no signature of this token any more, from this transaction on; `TokenUnknown`.

    The CA is to revoke its certificates, once it can be reached. Nothing happens if the token was
    reported before.
    """
    changed = connection.execute(
        update(token)
        .where(token.c.serial == serial, token.c.state == TokenState.ACTIVE.value)
        .values(state=TokenState.LOST.value, revision=token.c.revision + 1, changed_at=at)
    ).rowcount
    found = find_token(connection, serial)
    if changed:
        good = select(certificate.c.sha256).where(
            certificate.c.token_serial == serial,
            certificate.c.state != CertificateState.REVOKED.value,
        )
        queue_revocations(
            connection,
            connection.execute(good).scalars().all(),
            RevocationReason.KEY_COMPROMISE,
            at,
        )
        record(
            connection,
            [
                Decision(
                    at,
                    AuditEvent.TOKEN_LOST,
                    customer_id=found.customer_id,
                    facts={"token": serial},
                )
            ],
        )
    return found


def report_pin_change(connection: Connection, serial: str, at: int) -> TokenRecord:
    """Note when a token's PIN was changed; `TokenUnknown`."""
    connection.execute(update(token).where(token.c.serial == serial).values(pin_changed_at=at))
    found = find_token(connection, serial)
    decision = Decision(
        at, AuditEvent.PIN_CHANGED, customer_id=found.customer_id, facts={"token": serial}
    )
    record(connection, [decision])
    return found


def change_certificate(
    connection: Connection,
    sha256: bytes,
    state: CertificateState,
    at: int,
    reason: RevocationReason = RevocationReason.UNSPECIFIED,
) -> EnrolledCertificate:
    """Suspend a certificate, resume it, or revoke it for good, from this transaction on.

    The CA is to revoke it, too, for ``reason``; a suspension stays between the bank and itself.
    `CertificateUnknown`; `InputInvalid` if it was revoked and should not be any more.
    """
    before = find_certificate(connection, sha256)
    # The token's row is changed first and stays locked: no acceptance passes in between.
    connection.execute(
        update(token)
        .where(token.c.serial == before.token_serial)
        .values(revision=token.c.revision + 1)
    )
    before = find_certificate(connection, sha256)
    if before.state is state:
        return before
    if before.state is CertificateState.REVOKED:
        raise InputInvalid("the certificate was revoked, which is for good")
    connection.execute(
        update(certificate)
        .where(certificate.c.sha256 == sha256)
        .values(state=state.value, changed_at=at)
    )
    facts = {"certificate_sha256": sha256.hex(), "token": before.token_serial}
    if state is CertificateState.REVOKED:
        queue_revocations(connection, [sha256], reason, at)
        facts["reason"] = reason.value
    record(connection, [Decision(at, _EVENTS[state], customer_id=before.customer_id, facts=facts)])
    return find_certificate(connection, sha256)


def find_token(connection: Connection, serial: str) -> TokenRecord:
    """What is known of a token; `TokenUnknown`."""
    row = connection.execute(select(token).where(token.c.serial == serial)).first()
    if row is None:
        raise TokenUnknown(f"there is no token {serial}")
    return _read_token(row)


def find_tokens(connection: Connection, customer_id: str) -> list[TokenRecord]:
    """All tokens a customer ever had."""
    rows = connection.execute(
        select(token).where(token.c.customer_id == customer_id).order_by(token.c.serial)
    )
    return [_read_token(row) for row in rows]


def _read_token(row: Row[Any]) -> TokenRecord:
    return TokenRecord(
        serial=row.serial,
        customer_id=row.customer_id,
        state=TokenState(row.state),
        counter=row.counter,
        changed_at=instant(row.changed_at),
        alarms=row.alarms,
        alarmed_at=None if row.alarmed_at is None else instant(row.alarmed_at),
        person=row.person,
        checks=bool(row.checks),
    )


def find_certificate(connection: Connection, sha256: bytes) -> EnrolledCertificate:
    """An enrolled certificate; `CertificateUnknown`."""
    row = connection.execute(
        select(certificate, token.c.customer_id)
        .join(token, token.c.serial == certificate.c.token_serial)
        .where(certificate.c.sha256 == sha256)
    ).first()
    if row is None:
        raise CertificateUnknown(f"no certificate is enrolled with the digest {sha256.hex()}")
    return EnrolledCertificate(
        sha256=row.sha256,
        der=row.der,
        serial_number=row.serial_number,
        token_serial=row.token_serial,
        customer_id=row.customer_id,
        state=CertificateState(row.state),
        changed_at=instant(row.changed_at),
    )
