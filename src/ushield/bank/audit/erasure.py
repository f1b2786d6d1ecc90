"""Forgetting a person without breaking the log.

Entries keep their digests, whose salts are gone: nothing can be guessed back from them. Challenges
keep that they were accepted, and lose what was signed. A database's files may keep old pages for a
while: SQLite is told to overwrite them, PostgreSQL does it when it vacuums; backups are kept or
destroyed by whoever made them.
"""

from __future__ import annotations

from sqlalchemy import Connection, Select, delete, func, select, update

from ushield.bank.audit.entries import AuditEvent, Decision, record
from ushield.bank.authorities.protocol import RevocationReason
from ushield.bank.challenge_records import ChallengeState
from ushield.bank.customers import check_customer
from ushield.bank.lifecycle.revocation_queue import queue_revocations
from ushield.bank.store.tables import (
    attestation,
    audit_entry,
    ca_certificate,
    ca_transaction,
    certificate,
    challenge,
    customer,
    endorsement,
    enrolment,
    proposal,
    spending,
    token,
)
from ushield.errors import InputInvalid

__all__ = ["erase_certificate", "erase_customer"]

_ERASED = b""


def erase_customer(connection: Connection, customer_id: str, at: int) -> int:
    """Erase what tells about a customer; how many entries of the log lost their bodies.

    Gone are the name, the people who have tokens, what was paid and proposed, the bodies of
    entries, the messages and signatures of challenges, the certificates, and what was asked and
    attested for them. What stays are random ids, digests, instants, and the customer's id, which
    the bank should have chosen to say nothing.

    `CustomerUnknown`; `InputInvalid` if a challenge is live. The certificates are revoked by it.
    """
    check_customer(connection, customer_id)
    mine = challenge.c.customer_id == customer_id
    live = connection.execute(
        select(func.count())
        .select_from(challenge)
        .where(mine, challenge.c.state == ChallengeState.ISSUED.value, challenge.c.expires_at > at)
    ).scalar_one()
    if live:
        raise InputInvalid(f"{live} challenges of {customer_id} are live: withdraw them first")
    connection.execute(update(customer).where(customer.c.id == customer_id).values(name=None))
    connection.execute(
        update(challenge).where(mine).values(message=None, signature=None, order_key=None)
    )
    proposals = select(challenge.c.id).where(mine)
    for table in (endorsement, proposal):
        connection.execute(delete(table).where(table.c.challenge_id.in_(proposals)))
    connection.execute(delete(spending).where(spending.c.customer_id == customer_id))
    serials = select(token.c.serial).where(token.c.customer_id == customer_id)
    _erase_at_the_ca(connection, serials)
    _erase_orders(connection, customer_id, at)
    connection.execute(
        update(certificate)
        .where(certificate.c.token_serial.in_(serials))
        .values(der=_ERASED, state="revoked", changed_at=at, not_after=None)
    )
    _erase_enrolments(connection, customer_id, at)
    connection.execute(
        update(token)
        .where(token.c.customer_id == customer_id)
        .values(revision=token.c.revision + 1, person=None, checks=0)
    )
    erased = connection.execute(
        update(audit_entry)
        .where(audit_entry.c.customer_id == customer_id)
        .values(salt=None, body=None, customer_id=None)
    ).rowcount
    record(connection, [Decision(at, AuditEvent.ERASED, facts={"entries": erased})])
    return erased


def erase_certificate(connection: Connection, sha256: bytes) -> None:
    """Erase one certificate that came when its customer was erased already."""
    this = certificate.c.sha256 == sha256
    connection.execute(
        update(ca_transaction)
        .where(ca_transaction.c.certificate.in_(select(certificate.c.der).where(this)))
        .values(certificate=_ERASED)
    )
    for table in (ca_certificate, certificate):
        connection.execute(update(table).where(table.c.sha256 == sha256).values(der=_ERASED))


def _erase_at_the_ca(connection: Connection, serials: Select[tuple[str]]) -> None:
    """A CA keeps numbers, digests and dates: they revoke, and name nobody."""
    theirs = certificate.c.token_serial.in_(serials)
    connection.execute(
        update(ca_certificate)
        .where(ca_certificate.c.sha256.in_(select(certificate.c.sha256).where(theirs)))
        .values(der=_ERASED)
    )
    connection.execute(
        update(ca_transaction)
        .where(ca_transaction.c.certificate.in_(select(certificate.c.der).where(theirs)))
        .values(certificate=_ERASED)
    )


def _erase_orders(connection: Connection, customer_id: str, at: int) -> None:
    """What a CA issued, and no process lived to enrol: nobody is to have it."""
    orders = select(enrolment.c.transaction_id).where(
        enrolment.c.customer_id == customer_id, enrolment.c.transaction_id.is_not(None)
    )
    connection.execute(
        update(ca_certificate)
        .where(
            ca_certificate.c.transaction_id.in_(orders),
            ca_certificate.c.sha256.not_in(select(certificate.c.sha256)),
        )
        .values(
            der=_ERASED,
            revoked_at=func.coalesce(ca_certificate.c.revoked_at, at),
            reason=func.coalesce(
                ca_certificate.c.reason, RevocationReason.CESSATION_OF_OPERATION.value
            ),
        )
    )
    connection.execute(
        update(ca_transaction)
        .where(ca_transaction.c.id.in_(orders), ca_transaction.c.certificate.is_not(None))
        .values(certificate=_ERASED)
    )


def _erase_enrolments(connection: Connection, customer_id: str, at: int) -> None:
    mine = enrolment.c.customer_id == customer_id
    connection.execute(
        update(enrolment)
        .where(mine, enrolment.c.state.in_(("registered", "requested")))
        .values(state="void", changed_at=at)
    )
    connection.execute(
        update(enrolment)
        .where(mine)
        .values(
            code_digest=None,
            request=None,
            key_digest=None,
            attestation=None,
            device=None,
            subject=None,
        )
    )
    serials = select(token.c.serial).where(token.c.customer_id == customer_id)
    theirs = select(certificate.c.sha256).where(certificate.c.token_serial.in_(serials))
    connection.execute(delete(attestation).where(attestation.c.certificate_sha256.in_(theirs)))
    queue_revocations(
        connection,
        connection.execute(theirs).scalars().all(),
        RevocationReason.CESSATION_OF_OPERATION,
        at,
    )
