"""A CA in the bank's own process, for development and small banks.

What it decides is in the bank's database and its log before anybody gets it, so any number of
processes may issue with one key. The key is in the memory of each of them: a bank that wants it
elsewhere has a CA elsewhere.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from sqlalchemy import Connection

from ushield.bank.audit.entries import AuditEvent, Decision, record
from ushield.bank.authorities import records
from ushield.bank.authorities.certificates import PublicationPoints, customer_certificate
from ushield.bank.authorities.errors import CaRefused
from ushield.bank.authorities.key import AuthorityKey
from ushield.bank.authorities.order import order_digest
from ushield.bank.authorities.protocol import (
    CertificateProfile,
    RevocationReason,
    check_transaction_id,
)
from ushield.bank.authorities.records import IssuedCertificate
from ushield.bank.authorities.request import read_request
from ushield.bank.errors import CertificateUnknown, DuplicateEntry
from ushield.bank.moments import Clock, microseconds, system_clock
from ushield.bank.rejection import TransactionRejected
from ushield.bank.store.store import Store
from ushield.bank.trust import TrustStore
from ushield.errors import InputInvalid

__all__ = ["EmbeddedAuthority"]

T = TypeVar("T")


class EmbeddedAuthority:
    """A `CertificateAuthority` on the bank's database; threads may share one.

    ``points`` go into the certificates it issues.
    """

    def __init__(
        self,
        store: Store,
        key: AuthorityKey,
        *,
        points: PublicationPoints | None = None,
        clock: Clock = system_clock,
    ) -> None:
        self._store = store
        self._key = key
        self._points = points or PublicationPoints()
        self._clock = clock

    @property
    def chain(self) -> tuple[bytes, ...]:
        """See `CertificateAuthority.chain`."""
        return tuple(each.public_bytes(Encoding.DER) for each in self._key.chain)

    def issue(self, request: bytes, profile: CertificateProfile, *, transaction_id: bytes) -> bytes:
        """See `CertificateAuthority.issue`; `CaRefused` if it would outlive the CA's own."""
        return self._issue(request, profile, None, transaction_id)

    def renew(
        self,
        request: bytes,
        profile: CertificateProfile,
        *,
        certificate: bytes,
        transaction_id: bytes,
    ) -> bytes:
        """See `CertificateAuthority.renew`; `CaRefused` for one that has expired, too."""
        return self._issue(request, profile, certificate, transaction_id)

    def revoke(
        self, serial_number: int, reason: RevocationReason, *, transaction_id: bytes
    ) -> None:
        """See `CertificateAuthority.revoke`."""
        check_transaction_id(transaction_id)

        def work(connection: Connection, now: datetime) -> None:
            at = microseconds(now)
            if records.revoke_certificate(connection, self._name, serial_number, reason, at):
                self._record(connection, at, AuditEvent.CA_REVOKED, serial_number, reason.value)
            else:
                self._known(connection, serial_number)

        self._write(work)

    def release(self, serial_number: int, *, transaction_id: bytes) -> None:
        """See `CertificateAuthority.release`."""
        check_transaction_id(transaction_id)

        def work(connection: Connection, now: datetime) -> None:
            if records.release_certificate(connection, self._name, serial_number):
                at = microseconds(now)
                self._record(connection, at, AuditEvent.CA_RELEASED, serial_number)
            elif self._known(connection, serial_number).revocation is not None:
                raise CaRefused("the certificate was revoked for good", failures=("certRevoked",))

        self._write(work)

    def certificate(self, serial_number: int) -> IssuedCertificate:
        """A certificate of this CA, and how it stands; `CertificateUnknown`."""
        return self._store.read(lambda connection: self._known(connection, serial_number))

    @property
    def _name(self) -> str:
        return self._key.identity

    def _issue(
        self,
        request: bytes,
        profile: CertificateProfile,
        certificate: bytes | None,
        transaction_id: bytes,
    ) -> bytes:
        known_by = check_transaction_id(transaction_id)
        public = read_request(request).public_key()
        asked = order_digest(request, profile, certificate)

        def work(connection: Connection, now: datetime) -> bytes:
            found = records.find_by_transaction(connection, known_by)
            if found is not None:
                return _as_issued(found, asked)
            if certificate is not None:
                self._check_renewable(connection, certificate, now)
            issued = customer_certificate(
                self._key.certificate,
                self._key.private_key,
                public,
                profile,
                at=now,
                points=self._points,
            )
            self._check(issued, now)
            at = microseconds(now)
            records.add_certificate(
                connection, self._name, issued, transaction_id=known_by, asked=asked, at=at
            )
            self._record(connection, at, AuditEvent.CA_ISSUED, issued.serial_number)
            return issued.public_bytes(Encoding.DER)

        return self._write(work)

    def _check(self, issued: x509.Certificate, now: datetime) -> None:
        """That the bank itself would take signatures by it, all its time long."""
        if issued.not_valid_after_utc > self._key.certificate.not_valid_after_utc:
            raise CaRefused(
                "the certificate would outlive the CA's own, which ends on"
                f" {self._key.certificate.not_valid_after_utc:%Y-%m-%d}",
                remedy="Ask for a shorter validity, or give the CA a new certificate.",
            )
        try:
            TrustStore(self._key.chain[-1:], self._key.chain[:-1]).check(issued, now)
        except TransactionRejected as rejected:
            raise InputInvalid(f"the bank would not accept it: {rejected}") from rejected

    def _check_renewable(self, connection: Connection, certificate: bytes, now: datetime) -> None:
        try:
            serial_number = x509.load_der_x509_certificate(certificate).serial_number
        except ValueError as error:
            raise CertificateUnknown("the old certificate cannot be read") from error
        old = self._known(connection, serial_number)
        if old.sha256 != hashlib.sha256(certificate).digest():
            raise CertificateUnknown("the old certificate is not one of this CA")
        if old.revocation is not None:
            raise CaRefused(
                f"the old certificate is revoked ({old.revocation.reason.value})",
                failures=("certRevoked",),
            )
        if old.not_after < now:
            raise CaRefused("the old certificate has expired", failures=("badTime",))

    def _known(self, connection: Connection, serial_number: int) -> IssuedCertificate:
        found = records.find_certificate(connection, self._name, serial_number)
        if found is None:
            raise CertificateUnknown(f"this CA issued no certificate {serial_number:x}")
        return found

    def _record(
        self,
        connection: Connection,
        at: int,
        event: AuditEvent,
        serial_number: int,
        reason: str | None = None,
    ) -> None:
        facts = {"authority": self._name, "serial_number": f"{serial_number:x}"}
        record(connection, [Decision(at, event, reason=reason, facts=facts)])

    def _write(self, work: Callable[[Connection, datetime], T]) -> T:
        # The clock is read when the transaction has begun: waiting for it may have taken a while.
        return self._store.write(lambda connection: work(connection, self._clock()))


def _as_issued(found: IssuedCertificate, asked: bytes) -> bytes:
    if found.asked != asked:
        raise DuplicateEntry("the transaction id was used before, for something else")
    if not found.der:
        raise CertificateUnknown("the certificate was erased with its customer")
    return found.der
