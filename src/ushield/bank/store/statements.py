"""Statements written once with SQLAlchemy, compiled once a dialect, and sent as they are.

The hot path runs five of them a transaction; SQLAlchemy's own execution would cost more than the
database does. They go to the driver's cursor, in the transaction of the connection they are given,
and no type of ours needs converting on its way in or out. Errors are the driver's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, Connection, Select, Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine.interfaces import Dialect
from sqlalchemy.sql.base import Executable

__all__ = ["Lookup", "Query", "Statement", "insert_unless_there"]


class Statement:
    """One statement with named parameters."""

    __slots__ = ("_compiled", "_executable")

    def __init__(self, executable: Executable) -> None:
        self._executable = executable
        self._compiled: dict[str, _Compiled] = {}

    def run(self, connection: Connection, **parameters: Any) -> int:
        """Run it once; how many rows it changed."""
        compiled = self._for(connection.dialect)
        with closing(_cursor(connection)) as cursor:
            cursor.execute(compiled.text, compiled.values(parameters))
            changed: int = cursor.rowcount
        return changed

    def run_many(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> int:
        """Run it for each of ``rows``; how many rows that changed in all."""
        compiled = self._for(connection.dialect)
        with closing(_cursor(connection)) as cursor:
            cursor.executemany(compiled.text, [compiled.values(row) for row in rows])
            changed: int = cursor.rowcount
        return changed

    def _fetch(self, connection: Connection, parameters: Mapping[str, Any]) -> Any:
        compiled = self._for(connection.dialect)
        with closing(_cursor(connection)) as cursor:
            cursor.execute(compiled.text, compiled.values(parameters))
            return cursor.fetchall()

    def _for(self, dialect: Dialect) -> _Compiled:
        found = self._compiled.get(dialect.name)
        if found is None:
            # SQLAlchemy has it on all that can be executed.
            compiled: Any = self._executable.compile(dialect=dialect)  # type: ignore[attr-defined]
            order = tuple(compiled.positiontup) if compiled.positional else None
            constants = {name: each for name, each in compiled.params.items() if each is not None}
            found = self._compiled[dialect.name] = _Compiled(str(compiled), order, constants)
        return found


class Query(Statement):
    """One statement with named parameters that gives rows."""

    __slots__ = ()

    def rows(self, connection: Connection, **parameters: Any) -> list[tuple[Any, ...]]:
        """What it finds."""
        found: list[tuple[Any, ...]] = self._fetch(connection, parameters)
        return found


def _cursor(connection: Connection) -> Any:
    driver: Any = connection.connection.dbapi_connection
    return driver.cursor()


@dataclass(frozen=True, slots=True)
class _Compiled:
    """A statement's text, the order of its parameters where they go by that, and its constants."""

    text: str
    order: tuple[str, ...] | None
    constants: Mapping[str, Any]

    def values(self, given: Mapping[str, Any]) -> Any:
        merged = {**self.constants, **given}
        return merged if self.order is None else tuple([merged[name] for name in self.order])


class Lookup:
    """Rows by some of their keys; ``select`` has no WHERE of its own."""

    __slots__ = ("_column", "_select", "_texts")

    def __init__(self, select: Select[Any], column: Column[Any]) -> None:
        self._select = select
        self._column = column
        self._texts: dict[str, str] = {}

    def find(self, connection: Connection, keys: Sequence[Any]) -> list[tuple[Any, ...]]:
        """The rows whose key is among ``keys``, in no order."""
        text = self._text(connection.dialect)
        values: tuple[Any, ...]
        if connection.dialect.name == "postgresql":
            text, values = f"{text} = ANY(%s)", (list(keys),)
        else:
            text, values = f"{text} IN ({','.join('?' * len(keys))})", tuple(keys)
        with closing(_cursor(connection)) as cursor:
            cursor.execute(text, values)
            found: list[tuple[Any, ...]] = cursor.fetchall()
        return found

    def _text(self, dialect: Dialect) -> str:
        text = self._texts.get(dialect.name)
        if text is None:
            column = self._column.compile(dialect=dialect)
            text = f"{self._select.compile(dialect=dialect)} WHERE {column}"
            self._texts[dialect.name] = text
        return text


def insert_unless_there(connection: Connection, table: Table, **values: Any) -> bool:
    """Insert a row, unless another one has its key or a unique value of it; whether it was done."""
    # Both dialects say it in the same words; SQLAlchemy has them in two places.
    dialect: Any = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(table).values(values).on_conflict_do_nothing()
    # psycopg forgets the number with its cursor, which SQLAlchemy closes after an INSERT.
    options = {"preserve_rowcount": True}
    return connection.execute(statement, execution_options=options).rowcount == 1
