"""Telling the CA which certificates to revoke: what waits, and carrying it out.

The bank takes no signature by such a certificate from the decision on, so a CA that is away is no
danger to it. Others who trust the CA learn it from the CRL, once the CA was told.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Row, select, update

from ushield.bank.audit.entries import AuditEvent, Decision, record
from ushield.bank.authorities.errors import CaAnswerInvalid, CaUnavailable
from ushield.bank.authorities.protocol import RevocationReason
from ushield.bank.errors import CertificateUnknown
from ushield.bank.moments import Clock, instant, microseconds, system_clock
from ushield.bank.store.store import Store
from ushield.bank.store.tables import certificate, revocation, token
from ushield.errors import AuthorityError

if TYPE_CHECKING:
    from ushield.bank.authorities.protocol import CertificateAuthority

__all__ = ["PendingRevocation", "RevocationRun", "Revocations"]

_MOST_AT_ONCE = 1000
# Seconds after which a run asks for no other certificate.
_LONGEST_RUN = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingRevocation:
    """A certificate that the CA has to revoke.

    ``serial_number`` is the certificate's, in hexadecimal, ``issuer`` the name (RFC 4514) of
    whose number that is; ``None`` once the certificate was erased, and empty if it cannot be read.
    ``attempts`` counts how often the CA was asked, ``last_error`` is the code of what it, or the
    way there, answered last.
    """

    certificate_sha256: bytes
    serial_number: str
    issuer: str | None
    token: str
    customer_id: str
    reason: RevocationReason
    transaction_id: bytes
    asked_at: datetime
    attempts: int
    last_error: str | None


@dataclass(frozen=True, slots=True)
class RevocationRun:
    """What one run has done: ``done`` the CA has revoked, ``left`` wait for the next."""

    done: tuple[PendingRevocation, ...]
    left: tuple[PendingRevocation, ...]


class Revocations:
    """The bank's queue of revocations, and ``authority``, which carries them out."""

    def __init__(
        self, store: Store, authority: CertificateAuthority, *, clock: Clock = system_clock
    ) -> None:
        self._store = store
        self._authority = authority
        self._clock = clock

    def pending(self) -> list[PendingRevocation]:
        """What waits, a thousand at most: first what was tried least, of that the oldest."""
        return self._store.read(_pending)

    def run(self) -> RevocationRun:
        """Ask the CA for each that waits; one that it cannot do stays. `StoreError`.

        A CA that is away, or does not answer, is not asked for the others, nor is one after five
        minutes. A certificate that is not the CA's is done, with ``certificate-unknown`` in the
        log: it is known by its issuer's name, too, as another CA may have the same numbers.
        """
        done: list[PendingRevocation] = []
        ours = _subject_of(self._authority.chain)
        deadline = time.monotonic() + _LONGEST_RUN
        for each in self.pending():
            if time.monotonic() > deadline:
                break
            try:
                self._ask(each, ours)
            except CertificateUnknown as unknown:
                self._finish(each, unknown.code)
            except AuthorityError as error:
                self._fail(each, error.code)
                if isinstance(error, CaUnavailable) and not isinstance(error, CaAnswerInvalid):
                    break
                continue
            else:
                self._finish(each, None)
            done.append(each)
        finished = {each.certificate_sha256 for each in done}
        left = [each for each in self.pending() if each.certificate_sha256 not in finished]
        return RevocationRun(tuple(done), tuple(left))

    def _ask(self, each: PendingRevocation, ours: str | None) -> None:
        if None not in (ours, each.issuer) and each.issuer != ours:
            raise CertificateUnknown("another CA issued it")
        self._authority.revoke(
            int(each.serial_number, 16), each.reason, transaction_id=each.transaction_id
        )

    def _finish(self, each: PendingRevocation, problem: str | None) -> None:
        def work(connection: Connection) -> None:
            at = microseconds(self._clock())
            changed = connection.execute(
                update(revocation)
                .where(
                    revocation.c.certificate_sha256 == each.certificate_sha256,
                    revocation.c.done_at.is_(None),
                )
                .values(done_at=at, last_error=problem, attempts=revocation.c.attempts + 1)
            ).rowcount
            if changed:
                facts = {
                    "certificate_sha256": each.certificate_sha256.hex(),
                    "token": each.token,
                    "why": each.reason.value,
                }
                decision = Decision(
                    at,
                    AuditEvent.CERTIFICATE_REVOKED_AT_CA,
                    reason=problem,
                    customer_id=each.customer_id,
                    facts=facts,
                )
                record(connection, [decision])

        self._store.write(work)

    def _fail(self, each: PendingRevocation, problem: str) -> None:
        self._store.write(
            lambda connection: (
                connection.execute(
                    update(revocation)
                    .where(
                        revocation.c.certificate_sha256 == each.certificate_sha256,
                        revocation.c.done_at.is_(None),
                    )
                    .values(last_error=problem, attempts=revocation.c.attempts + 1)
                ).rowcount
            )
        )


def _pending(connection: Connection) -> list[PendingRevocation]:
    rows = connection.execute(
        select(
            revocation,
            certificate.c.serial_number,
            certificate.c.der,
            certificate.c.token_serial,
            token.c.customer_id,
        )
        .join(certificate, certificate.c.sha256 == revocation.c.certificate_sha256)
        .join(token, token.c.serial == certificate.c.token_serial)
        .where(revocation.c.done_at.is_(None))
        .order_by(revocation.c.attempts, revocation.c.asked_at, revocation.c.certificate_sha256)
        .limit(_MOST_AT_ONCE)
    )
    return [_read(row) for row in rows]


def _read(row: Row[Any]) -> PendingRevocation:
    return PendingRevocation(
        certificate_sha256=row.certificate_sha256,
        serial_number=row.serial_number,
        issuer=_issuer_of(row.der) if row.der else None,
        token=row.token_serial,
        customer_id=row.customer_id,
        reason=RevocationReason(row.reason),
        transaction_id=bytes.fromhex(row.transaction_id),
        asked_at=instant(row.asked_at),
        attempts=row.attempts,
        last_error=row.last_error,
    )


def _subject_of(chain: tuple[bytes, ...]) -> str | None:
    from cryptography import x509

    if not chain:
        return None
    return x509.load_der_x509_certificate(chain[0]).subject.rfc4514_string()


def _issuer_of(der: bytes) -> str:
    from cryptography import x509

    from ushield.cms.unreadable import unreadable

    try:
        return x509.load_der_x509_certificate(der).issuer.rfc4514_string()
    except unreadable():
        return ""
