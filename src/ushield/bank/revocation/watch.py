"""Asking OCSP responders about the certificates that signatures come with, and again in time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from threading import Lock

from cryptography import x509

from ushield.bank.rejection import TransactionRejected
from ushield.bank.revocation.evidence import RevocationInvalid, issuer_id
from ushield.bank.revocation.index import RevocationIndex
from ushield.bank.revocation.ocsp import OcspQuery
from ushield.bank.revocation.schedule import LATEST, RefreshSchedule, Report, log_failure
from ushield.bank.revocation.sources import HttpSource, RevocationUnavailable
from ushield.bank.trust import TrustStore
from ushield.errors import InputInvalid

__all__ = ["OcspWatch"]

_START = datetime.min.replace(tzinfo=UTC)
_FORGOTTEN_AFTER = timedelta(days=1)
_MOST_UNANSWERED = 3
_REST = timedelta(seconds=30)


@dataclass(slots=True, eq=False)
class _Watched:
    """A certificate that is asked about, by one thread at a time."""

    certificate: x509.Certificate
    issuer: x509.Certificate
    schedule: RefreshSchedule
    wanted: datetime
    asking: Lock = field(default_factory=Lock)


class OcspWatch:
    """Asks ``responders`` about the certificates of signatures, and tells ``index`` the answers.

    A certificate is asked about when a signature by it comes and nothing tells how it stands, and
    so are the CAs above it that ``trusts`` lead to. From then on it is asked about again before
    the answer ends, by `refresh`, as long as signatures by it come: a day after the last one it is
    forgotten. At most ``most`` are watched; the least wanted are forgotten first.

    ``responders`` are addresses that are asked in their order until one gives an answer that can be
    believed, within ``timeout`` seconds each. ``with_nonce`` wants the answer to be a new one (RFC
    9654); a responder that signs its answers in advance (RFC 5019) gives none. What fails is told
    to ``report``, by default to the log; it is tried again, half a minute later at the soonest,
    then less and less often. Where nobody answered three times in a row, nobody is asked for half a
    minute, so that a responder that hangs holds up a few payments, and not all of them. Several
    threads may use it. `InputInvalid` for an address of another
    kind than HTTP.
    """

    def __init__(
        self,
        index: RevocationIndex,
        trusts: Sequence[TrustStore],
        responders: Sequence[str],
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        timeout: float = 5.0,
        at_least_every: timedelta = LATEST,
        with_nonce: bool = True,
        report: Report = log_failure,
        most: int = 1 << 16,
    ) -> None:
        if most < 1:
            raise InputInvalid("room for one certificate at least")
        # Wrong addresses are refused here, and not with the first signature.
        self._responders = [HttpSource(each, timeout).url for each in responders]
        self._index = index
        self._trusts = tuple(trusts)
        self._clock = clock
        self._timeout = timeout
        self._at_least_every = at_least_every
        self._with_nonce = with_nonce
        self._report = report
        self._most = most
        self._lock = Lock()
        self._unanswered = 0
        self._resting_until = _START
        self._watched: dict[tuple[bytes, int], _Watched] = {}

    def ask(self, certificate: bytes) -> None:
        """Ask about ``certificate`` (DER) and the CAs above it, where nothing tells how they stand.

        Whoever asks about one that is being asked about waits for that answer.
        """
        now = self._clock()
        for place, (each, issuer) in enumerate(pairwise(self._path(certificate, now))):
            if self._index.view.tells_of(each, issuer, is_authority=place > 0, at=now):
                continue
            watched = self._watch(each, issuer, now)
            with watched.asking:
                if now >= watched.schedule.due:
                    self._ask(watched)

    def refresh(self) -> int:
        """Ask again about what is due; how many answers came.

        Ends early if nobody answers: those that are due stay so.
        """
        answered = 0
        for watched in self._due():
            with watched.asking:
                # Unless somebody else has asked meanwhile.
                if watched.schedule.due <= self._clock() and self._ask(watched):
                    answered += 1
            if self._clock() < self._resting_until:
                break
        return answered

    @property
    def due(self) -> datetime | None:
        """When the next question is due; nothing if none is."""
        with self._lock:
            return min((each.schedule.due for each in self._watched.values()), default=None)

    def _path(self, certificate: bytes, at: datetime) -> tuple[x509.Certificate, ...]:
        try:
            loaded = x509.load_der_x509_certificate(certificate)
        except (ValueError, x509.InvalidVersion):
            return ()
        for trust in self._trusts:
            try:
                return trust.check(loaded, at)
            except TransactionRejected:
                continue
        return ()

    def _watch(
        self, certificate: x509.Certificate, issuer: x509.Certificate, now: datetime
    ) -> _Watched:
        key = issuer_id(issuer), certificate.serial_number
        with self._lock:
            watched = self._watched.pop(key, None)
            if watched is None:
                schedule = RefreshSchedule(_START, self._at_least_every)
                watched = _Watched(certificate, issuer, schedule, now)
                if len(self._watched) >= self._most:
                    del self._watched[next(iter(self._watched))]
            watched.wanted = now
            self._watched[key] = watched
        return watched

    def _due(self) -> Iterator[_Watched]:
        now = self._clock()
        with self._lock:
            for key, each in list(self._watched.items()):
                if each.wanted < now - _FORGOTTEN_AFTER:
                    del self._watched[key]
            due = [each for each in self._watched.values() if each.schedule.due <= now]
        return iter(due)

    def _ask(self, watched: _Watched) -> bool:
        now = self._clock()
        if now < self._resting_until:
            return False
        unanswered = True
        for url in self._responders:
            query = OcspQuery.about(watched.certificate, watched.issuer)
            source = HttpSource(url, self._timeout, body=query.request)
            try:
                next_update = self._answer(watched, source, query, now)
            except (RevocationUnavailable, RevocationInvalid) as error:
                # A responder that answers, whatever it says of this certificate, holds nobody up.
                unanswered = unanswered and isinstance(error, RevocationUnavailable)
                self._report(source, error)
            else:
                self._unanswered = 0
                watched.schedule.succeeded(now, next_update)
                return True
        watched.schedule.failed(now)
        self._unanswered = self._unanswered + 1 if unanswered else 0
        if self._unanswered >= _MOST_UNANSWERED:
            self._resting_until = self._clock() + _REST
        return False

    def _answer(
        self, watched: _Watched, source: HttpSource, query: OcspQuery, now: datetime
    ) -> datetime:
        nonce = query.nonce if self._with_nonce else None
        told = self._index.add_ocsp(source.fetch(), now, nonce=nonce)
        asked = issuer_id(watched.issuer), watched.certificate.serial_number
        for each in told:
            if (each.issuer, each.serial_number) == asked:
                return each.next_update
        raise RevocationInvalid("the responder does not know the certificate")
