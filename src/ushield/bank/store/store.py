"""The store: transactions that are done whole, or not at all, or say that nobody knows."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeVar

from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import SQLAlchemyError

from ushield.bank.errors import StoreBusy, StoreUnavailable
from ushield.bank.store.engine import WRITES, database_path, make_engine, store_url
from ushield.bank.store.failures import is_conflict, refuses_value, translate
from ushield.bank.store.identity import check_identity
from ushield.bank.store.schema import check_schema
from ushield.bank.watchdog import Watchdog
from ushield.errors import InputInvalid

__all__ = ["Conflict", "Store"]

T = TypeVar("T")
_MOST_ATTEMPTS = 20


class Conflict(Exception):
    """Raised by work that finds its own reading outdated: it is rolled back and tried again."""


class Store:
    """A database of the bank, safe to be used by threads, and by other processes beside it.

    Open it with `open`. Every wait ends after about ``timeout`` seconds with a `StoreError`. On
    SQLite that is the wait for other writers; how long a disk takes cannot be bounded. A value
    that the database cannot hold is `InputInvalid`.
    """

    def __init__(self, engine: Engine, *, timeout: float) -> None:
        self._engine = engine
        self._writing = engine.execution_options(**{WRITES: True})
        self._reading = engine
        if engine.dialect.name == "postgresql":
            self._reading = engine.execution_options(isolation_level="REPEATABLE READ")
        self._timeout = timeout
        self._driver_error: type[Exception] = engine.dialect.loaded_dbapi.Error
        self._path = database_path(engine.url)
        self._inode: int | None = None
        self._watchdog = Watchdog() if self._path is None else None

    @classmethod
    def open(cls, url: str, *, timeout: float = 5.0, pool_size: int = 8) -> Self:
        """Connect to the database that ``url`` names, which `create_store` has made.

        `StoreUnavailable` if there is none, `StoreOutdated` if its tables are of another version,
        `StoreRestored` if it is a copy that nobody has confirmed, `InputInvalid` for the URL.
        """
        parsed = store_url(url)
        path = database_path(parsed)
        if path is not None and not path.is_file():
            raise StoreUnavailable(
                f"{path}: no such database", remedy="Make it: `ushield bank init`."
            )
        engine = make_engine(parsed, timeout=timeout, pool_size=pool_size)
        event.listen(engine, "connect", _Checks(engine))
        store = cls(engine, timeout=timeout)
        try:
            if path is not None:
                store._inode = path.stat().st_ino
            store.read(lambda connection: None)
        except BaseException:
            store.close()
            raise
        return store

    @property
    def engine(self) -> Engine:
        """The engine itself, for migrations and reports."""
        return self._engine

    def write(self, work: Callable[[Connection], T]) -> T:
        """Run ``work`` in a transaction that is on the disk when this returns.

        ``work`` may be run several times, each time from the start: it must touch nothing but its
        connection. `OutcomeUnknown` if the database went away during the commit.
        """
        return self._run(self._writing, work)

    def read(self, work: Callable[[Connection], T], *, within: float | None = None) -> T:
        """Run ``work`` in a transaction that sees one state of the database and changes none.

        It may take ``within`` seconds; what the store allows for others if that is not given.
        """
        return self._run(self._reading, work, within)

    def close(self) -> None:
        """Let go of all connections; idempotent."""
        self._engine.dispose()
        if self._watchdog is not None:
            self._watchdog.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _run(
        self, engine: Engine, work: Callable[[Connection], T], within: float | None = None
    ) -> T:
        deadline = time.monotonic() + self._timeout
        reconnected = False
        for _ in range(_MOST_ATTEMPTS):
            self._check_file()
            attempt = _Attempt()
            try:
                return self._try(engine, work, within, attempt)
            except Conflict:
                pass
            except (SQLAlchemyError, self._driver_error) as error:
                retry = is_conflict(error)
                if attempt.disconnected and not attempt.committing and not reconnected:
                    # A pooled connection may have been dead long before this transaction.
                    retry = reconnected = True
                if refuses_value(error):
                    raise _invalid() from error
                if not retry or time.monotonic() > deadline:
                    ours = translate(error, committing=attempt.committing)
                    if ours is None:
                        raise
                    raise ours from error
            except (UnicodeEncodeError, OverflowError) as error:
                raise _invalid() from error
            if time.monotonic() > deadline:
                break
        raise StoreBusy("other transactions were quicker each time")

    def _try(
        self,
        engine: Engine,
        work: Callable[[Connection], T],
        within: float | None,
        attempt: _Attempt,
    ) -> T:
        with engine.connect() as connection:
            release = self._guard(connection, within)
            try:
                connection.begin()
                _allow(connection, within)
                result = work(connection)
                attempt.committing = True
                connection.commit()
            except (SQLAlchemyError, self._driver_error) as error:
                attempt.disconnected = _drop_if_dead(connection, error)
                raise
            finally:
                if release is not None:
                    release()
            return result

    def _guard(self, connection: Connection, within: float | None) -> Callable[[], None] | None:
        if self._watchdog is None:
            return None
        driver: Any = connection.connection.driver_connection
        return self._watchdog.watch(driver.fileno(), 1.5 * (within or self._timeout))

    def _check_file(self) -> None:
        if self._path is None:
            return
        try:
            found = os.stat(self._path).st_ino
        except OSError as error:
            raise StoreUnavailable(f"{self._path}: the database's file is gone") from error
        if found != self._inode:
            raise StoreUnavailable(
                f"{self._path}: another file took the database's place",
                remedy="Start this program again.",
            )


def _invalid() -> InputInvalid:
    return InputInvalid("a number too large, or a text with characters that no database keeps")


@dataclass(slots=True)
class _Attempt:
    """How far a transaction came."""

    committing: bool = False
    disconnected: bool = False


def _drop_if_dead(connection: Connection, error: BaseException) -> bool:
    """Keep a connection that is gone out of the pool; whether it was."""
    if connection.invalidated:
        return True
    driver: Any = connection.connection.dbapi_connection
    original: Any = getattr(error, "orig", error)
    if not connection.dialect.is_disconnect(original, driver, None):
        return False
    connection.invalidate(original)
    return True


def _allow(connection: Connection, seconds: float | None) -> None:
    if seconds is not None and connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SET LOCAL statement_timeout = {int(seconds * 1000)}")


class _Checks:
    """What a new connection must show before it is used."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __call__(self, connection: Any, record: Any) -> None:
        cursor = connection.cursor()
        try:
            check_schema(cursor)
            check_identity(cursor, self._engine.url)
        finally:
            cursor.close()
            if self._engine.dialect.name == "postgresql":
                connection.rollback()
