"""Revocation as it was known when something was signed (RFC 5280, 6.3, at a time in the past)."""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from itertools import accumulate
from typing import NamedTuple

from cryptography import x509

from ushield.bank.rejection import RejectionReason, TransactionRejected
from ushield.bank.revocation.catalogue import ListEdition, RevocationCatalogue
from ushield.bank.revocation.crl import RevocationList
from ushield.bank.revocation.evidence import issuer_id
from ushield.bank.revocation.index import Clearance, RevocationIndex, RevocationView
from ushield.bank.revocation.ocsp import OcspStatement

__all__ = ["HistoricView", "Knowledge", "historic_index"]

_FIRST = datetime.min.replace(tzinfo=UTC)
_NEVER = datetime.max.replace(tzinfo=UTC)
_NOT_KNOWN = frozenset((RejectionReason.REVOCATION_STALE, RejectionReason.REVOCATION_UNKNOWN))


class Knowledge(StrEnum):
    """By what was known when a signature is judged.

    ``THEN``: by the list or response that was in force when it was made, as the bank could know
    it. ``NOW``: also by the last one in which the certificate had to stand, which tells of a key
    that had been stolen when nobody knew it yet (invalidity date, or a revocation made known
    later).
    """

    THEN = "then"
    NOW = "now"


def historic_index(
    catalogue: RevocationCatalogue,
    issuers: Iterable[x509.Certificate],
    *,
    knowledge: Knowledge = Knowledge.THEN,
    most_entries: int = 1 << 20,
) -> RevocationIndex:
    """An index for a `Verifier` that answers for any time by what was known then.

    At most ``most_entries`` entries of lists are kept in memory, or one list if that is longer;
    signatures in the order of their times need each list once.
    """
    known = tuple(issuers)
    index = RevocationIndex(known)
    index.view = HistoricView(
        timelines=_timelines(catalogue.lists),
        said=_by_certificate(catalogue.statements),
        knowledge=knowledge,
        shelf=_Shelf(known, most_entries),
    )
    return index


class _Timeline:
    """The editions for one issuer's certificates of one kind, by time."""

    def __init__(self, editions: Iterable[ListEdition]) -> None:
        self._editions = sorted(editions, key=lambda each: each.heading.this_update)
        self._starts = [each.heading.this_update for each in self._editions]
        self._latest_ends = list(
            accumulate((each.heading.next_update for each in self._editions), max)
        )
        self._turns = sorted(
            {*self._starts, *(each.heading.next_update for each in self._editions)}
        )

    def in_force(self, at: datetime) -> list[ListEdition]:
        """The newest edition that was in force; several if they were made at once."""
        place = bisect_right(self._starts, at) - 1
        # None before has its end after that time, once the latest end so far is not after it.
        while place >= 0 and self._latest_ends[place] > at:
            if at < self._editions[place].heading.next_update:
                return self._made_with(place, at)
            place -= 1
        return []

    def last_until(self, time: datetime) -> list[ListEdition]:
        """The last edition that was made by then; several if they were made at once."""
        place = bisect_right(self._starts, time) - 1
        return [] if place < 0 else self._made_with(place, _FIRST)

    def segment(self, at: datetime) -> tuple[datetime, datetime]:
        """From when until before when the same editions are in force as at that time."""
        place = bisect_right(self._turns, at)
        start = self._turns[place - 1] if place else _FIRST
        return start, self._turns[place] if place < len(self._turns) else _NEVER

    def _made_with(self, place: int, at: datetime) -> list[ListEdition]:
        start = self._starts[place]
        found = []
        while place >= 0 and self._starts[place] == start:
            if at < self._editions[place].heading.next_update:
                found.append(self._editions[place])
            place -= 1
        return found


