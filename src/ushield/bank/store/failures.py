"""What a database's complaint means for whoever asked: one of the bank's own errors."""

from __future__ import annotations

import sqlite3

from sqlalchemy import exc

from ushield.bank.errors import (
    OutcomeUnknown,
    StoreBusy,
    StoreCorrupt,
    StoreFull,
    StoreOutdated,
    StoreUnavailable,
)
from ushield.errors import StoreError

__all__ = ["is_conflict", "refuses_value", "translate"]

_SQLITE: dict[int, type[StoreError]] = {
    sqlite3.SQLITE_BUSY: StoreBusy,
    sqlite3.SQLITE_LOCKED: StoreBusy,
    sqlite3.SQLITE_FULL: StoreFull,
    sqlite3.SQLITE_CORRUPT: StoreCorrupt,
    sqlite3.SQLITE_NOTADB: StoreCorrupt,
    sqlite3.SQLITE_IOERR: StoreUnavailable,
    sqlite3.SQLITE_CANTOPEN: StoreUnavailable,
    sqlite3.SQLITE_READONLY: StoreUnavailable,
    sqlite3.SQLITE_PERM: StoreUnavailable,
    sqlite3.SQLITE_AUTH: StoreUnavailable,
    sqlite3.SQLITE_NOMEM: StoreUnavailable,
}
# PostgreSQL, appendix A, error codes: a whole class by two characters, or one code.
_POSTGRESQL: dict[str, type[StoreError]] = {
    "08": StoreUnavailable,
    "28": StoreUnavailable,
    "3D": StoreUnavailable,
    "57": StoreUnavailable,
    "58": StoreUnavailable,
    "53": StoreUnavailable,
    "25006": StoreUnavailable,
    "25P03": StoreBusy,
    "42501": StoreUnavailable,
    "53100": StoreFull,
    "53300": StoreBusy,
    "55P03": StoreBusy,
    "57014": StoreBusy,
    "40001": StoreBusy,
    "40P01": StoreBusy,
    "XX001": StoreCorrupt,
    "XX002": StoreCorrupt,
    "42P01": StoreOutdated,
    "42703": StoreOutdated,
}
_OPERATIONAL = ("OperationalError", "InterfaceError", "ConnectionTimeout")
_CONFLICTS = frozenset(("40001", "40P01"))
_DATA_EXCEPTION = "22"


def translate(error: BaseException, *, committing: bool) -> StoreError | None:
    """The bank's error for ``error``, or ``None`` for one that is a mistake of the program.

    ``committing`` tells that COMMIT was under way: a connection lost then leaves it open whether
    it was done.
    """
    if isinstance(error, exc.TimeoutError):
        return StoreBusy("no connection to the database became free in time")
    original = _original(error)
    if original is None:
        return None
    kind = _kind(original)
    if kind is None:
        return None
    if committing and kind is StoreUnavailable:
        kind = OutcomeUnknown
    first_line = str(original).strip().split("\n", 1)[0]
    return kind(f"the database: {first_line}")


def is_conflict(error: BaseException) -> bool:
    """The database gave way to another transaction and asks to be tried again."""
    return getattr(_original(error), "sqlstate", None) in _CONFLICTS


def refuses_value(error: BaseException) -> bool:
    """A value that was to be kept or looked for is none: too large, half a character, a NUL."""
    # The drivers raise these themselves, before the database hears of it.
    if isinstance(error, UnicodeEncodeError | OverflowError):
        return True
    original = _original(error)
    state = getattr(original, "sqlstate", None)
    if state is None:
        return type(original).__name__ == "DataError"
    return str(state).startswith(_DATA_EXCEPTION)


def _original(error: BaseException) -> BaseException | None:
    """The driver's own error, as SQLAlchemy wraps it, or as our statements let it through."""
    if isinstance(error, exc.DBAPIError):
        return error.orig
    is_driver = type(error).__module__.partition(".")[0] in ("sqlite3", "psycopg")
    return error if is_driver else None


def _kind(original: BaseException) -> type[StoreError] | None:
    if isinstance(original, sqlite3.Error):
        code: int | None = getattr(original, "sqlite_errorcode", None)
        if code is not None:
            found = _SQLITE.get(code & 0xFF)
            if found is not None:
                return found
        return _without_table(original)
    state = getattr(original, "sqlstate", None)
    if state is None:
        return StoreUnavailable if type(original).__name__ in _OPERATIONAL else None
    return _POSTGRESQL.get(state) or _POSTGRESQL.get(state[:2])


def _without_table(original: sqlite3.Error) -> type[StoreError] | None:
    return StoreOutdated if str(original).startswith(("no such table", "no such column")) else None
