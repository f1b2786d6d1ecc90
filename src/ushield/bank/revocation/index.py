"""The index that a verifier asks: lists and statements by issuer, replaced as a whole."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Lock
from typing import NamedTuple, TypeVar

from cryptography import x509

from ushield.bank.rejection import RejectionReason, TransactionRejected
from ushield.bank.revocation.crl import RevocationList
from ushield.bank.revocation.evidence import Revoked, issuer_id
from ushield.bank.revocation.ocsp import OcspStatement

__all__ = ["NOT_KNOWN", "Clearance", "RevocationIndex", "RevocationView"]

NOT_KNOWN = frozenset((RejectionReason.REVOCATION_UNKNOWN, RejectionReason.REVOCATION_STALE))
"""Reasons to refuse a signature that another CRL or answer can take away."""

_NEVER = datetime.max.replace(tzinfo=UTC)
_Kind = TypeVar("_Kind", RevocationList, OcspStatement)


class Clearance(NamedTuple):
    """That a path has nothing revoked in it, by one view, from ``start`` until before ``end``."""

    view: RevocationView
    start: datetime
    end: datetime


class _Evidence(NamedTuple):
    this_update: datetime
    next_update: datetime
    revoked: Revoked | None
    covers: bool


@dataclass(frozen=True, slots=True, eq=False)
class RevocationView:
    """What is known at one moment. It never changes; a new one takes its place."""

    lists: Mapping[bytes, tuple[RevocationList, ...]] = field(default_factory=dict)
    statements: Mapping[tuple[bytes, int], tuple[OcspStatement, ...]] = field(default_factory=dict)

    def clear(self, path: tuple[x509.Certificate, ...], at: datetime) -> Clearance:
        """Whether no certificate of ``path`` was revoked at that time, and what says so.

        ``path`` leads from the signer to a trusted CA, which no CRL is needed for.
        `TransactionRejected` if one was revoked by then, if nothing is known about one, or if all
        that is known ended before that time.
        """
        start, end = datetime.min.replace(tzinfo=UTC), _NEVER
        for place, certificate in enumerate(path[:-1]):
            evidence = self._evidence(certificate, path[place + 1], place > 0, at)
            start, end = max(start, evidence.this_update), min(end, evidence.next_update)
        return Clearance(self, start, end)

    def tells_of(
        self,
        certificate: x509.Certificate,
        issuer: x509.Certificate,
        *,
        is_authority: bool,
        at: datetime,
    ) -> bool:
        """Whether it is known how ``certificate`` of ``issuer`` stood at that time, well or not."""
        try:
            self._evidence(certificate, issuer, is_authority, at)
        except TransactionRejected as rejected:
            return rejected.reason not in NOT_KNOWN
        return True

    def _evidence(
        self, certificate: x509.Certificate, issuer: x509.Certificate, above: bool, at: datetime
    ) -> _Evidence:
        """The newest evidence that covers the time and says that the certificate was good."""
        found = sorted(
            self._gather(certificate, issuer, above, at),
            key=lambda each: each.this_update,
            reverse=True,
        )
        # Revocation is for good: whoever says it is believed, however old. A hold is not.
        for evidence in found:
            revoked = evidence.revoked
            if revoked is not None and revoked.since <= at and not revoked.is_hold:
                raise _revoked(certificate, revoked, above)
        covering = [evidence for evidence in found if evidence.covers]
        if covering:
            revoked = covering[0].revoked
            if revoked is not None and revoked.since <= at:
                raise _revoked(certificate, revoked, above)
            # It is no longer good when some evidence, though it did not count yet, says so.
            turns = [each.revoked.since for each in found if each.revoked is not None]
            return covering[0]._replace(next_update=min(covering[0].next_update, *turns, _NEVER))
        ended = [each.next_update for each in found if each.next_update <= at]
        if ended:
            raise TransactionRejected(
                f"whether the certificate of {_name(certificate)} is revoked was last known until"
                f" {max(ended):%Y-%m-%d %H:%M:%S} UTC",
                reason=RejectionReason.REVOCATION_STALE,
            )
        raise TransactionRejected(
            f"nothing tells whether the certificate of {_name(certificate)} is revoked",
            reason=RejectionReason.REVOCATION_UNKNOWN,
        )

    def _gather(
        self, certificate: x509.Certificate, issuer: x509.Certificate, above: bool, at: datetime
    ) -> Iterable[_Evidence]:
        known_by, serial = issuer_id(issuer), certificate.serial_number
        for each in self.lists.get(known_by, ()):
            if each.of_authorities if above else each.of_customers:
                yield _Evidence(
                    each.this_update,
                    each.next_update,
                    each.revoked.get(serial),
                    each.covers(certificate, is_authority=above, at=at),
                )
        for statement in self.statements.get((known_by, serial), ()):
            yield _Evidence(
                statement.this_update,
                statement.next_update,
                statement.revoked,
                statement.covers(at),
            )


class RevocationIndex:
    """CRLs and OCSP responses by ``issuers``, the CAs a bank trusts.

    Readers take its ``view`` and need no lock; writers replace it. Of each issuer the newest
    ``history`` lists are kept, for signatures that must hold at a time in the past, and as many
    statements about a certificate.
    """

    def __init__(self, issuers: Iterable[x509.Certificate], *, history: int = 8) -> None:
        self._issuers = tuple(issuers)
        self._history = history
        self._lock = Lock()
        self.view = RevocationView()

    def add_crl(self, data: bytes, now: datetime) -> RevocationList:
        """Take a CRL (DER or PEM) into account; `RevocationInvalid` if it cannot be believed.

        An older one than those known does not take their place.
        """
        added = RevocationList.read(data, self._issuers, now)
        with self._lock:
            lists = dict(self.view.lists)
            lists[added.issuer] = self._newest((*lists.get(added.issuer, ()), added))
            self.view = RevocationView(lists, self.view.statements)
        return added

    def add_ocsp(
        self, data: bytes, now: datetime, *, nonce: bytes | None = None
    ) -> tuple[OcspStatement, ...]:
        """Take an OCSP response (DER) into account; `RevocationInvalid` if it cannot be believed.

        ``nonce`` is that of the query it answers.
        """
        added = OcspStatement.read(data, self._issuers, now, nonce=nonce)
        with self._lock:
            statements = dict(self.view.statements)
            for each in added:
                key = each.issuer, each.serial_number
                statements[key] = self._newest((*statements.get(key, ()), each))
            self.view = RevocationView(self.view.lists, statements)
        return added

    def _newest(self, evidence: tuple[_Kind, ...]) -> tuple[_Kind, ...]:
        distinct = {each.edition: each for each in evidence}
        ordered = sorted(distinct.values(), key=lambda each: each.this_update, reverse=True)
        return tuple(ordered[: self._history])


def _revoked(certificate: x509.Certificate, revoked: Revoked, above: bool) -> TransactionRejected:
    reason = RejectionReason.ISSUER_REVOKED if above else RejectionReason.CERTIFICATE_REVOKED
    return TransactionRejected(
        f"the certificate of {_name(certificate)} was revoked on"
        f" {revoked.since:%Y-%m-%d %H:%M:%S} UTC",
        reason=reason,
    )


def _name(certificate: x509.Certificate) -> str:
    return certificate.subject.rfc4514_string()
