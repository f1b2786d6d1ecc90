"""Which database this is: a copy of it, or a state of it that came back, must not pass for it.

A database cannot know by itself that it was restored, so it keeps what it saw around itself: on
SQLite the number of its file (inode), on PostgreSQL the cluster's identifier, its timeline and the
database's own number. A restore to another file, cluster or database, and one to a point in time
(which starts a timeline), come to light by it. A file overwritten in place and a disk put back to
an earlier snapshot do not; `ushield.bank.audit` finds those against an anchored head.
"""

from __future__ import annotations

import secrets
from typing import Any

from sqlalchemy import URL, Connection, insert, update

from ushield.bank.errors import StoreRestored, StoreUnavailable
from ushield.bank.store.engine import database_path
from ushield.bank.store.tables import instance

__all__ = ["check_identity", "claim_identity", "first_identity"]

_POSTGRESQL = """
SELECT (pg_control_system()).system_identifier::text,
       CASE WHEN pg_is_in_recovery() THEN NULL
            ELSE substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8) END,
       (SELECT oid::text FROM pg_database WHERE datname = current_database())
"""


def check_identity(cursor: Any, url: URL) -> None:
    """Raise `StoreRestored` unless the database is where it was last confirmed to be."""
    cursor.execute("SELECT fingerprint FROM instance")
    row = cursor.fetchone()
    if row is None or row[0] != _fingerprint(cursor, url):
        raise StoreRestored("this database is a copy, or was restored: nobody has confirmed it")


def first_identity(connection: Connection, at: int) -> None:
    """Note who a new database is."""
    connection.execute(
        insert(instance).values(
            number=1,
            id=secrets.token_hex(16),
            epoch=1,
            fingerprint=_found(connection),
            created_at=at,
        )
    )


def claim_identity(connection: Connection) -> int:
    """Take the database as it is found for the true one; the number of its new epoch."""
    epoch: int = connection.execute(
        update(instance)
        .values(epoch=instance.c.epoch + 1, fingerprint=_found(connection))
        .returning(instance.c.epoch)
    ).scalar_one()
    return epoch


def _found(connection: Connection) -> str:
    driver: Any = connection.connection.driver_connection
    cursor = driver.cursor()
    try:
        return _fingerprint(cursor, connection.engine.url)
    finally:
        cursor.close()


def _fingerprint(cursor: Any, url: URL) -> str:
    path = database_path(url)
    if path is not None:
        return f"file {path.stat().st_ino}"
    cursor.execute(_POSTGRESQL)
    cluster, timeline, database = cursor.fetchone()
    if timeline is None:
        raise StoreUnavailable("the server is a standby: it takes no writes")
    return f"cluster {cluster} timeline {timeline} database {database}"
