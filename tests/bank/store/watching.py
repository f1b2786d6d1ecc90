"""Looking at statements on their way to the driver, past SQLAlchemy's events."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection

from ushield.bank.store import statements

__all__ = ["statements_watched", "watch_statements"]

Seen = Callable[[str, Any], object]


class _Watched:
    """A driver's cursor that tells what it is given."""

    def __init__(self, cursor: Any, before: Seen, after: Seen) -> None:
        self._cursor = cursor
        self._before = before
        self._after = after

    def execute(self, text: str, values: Any) -> None:
        self._before(text, values)
        self._cursor.execute(text, values)
        self._after(text, values)

    def executemany(self, text: str, values: Any) -> None:
        self._before(text, values)
        self._cursor.executemany(text, values)
        self._after(text, values)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)


def watch_statements(*, before: Seen, after: Seen) -> Callable[[Connection], Any]:
    """Tell of every statement of ours from now on, in this process; how it was made before."""
    made = statements._cursor

    def watched(connection: Connection) -> Any:
        return _Watched(made(connection), before, after)

    statements._cursor = watched
    return made


@contextmanager
def statements_watched(seen: Seen) -> Iterator[None]:
    """Tell of every statement of ours before it runs."""
    made = watch_statements(before=seen, after=lambda text, values: None)
    try:
        yield
    finally:
        statements._cursor = made  # type: ignore[assignment]
