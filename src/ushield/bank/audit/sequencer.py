"""Sealing the audit log: entries get their places, batches of them a signed head.

Whoever writes entries takes no lock for it, so they have no order until one sequencer gives them
theirs. A batch is one transaction: a sequencer that dies leaves nothing behind. Only one works at
a time, by a lock that ends with its transaction; the others find nothing to do.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

from sqlalchemy import Connection, bindparam, insert, select, update

from ushield.bank.audit.hashing import NO_HEAD, leaf_hash, tree_hash
from ushield.bank.audit.heads import SignedHead
from ushield.bank.audit.keys import AuditSigner, key_id
from ushield.bank.moments import Clock, microseconds, system_clock
from ushield.bank.store.statements import Statement
from ushield.bank.store.store import Store
from ushield.bank.store.tables import audit_entry, audit_head, instance
from ushield.errors import StoreError

__all__ = ["LARGEST_BATCH", "Sequencer", "last_head"]

LARGEST_BATCH = 1000
"""Entries under one head."""

_LOCK = 0x75736175646974
_PASSING = frozenset(("store-unavailable", "store-busy", "outcome-unknown"))
_PLACE = Statement(
    update(audit_entry)
    .where(audit_entry.c.id == bindparam("entry"), audit_entry.c.sequence.is_(None))
    .values(sequence=bindparam("place"))
)


class Sequencer:
    """Seals a bank's log with ``signer``; any number of processes may have one."""

    def __init__(self, store: Store, signer: AuditSigner, *, clock: Clock = system_clock) -> None:
        self._store = store
        self._signer = signer
        self._key_id = key_id(signer.public_key)
        self._clock = clock

    def seal(self) -> SignedHead | None:
        """Seal the next batch; ``None`` if no entry waits, or another sequencer is at it."""
        return self._store.write(self._seal)

    def seal_all(self) -> list[SignedHead]:
        """Seal until no entry waits."""
        heads = []
        while (head := self.seal()) is not None:
            heads.append(head)
        return heads

    def run(
        self,
        stop: threading.Event,
        *,
        every: float = 1.0,
        then: Callable[[], object] | None = None,
        report: Callable[[StoreError], object] | None = None,
    ) -> int:
        """Seal whatever comes until ``stop`` is set, looking ``every`` so many seconds.

        What was decided before the stop is sealed, too; how many entries it were in all. ``then``
        is called when something was sealed, and once at the start, such as to export heads. A
        database that is away or busy is asked again, and ``report`` is told of it; any other
        `StoreError` ends it.
        """
        entries, due = 0, then is not None
        while True:
            is_last = stop.is_set()
            try:
                sealed = self.seal()
                if sealed is not None:
                    entries += sealed.count
                    due = then is not None
                if due and then is not None:
                    then()
                    due = False
            except StoreError as error:
                if error.code not in _PASSING:
                    raise
                if report is not None:
                    report(error)
                sealed = None
            if sealed is not None and sealed.count == LARGEST_BATCH:
                continue
            if is_last:
                return entries
            stop.wait(every)

    def _seal(self, connection: Connection) -> SignedHead | None:
        if not _lock(connection):
            return None
        waiting = connection.execute(
            select(
                audit_entry.c.id,
                audit_entry.c.at,
                audit_entry.c.event,
                audit_entry.c.reason,
                audit_entry.c.challenge_id,
                audit_entry.c.digest,
            )
            .where(audit_entry.c.sequence.is_(None))
            .order_by(audit_entry.c.id)
            .limit(LARGEST_BATCH)
        ).all()
        if not waiting:
            return None
        before = last_head(connection)
        first = 1 if before is None else before.last + 1
        leaves = [
            leaf_hash(
                place,
                row.at,
                row.event,
                reason=row.reason,
                challenge_id=row.challenge_id,
                digest=row.digest,
            )
            for place, row in enumerate(waiting, first)
        ]
        _PLACE.run_many(
            connection,
            [{"entry": row.id, "place": place} for place, row in enumerate(waiting, first)],
        )
        head = self._sign(
            SignedHead(
                instance=connection.execute(select(instance.c.id)).scalar_one(),
                number=1 if before is None else before.number + 1,
                first=first,
                count=len(waiting),
                root=tree_hash(leaves),
                previous=NO_HEAD if before is None else before.digest,
                at=microseconds(self._clock()),
                key_id=self._key_id,
                signature=b"",
            )
        )
        connection.execute(
            insert(audit_head).values(
                number=head.number,
                instance=head.instance,
                first=head.first,
                count=head.count,
                root=head.root,
                previous=head.previous,
                at=head.at,
                key_id=head.key_id,
                signature=head.signature,
            )
        )
        return head

    def _sign(self, head: SignedHead) -> SignedHead:
        return replace(head, signature=self._signer.sign(head.digest))


def last_head(connection: Connection) -> SignedHead | None:
    """The newest head."""
    row = connection.execute(
        select(audit_head).order_by(audit_head.c.number.desc()).limit(1)
    ).first()
    return None if row is None else SignedHead.of_row(row)


def _lock(connection: Connection) -> bool:
    if connection.dialect.name != "postgresql":
        # A transaction that writes is the only one on SQLite.
        return True
    locked: bool = connection.exec_driver_sql(
        "SELECT pg_try_advisory_xact_lock(%s)", (_LOCK,)
    ).scalar_one()
    return locked
