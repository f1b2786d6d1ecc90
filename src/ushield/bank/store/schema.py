"""Making the tables and bringing them up to date, by Alembic's migrations in this package."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, inspect, select
from sqlalchemy.exc import SQLAlchemyError

from ushield.bank.errors import StoreOutdated
from ushield.bank.moments import microseconds
from ushield.bank.store.engine import WRITES, make_engine, store_url
from ushield.bank.store.failures import translate
from ushield.bank.store.identity import first_identity
from ushield.bank.store.tables import instance

__all__ = ["HEAD", "check_schema", "create_store", "migrate"]

HEAD = "0005"
"""The newest migration, which this program works with."""

_LOCK = 0x75736869656C64
_TABLE = "alembic_version"


def create_store(url: str, at: datetime, *, timeout: float = 5.0) -> bool:
    """Make the tables of a new database, or bring an older one's up to date.

    Several processes may do it at once. True if there were none. `StoreError` if the database
    cannot be reached or written, `StoreOutdated` if its tables are newer than this program.
    """
    engine = make_engine(store_url(url), timeout=timeout, pool_size=1)
    try:
        with engine.execution_options(**{WRITES: True}).begin() as connection:
            _lock(connection)
            is_new = not inspect(connection).has_table(_TABLE)
            migrate(connection)
            if connection.execute(select(instance.c.number)).first() is None:
                first_identity(connection, microseconds(at))
    except SQLAlchemyError as error:
        ours = translate(error, committing=False)
        if ours is None:
            raise
        raise ours from error
    finally:
        engine.dispose()
    return is_new


def migrate(connection: Connection) -> None:
    """Run the migrations that are missing, in the transaction of ``connection``."""
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", "ushield.bank.store:migrations")
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise StoreOutdated(
            "the database's tables are newer than this program",
            remedy="Use the version of ushield that made them, or a newer one.",
        ) from error


def check_schema(cursor: Any) -> None:
    """Raise `StoreOutdated` unless the tables are those of `HEAD`."""
    cursor.execute("SELECT version_num FROM alembic_version")
    found = [row[0] for row in cursor.fetchall()]
    if found != [HEAD]:
        raise StoreOutdated(f"the database's tables are of version {found}, not {HEAD}")


def _lock(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
