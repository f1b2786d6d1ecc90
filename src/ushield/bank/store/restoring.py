"""Confirming that a restored database is the bank's true one from now on.

A challenge that was live when the backup was made may have been accepted since, and the database
knows nothing of it. None of them can be told from the others, so all of them end. So do codes for
enrolment, which may have been used since, and requests to unblock a token.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, update
from sqlalchemy.exc import SQLAlchemyError

from ushield.bank.audit.entries import AuditEvent, Decision, record
from ushield.bank.challenge_records import ChallengeState
from ushield.bank.moments import microseconds
from ushield.bank.store.engine import WRITES, make_engine, store_url
from ushield.bank.store.failures import translate
from ushield.bank.store.identity import claim_identity
from ushield.bank.store.tables import challenge, enrolment, unblock_request

__all__ = ["confirm_restored"]


def confirm_restored(
    url: str, at: datetime, *, nothing_lost: bool = False, timeout: float = 5.0
) -> int:
    """Take the database at ``url`` for the bank's from now on; how many challenges were voided.

    With ``nothing_lost``, all that is live stays: only for a database that was moved while it was
    not in use, or a standby that had every commit (synchronous replication). `StoreError`.
    """
    engine = make_engine(store_url(url), timeout=timeout, pool_size=1)
    try:
        with engine.execution_options(**{WRITES: True}).begin() as connection:
            return _confirm(connection, microseconds(at), nothing_lost=nothing_lost)
    except SQLAlchemyError as error:
        ours = translate(error, committing=False)
        if ours is None:
            raise
        raise ours from error
    finally:
        engine.dispose()


def _confirm(connection: Connection, at: int, *, nothing_lost: bool) -> int:
    epoch = claim_identity(connection)
    voided = 0
    if not nothing_lost:
        voided = connection.execute(
            update(challenge)
            .where(challenge.c.state == ChallengeState.ISSUED.value)
            .values(state=ChallengeState.VOID.value, decided_at=at)
        ).rowcount
        connection.execute(
            update(enrolment)
            .where(enrolment.c.state == "registered")
            .values(state="void", changed_at=at)
        )
        connection.execute(
            update(unblock_request)
            .where(unblock_request.c.state == "waiting")
            .values(state="void", decided_at=at)
        )
    facts = {"epoch": epoch, "voided": voided, "nothing_lost": int(nothing_lost)}
    record(connection, [Decision(at, AuditEvent.RESTORED, facts=facts)])
    return voided
