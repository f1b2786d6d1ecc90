"""From a recorded request to a certificate in use: what the CA said, and what the token has."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Row, select, update

from ushield.bank.attestation import EnrolledAttestation
from ushield.bank.audit.entries import AuditEvent
from ushield.bank.audit.erasure import erase_certificate
from ushield.bank.authorities.protocol import (
    CertificateProfile,
    RevocationReason,
    new_transaction_id,
)
from ushield.bank.customers import (
    CertificateState,
    TokenState,
    change_certificate,
    enrol_certificate,
    keep_revoked,
)
from ushield.bank.lifecycle.attestations import keep_attestation
from ushield.bank.lifecycle.records import Enrolment, EnrolmentState, find_enrolment
from ushield.bank.lifecycle.refusals import (
    EnrolmentReason,
    EnrolmentRefused,
    EnrolmentSettled,
)
from ushield.bank.lifecycle.registering import profile_of
from ushield.bank.lifecycle.revocation_queue import queue_revocations
from ushield.bank.lifecycle.steps import record_step, settled
from ushield.bank.store.store import Conflict
from ushield.bank.store.tables import certificate, enrolment, token
from ushield.errors import InputInvalid

if TYPE_CHECKING:
    from ushield.bank.authorities.protocol import CertificateAuthority

__all__ = [
    "Order",
    "check_renewed",
    "confirm",
    "read_order",
    "record_issued",
    "record_refused",
    "renew_order",
]


@dataclass(frozen=True, slots=True)
class Order:
    """What the CA is asked for, as the database has it: the same each time it is asked.

    ``key_digest`` is the SHA-256 of the key (SubjectPublicKeyInfo), ``renews`` the certificate
    (DER) that a renewal follows.
    """

    request: bytes
    key_digest: bytes
    profile: CertificateProfile
    transaction_id: bytes
    renews: bytes | None

    def place(self, authority: CertificateAuthority) -> bytes:
        """The certificate (DER); what `CertificateAuthority.issue` and ``renew`` raise."""
        if self.renews is None:
            return authority.issue(self.request, self.profile, transaction_id=self.transaction_id)
        return authority.renew(
            self.request,
            self.profile,
            certificate=self.renews,
            transaction_id=self.transaction_id,
        )


def read_order(connection: Connection, identifier: str) -> Order | None:
    """The order of an enrolment that waits for the CA, if it does."""
    row = connection.execute(
        select(enrolment, certificate.c.der)
        .join(certificate, certificate.c.sha256 == enrolment.c.renews, isouter=True)
        .where(enrolment.c.id == identifier, enrolment.c.state == EnrolmentState.REQUESTED.value)
    ).first()
    if row is None:
        return None
    profile = profile_of(row.subject, timedelta(seconds=row.validity))
    return Order(row.request, row.key_digest, profile, bytes.fromhex(row.transaction_id), row.der)


def renew_order(connection: Connection, identifier: str, at: int) -> None:
    """Ask the CA by a new transaction from now on; `EnrolmentSettled` if it is not to be asked."""
    changed = connection.execute(
        update(enrolment)
        .where(enrolment.c.id == identifier, enrolment.c.state == EnrolmentState.REQUESTED.value)
        .values(transaction_id=new_transaction_id().hex(), changed_at=at)
    ).rowcount
    found = find_enrolment(connection, identifier, at)
    if not changed:
        raise settled(found)
    record_step(connection, AuditEvent.ENROLMENT_REPEATED, found, at)


def record_issued(
    connection: Connection, identifier: str, der: bytes, chain: str, at: int
) -> Enrolment | EnrolmentRefused | EnrolmentSettled:
    """Take signatures by the certificate ``der`` from now on; ``chain`` is PEM.

    If another process was quicker, what it recorded stands. If the token was lost since it was
    requested, or the certificate that is renewed is not good any more, no signature is taken by
    the new one. Whatever is not taken, the CA is to revoke.
    """
    row = connection.execute(
        select(enrolment).where(enrolment.c.id == identifier).with_for_update()
    ).one()
    # Its row stays locked: neither a loss nor a revocation passes in between.
    standing = connection.execute(
        select(token.c.state).where(token.c.serial == row.token_serial).with_for_update()
    ).scalar_one()
    sha256 = hashlib.sha256(der).digest()
    found = find_enrolment(connection, identifier, at)
    late: EnrolmentRefused | None = None
    if standing != TokenState.ACTIVE:
        late = EnrolmentRefused(
            f"token {found.token} was reported lost", reason=EnrolmentReason.TOKEN_LOST
        )
    elif row.renews is not None:
        late = check_renewed(connection, row.renews)
    if row.state != EnrolmentState.REQUESTED:
        if row.certificate_sha256 != sha256:
            _discard(connection, row, der, at)
        return found if found.certificate is not None else late or settled(found)
    if late is not None:
        _discard(connection, row, der, at)
        _move(connection, identifier, EnrolmentState.VOID, at)
        record_step(connection, AuditEvent.ENROLMENT_VOID, found, at, reason=late.reason.value)
        return late
    enrol_certificate(connection, row.customer_id, der, row.token_serial, at)
    keep_attestation(connection, sha256, EnrolledAttestation(row.attestation, row.device))
    _move(connection, identifier, EnrolmentState.ISSUED, at, sha256=sha256, chain=chain)
    found = find_enrolment(connection, identifier, at)
    record_step(connection, AuditEvent.ENROLMENT_ISSUED, found, at)
    return found


def check_renewed(connection: Connection, sha256: bytes) -> EnrolmentRefused | None:
    """Why the certificate of this SHA-256 may not be followed by another one, if it may not.

    Its token's row is locked by whoever asks.
    """
    standing = connection.execute(
        select(certificate.c.state).where(certificate.c.sha256 == sha256)
    ).scalar_one()
    if standing == CertificateState.ACTIVE:
        return None
    return EnrolmentRefused(
        f"the certificate is {standing}", reason=EnrolmentReason.CERTIFICATE_NOT_ACTIVE
    )


def _discard(connection: Connection, row: Row[Any], der: bytes, at: int) -> None:
    """Have a certificate revoked that nobody is to use; once is enough."""
    sha256 = hashlib.sha256(der).digest()
    known = select(certificate.c.sha256).where(certificate.c.sha256 == sha256)
    if connection.execute(known).first() is not None:
        return
    keep_revoked(connection, der, row.token_serial, at)
    queue_revocations(connection, [sha256], RevocationReason.CESSATION_OF_OPERATION, at)
    if row.subject is None:
        # The customer was erased meanwhile.
        erase_certificate(connection, sha256)


def record_refused(connection: Connection, identifier: str, code: str, at: int) -> Enrolment:
    """Close an enrolment that the CA refused, with the error's ``code``."""
    row = connection.execute(
        select(enrolment.c.state).where(enrolment.c.id == identifier).with_for_update()
    ).one()
    if row.state == EnrolmentState.REQUESTED:
        _move(connection, identifier, EnrolmentState.REFUSED, at)
        found = find_enrolment(connection, identifier, at)
        record_step(connection, AuditEvent.ENROLMENT_REFUSED, found, at, reason=code)
    return find_enrolment(connection, identifier, at)