class _Shelf:
    """Lists that were read, the last used ones."""

    def __init__(self, issuers: Sequence[x509.Certificate], most_entries: int) -> None:
        self._issuers = issuers
        self._most = most_entries
        self._lists: OrderedDict[bytes, RevocationList] = OrderedDict()
        self._entries = 0

    def read(self, edition: ListEdition) -> RevocationList:
        """The list of an edition; `RevocationUnavailable` if its file is not there any more."""
        found = self._lists.get(edition.sha256)
        if found is not None:
            self._lists.move_to_end(edition.sha256)
            return found
        found = edition.read(self._issuers)
        self._lists[edition.sha256] = found
        self._entries += len(found.revoked)
        while self._entries > self._most and len(self._lists) > 1:
            _, dropped = self._lists.popitem(last=False)
            self._entries -= len(dropped.revoked)
        return found


class _Chosen(NamedTuple):
    view: RevocationView
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class HistoricView(RevocationView):
    """Chooses, for each certificate and time, the evidence that is to be heard."""

    timelines: dict[tuple[bytes, bool], _Timeline]
    said: dict[tuple[bytes, int], tuple[OcspStatement, ...]]
    knowledge: Knowledge
    shelf: _Shelf

    def clear(self, path: tuple[x509.Certificate, ...], at: datetime) -> Clearance:
        """As `RevocationView.clear`; ``revocation-gap`` if nothing was in force at that time."""
        start, end = _FIRST, _NEVER
        for place, certificate in enumerate(path[:-1]):
            above = place > 0
            issuer = path[place + 1]
            chosen = self._choose(certificate, issuer, above, at)
            try:
                evidence = chosen.view._evidence(certificate, issuer, above, at)
            except TransactionRejected as error:
                if error.reason in _NOT_KNOWN and self._knows(certificate, issuer, above):
                    raise TransactionRejected(
                        "no list or response was in force at"
                        f" {at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC for the certificate of"
                        f" {certificate.subject.rfc4514_string()}",
                        reason=RejectionReason.REVOCATION_GAP,
                    ) from error
                raise
            start = max(start, chosen.start)
            end = min(end, chosen.end, evidence.next_update)
        return Clearance(self, start, end)

    def _choose(
        self, certificate: x509.Certificate, issuer: x509.Certificate, above: bool, at: datetime
    ) -> _Chosen:
        known_by = issuer_id(issuer)
        key = known_by, certificate.serial_number
        statements = self.said.get(key, ())
        editions: list[ListEdition] = []
        start, end = _FIRST, _NEVER
        timeline = self.timelines.get((known_by, above))
        if timeline is not None:
            editions = timeline.in_force(at)
            if self.knowledge is Knowledge.NOW:
                editions += timeline.last_until(certificate.not_valid_after_utc)
            start, end = timeline.segment(at)
        for turn in (turn for each in statements for turn in (each.this_update, each.next_update)):
            if turn <= at:
                start = max(start, turn)
            else:
                end = min(end, turn)
        if self.knowledge is Knowledge.THEN:
            statements = tuple(
                each for each in statements if each.this_update <= at < each.next_update
            )
        lists = tuple(self.shelf.read(each) for each in editions)
        return _Chosen(RevocationView({known_by: lists}, {key: statements}), start, end)

    def _knows(self, certificate: x509.Certificate, issuer: x509.Certificate, above: bool) -> bool:
        known_by = issuer_id(issuer)
        return (known_by, above) in self.timelines or (
            known_by,
            certificate.serial_number,
        ) in self.said


def _timelines(lists: Iterable[ListEdition]) -> dict[tuple[bytes, bool], _Timeline]:
    found: dict[tuple[bytes, bool], list[ListEdition]] = {}
    for each in lists:
        if each.heading.of_customers:
            found.setdefault((each.heading.issuer, False), []).append(each)
        if each.heading.of_authorities:
            found.setdefault((each.heading.issuer, True), []).append(each)
    return {key: _Timeline(editions) for key, editions in found.items()}


def _by_certificate(
    statements: Iterable[OcspStatement],
) -> dict[tuple[bytes, int], tuple[OcspStatement, ...]]:
    found: dict[tuple[bytes, int], tuple[OcspStatement, ...]] = {}
    for each in statements:
        key = each.issuer, each.serial_number
        found[key] = (*found.get(key, ()), each)
    return found
