"""What the embedded CA issued and took back, in the bank's database.

Functions take the connection of the transaction they are part of.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from sqlalchemy import ColumnElement, Connection, and_, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from ushield.bank.authorities.protocol import RevocationReason
from ushield.bank.moments import instant, microseconds
from ushield.bank.store.store import Conflict
from ushield.bank.store.tables import ca_certificate, ca_crl

__all__ = [
    "IssuedCertificate",
    "Revocation",
    "add_certificate",
    "find_by_transaction",
    "find_certificate",
    "last_crl",
    "next_crl",
    "release_certificate",
    "revoke_certificate",
    "revoked_since",
    "skip_crls",
]

_HOLD = RevocationReason.CERTIFICATE_HOLD.value


@dataclass(frozen=True, slots=True)
class Revocation:
    """That a certificate was revoked or held, when and why."""

    serial_number: int
    at: datetime
    reason: RevocationReason

    @property
    def date(self) -> datetime:
        """The first whole second that is not before it: what others are told.

        What was signed, and accepted, earlier in the same second holds for good.
        """
        whole = self.at.replace(microsecond=0)
        return whole if whole == self.at else whole + timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class IssuedCertificate:
    """A certificate of the embedded CA, and how it stands.

    ``asked`` is a digest of the order it was issued for; ``der`` is empty once the customer was
    erased.
    """

    serial_number: int
    asked: bytes
    sha256: bytes
    der: bytes
    not_after: datetime
    revocation: Revocation | None


def add_certificate(
    connection: Connection,
    authority: str,
    certificate: x509.Certificate,
    *,
    transaction_id: str,
    asked: bytes,
    at: int,
) -> None:
    """Keep what is issued; `Conflict` if another process was quicker with the transaction."""
    der = certificate.public_bytes(Encoding.DER)
    try:
        connection.execute(
            insert(ca_certificate).values(
                authority=authority,
                serial_number=_hexadecimal(certificate.serial_number),
                transaction_id=transaction_id,
                asked=asked,
                sha256=hashlib.sha256(der).digest(),
                der=der,
                issued_at=at,
                not_after=microseconds(certificate.not_valid_after_utc),
            )
        )
    except IntegrityError as error:
        raise Conflict from error


def find_by_transaction(connection: Connection, transaction_id: str) -> IssuedCertificate | None:
    """What was issued for a transaction, with whatever key the CA had then."""
    return _find(connection, ca_certificate.c.transaction_id == transaction_id)


def find_certificate(
    connection: Connection, authority: str, serial_number: int
) -> IssuedCertificate | None:
    """A certificate, if the CA issued it."""
    return _find(connection, _is(authority, serial_number))


def revoke_certificate(
    connection: Connection, authority: str, serial_number: int, reason: RevocationReason, at: int
) -> bool:
    """Revoke or hold a certificate that is good, or revoke one that is held; whether it changed."""
    row = ca_certificate.c
    allowed: ColumnElement[bool] = row.revoked_at.is_(None)
    if reason is not RevocationReason.CERTIFICATE_HOLD:
        allowed = or_(allowed, row.reason == _HOLD)
    changed: int = connection.execute(
        update(ca_certificate)
        .where(_is(authority, serial_number), allowed)
        .values(revoked_at=func.coalesce(row.revoked_at, at), reason=reason.value)
    ).rowcount
    return changed > 0


def release_certificate(connection: Connection, authority: str, serial_number: int) -> bool:
    """Take a hold back; whether there was one."""
    changed: int = connection.execute(
        update(ca_certificate)
        .where(_is(authority, serial_number), ca_certificate.c.reason == _HOLD)
        .values(revoked_at=None, reason=None)
    ).rowcount
    return changed > 0


def revoked_since(connection: Connection, authority: str, since: datetime) -> list[Revocation]:
    """The revoked certificates that had not expired at ``since``, by their serial numbers."""
    row = ca_certificate.c
    found = connection.execute(
        select(row.serial_number, row.revoked_at, row.reason)
        .where(
            row.authority == authority,
            row.revoked_at.is_not(None),
            row.not_after >= microseconds(since),
        )
        .order_by(row.serial_number)
    )
    return [_revocation(each) for each in found]


def next_crl(connection: Connection, authority: str, at: datetime) -> tuple[int, datetime]:
    """The number of a new CRL, and when the one before it was made (``at`` if there was none)."""
    row = ca_crl.c
    values = {"number": row.number + 1, "this_update": microseconds(at)}
    # Changed first: the row stays locked, so that no other process reads the same number.
    locked = connection.execute(
        update(ca_crl).where(row.authority == authority).values(number=row.number)
    ).rowcount
    if not locked:
        try:
            connection.execute(
                insert(ca_crl).values(authority=authority, number=1, this_update=microseconds(at))
            )
        except IntegrityError as error:
            raise Conflict from error
        return 1, at
    last = connection.execute(select(ca_crl).where(row.authority == authority)).one()
    connection.execute(update(ca_crl).where(row.authority == authority).values(values))
    return last.number + 1, instant(last.this_update)


def last_crl(connection: Connection, authority: str) -> int:
    """The number of the CRL that was made last; 0 if none was."""
    query = select(ca_crl.c.number).where(ca_crl.c.authority == authority)
    return connection.execute(query).scalar() or 0


def skip_crls(connection: Connection, authority: str, number: int) -> None:
    """Give no CRL this number, or one below it, any more."""
    connection.execute(
        update(ca_crl)
        .where(ca_crl.c.authority == authority, ca_crl.c.number < number)
        .values(number=number)
    )


def _find(connection: Connection, condition: ColumnElement[bool]) -> IssuedCertificate | None:
    row = connection.execute(select(ca_certificate).where(condition)).first()
    if row is None:
        return None
    return IssuedCertificate(
        serial_number=int(row.serial_number, 16),
        asked=row.asked,
        sha256=row.sha256,
        der=row.der,
        not_after=instant(row.not_after),
        revocation=None if row.revoked_at is None else _revocation(row),
    )


def _revocation(row: Any) -> Revocation:
    return Revocation(
        serial_number=int(row.serial_number, 16),
        at=instant(row.revoked_at),
        reason=RevocationReason(row.reason),
    )


def _is(authority: str, serial_number: int) -> ColumnElement[bool]:
    return and_(
        ca_certificate.c.authority == authority,
        ca_certificate.c.serial_number == _hexadecimal(serial_number),
    )


def _hexadecimal(serial_number: int) -> str:
    return f"{serial_number:x}"