def confirm(connection: Connection, identifier: str, sha256: bytes, at: int) -> Enrolment:
    """Note that the certificate is on the token; what it follows is revoked now.

    Nothing happens if that was done before. `EnrolmentUnknown`; `EnrolmentSettled` if no
    certificate was issued; `InputInvalid` for another certificate than was issued.
    """
    found = find_enrolment(connection, identifier, at)
    if found.state not in (EnrolmentState.ISSUED, EnrolmentState.CONFIRMED):
        raise settled(found)
    if found.certificate_sha256 != sha256:
        raise InputInvalid("that is not the certificate that was issued")
    if found.state is EnrolmentState.CONFIRMED:
        return found
    changed = connection.execute(
        update(enrolment)
        .where(enrolment.c.id == identifier, enrolment.c.state == EnrolmentState.ISSUED.value)
        .values(state=EnrolmentState.CONFIRMED.value, changed_at=at)
    ).rowcount
    if changed != 1:
        raise Conflict
    record_step(connection, AuditEvent.ENROLMENT_CONFIRMED, found, at)
    for old in _superseded(connection, found):
        change_certificate(
            connection, old, CertificateState.REVOKED, at, RevocationReason.SUPERSEDED
        )
    return find_enrolment(connection, identifier, at)


def _superseded(connection: Connection, found: Enrolment) -> list[bytes]:
    query = select(certificate.c.sha256).where(
        certificate.c.state != CertificateState.REVOKED.value
    )
    if found.renews is not None:
        query = query.where(certificate.c.sha256 == found.renews)
    elif found.replaces is not None:
        query = query.where(certificate.c.token_serial == found.replaces)
    else:
        return []
    return list(connection.execute(query.order_by(certificate.c.sha256)).scalars())


def _move(
    connection: Connection,
    identifier: str,
    state: EnrolmentState,
    at: int,
    *,
    sha256: bytes | None = None,
    chain: str | None = None,
) -> None:
    changed = connection.execute(
        update(enrolment)
        .where(enrolment.c.id == identifier, enrolment.c.state == EnrolmentState.REQUESTED.value)
        .values(state=state.value, certificate_sha256=sha256, chain=chain, changed_at=at)
    ).rowcount
    if changed != 1:
        raise Conflict
