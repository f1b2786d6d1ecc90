"""Whether the audit log is still what was sealed: nothing changed, missing, or cut off."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, func, select

from ushield.bank.audit.entries import AuditEvent, body_digest
from ushield.bank.audit.hashing import NO_HEAD, leaf_hash, tree_hash
from ushield.bank.audit.heads import SignedHead
from ushield.bank.audit.keys import AuditPublicKey
from ushield.bank.challenge_records import ChallengeState
from ushield.bank.errors import AuditBroken
from ushield.bank.store.tables import audit_entry, audit_head, challenge, instance

__all__ = ["AuditReport", "verify_log"]


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What was verified: ``heads`` and the ``entries`` under them, ``erased`` of which have no
    body any more; ``pending`` ones wait for the sequencer. ``anchors`` heads from outside are all
    in the log, the newest being ``anchored`` (0 without any).
    """

    heads: int
    entries: int
    erased: int
    pending: int
    anchors: int
    anchored: int


def verify_log(
    connection: Connection, key: AuditPublicKey, anchors: Sequence[SignedHead] = ()
) -> AuditReport:
    """Verify the whole log, signed by ``key``, against ``anchors``: heads kept elsewhere.

    `AuditBroken` tells the first fault and where it is. Entries that nobody sealed yet are not
    protected, nor are sealed ones against whoever has the key, unless a head was anchored.
    """
    identity = connection.execute(select(instance.c.id)).scalar_one()
    wanted = _by_number(anchors, key)
    number, last, erased = 0, 0, 0
    previous = NO_HEAD
    for head in _heads(connection):
        if head.number != number + 1 or head.first != last + 1 or head.count < 1:
            raise _broken(f"heads are missing after head {number}", "gap", last + 1)
        if head.previous != previous or head.instance != identity:
            raise _broken(f"head {head.number} does not follow the one before", "changed", last + 1)
        head.verify(key)
        erased += _verify_entries(connection, head)
        anchor = wanted.pop(head.number, None)
        if anchor is not None and anchor.digest != head.digest:
            raise _broken(
                f"head {head.number} is not the one that was anchored", "changed", head.first
            )
        number, last, previous = head.number, head.last, head.digest
    if wanted:
        missing = min(wanted)
        raise _broken(
            f"head {missing} was anchored, but the log ends with head {number}",
            "truncated",
            last + 1,
        )
    _check_beyond(connection, last)
    _check_acceptances(connection)
    pending = connection.execute(
        select(func.count()).select_from(audit_entry).where(audit_entry.c.sequence.is_(None))
    ).scalar_one()
    anchored = max((each.number for each in anchors), default=0)
    return AuditReport(number, last, erased, pending, len(anchors), anchored)


def _by_number(anchors: Sequence[SignedHead], key: AuditPublicKey) -> dict[int, SignedHead]:
    found: dict[int, SignedHead] = {}
    for anchor in anchors:
        anchor.verify(key)
        if found.setdefault(anchor.number, anchor).digest != anchor.digest:
            raise _broken(
                f"two different heads {anchor.number} were anchored", "changed", anchor.first
            )
    return found


def _heads(connection: Connection) -> Iterator[SignedHead]:
    for row in connection.execute(select(audit_head).order_by(audit_head.c.number)):
        yield SignedHead.of_row(row)


def _verify_entries(connection: Connection, head: SignedHead) -> int:
    rows = connection.execute(
        select(audit_entry)
        .where(audit_entry.c.sequence.between(head.first, head.last))
        .order_by(audit_entry.c.sequence)
    ).all()
    for place, row in enumerate(rows, head.first):
        if row.sequence != place:
            raise _broken(f"entry {place} is missing", "gap", place)
        _verify_body(row)
    if len(rows) != head.count:
        place = head.first + len(rows)
        raise _broken(f"entry {place} is missing", "gap", place)
    leaves = [
        leaf_hash(
            row.sequence,
            row.at,
            row.event,
            reason=row.reason,
            challenge_id=row.challenge_id,
            digest=row.digest,
        )
        for row in rows
    ]
    if tree_hash(leaves) != head.root:
        raise _broken(
            f"an entry from {head.first} to {head.last} is not what was sealed",
            "changed",
            head.first,
        )
    return sum(row.body is None for row in rows)


def _verify_body(row: Row[Any]) -> None:
    if row.body is None and row.salt is None:
        return
    if row.body is None or row.salt is None or body_digest(row.salt, row.body) != row.digest:
        raise _broken(f"entry {row.sequence} has another body", "changed", row.sequence)


def _check_beyond(connection: Connection, last: int) -> None:
    beyond = connection.execute(
        select(func.min(audit_entry.c.sequence)).where(audit_entry.c.sequence > last)
    ).scalar_one()
    if beyond is not None:
        raise _broken(f"entry {beyond} was sealed, but its head is gone", "truncated", beyond)


def _check_acceptances(connection: Connection) -> None:
    recorded = select(audit_entry.c.challenge_id).where(
        audit_entry.c.event == AuditEvent.ACCEPTED.value, audit_entry.c.challenge_id.is_not(None)
    )
    lost = connection.execute(
        select(challenge.c.id)
        .where(challenge.c.state == ChallengeState.CONSUMED.value, challenge.c.id.not_in(recorded))
        .limit(1)
    ).scalar()
    if lost is not None:
        raise AuditBroken(
            f"challenge {lost} was consumed, and no entry says so", fault="unrecorded"
        )


def _broken(message: str, fault: str, sequence: int) -> AuditBroken:
    return AuditBroken(message, fault=fault, sequence=sequence)
