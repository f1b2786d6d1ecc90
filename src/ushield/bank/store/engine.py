"""Connections: how SQLite and PostgreSQL are set before anything else is said on them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from ushield.bank.errors import StoreUnavailable
from ushield.errors import InputInvalid

__all__ = ["WRITES", "database_path", "make_engine", "store_url"]

WRITES = "ushield_writes"
"""Execution option of connections whose transactions write."""

_SQLITE = "sqlite"
_POSTGRESQL = "postgresql+psycopg"


def store_url(text: str) -> URL:
    """Read a database's URL: ``sqlite:///PATH`` or ``postgresql://[USER@][HOST]/NAME``.

    `InputInvalid` for one of another kind, and for SQLite in memory, which forgets.
    """
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        # The text may hold a password, so it is not repeated.
        raise InputInvalid("not a database's URL, such as sqlite:///bank.db") from None
    if url.drivername == "postgresql":
        url = url.set(drivername=_POSTGRESQL)
    if url.drivername == _SQLITE and url.database and not url.database.startswith((":", "file:")):
        return url.set(database=os.path.abspath(url.database))
    if url.drivername == _POSTGRESQL:
        return url
    raise InputInvalid(
        f"{url.drivername}: the bank keeps its data in a file (sqlite:///PATH) or in PostgreSQL"
        " (postgresql://HOST/NAME)"
    )


def database_path(url: URL) -> Path | None:
    """The file of a SQLite database."""
    return Path(url.database or "") if url.drivername == _SQLITE else None


def make_engine(url: URL, *, timeout: float, pool_size: int) -> Engine:
    """An engine whose every wait ends within about ``timeout`` seconds; connects to nothing yet."""
    settings: dict[str, Any] = {
        "pool_size": pool_size,
        "max_overflow": 0,
        "pool_timeout": timeout,
        "pool_reset_on_return": "rollback",
    }
    if url.drivername == _SQLITE:
        connect: dict[str, Any] = {
            "timeout": timeout,
            "isolation_level": None,
            "check_same_thread": False,
        }
    else:
        connect = _postgresql(timeout)
    try:
        engine = create_engine(url, connect_args=connect, **settings)
    except (ModuleNotFoundError, NoSuchModuleError) as error:
        raise StoreUnavailable(
            f"the module {getattr(error, 'name', None) or 'psycopg'} is not installed",
            remedy="pip install 'ushield[bank,postgresql]'",
        ) from error
    if url.drivername == _SQLITE:
        event.listen(engine, "connect", _set_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    return engine


def _postgresql(timeout: float) -> dict[str, Any]:
    milliseconds = max(1, int(timeout * 1000))
    options = {
        "statement_timeout": milliseconds,
        "lock_timeout": milliseconds,
        "idle_in_transaction_session_timeout": 2 * milliseconds,
        # A server set otherwise would answer before the commit is on its disk.
        "synchronous_commit": "on",
        "timezone": "UTC",
    }
    return {
        "connect_timeout": max(2, round(timeout)),
        "tcp_user_timeout": milliseconds,
        "keepalives_idle": max(1, round(timeout)),
        "application_name": "ushield-bank",
        "options": " ".join(f"-c {name}={value}" for name, value in options.items()),
    }


def _set_sqlite(connection: Any, record: Any) -> None:
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        # What was erased must not be left lying in the file.
        "secure_delete=ON",
        "trusted_schema=OFF",
    ):
        connection.execute(f"PRAGMA {pragma}").close()


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that only comes to write would fail where it cannot wait (SQLITE_BUSY at once).
    writes = connection.get_execution_options().get(WRITES, False)
    driver: Any = connection.connection.dbapi_connection
    driver.execute("BEGIN IMMEDIATE" if writes else "BEGIN").close()
