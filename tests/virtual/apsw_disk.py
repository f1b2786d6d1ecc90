"""A file system below SQLite that writes down everything done to it, so that a test can cut the
power at any point and say which unsynchronised writes reached the disk.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from typing import Any

import apsw

__all__ = ["Disk", "DiskFile", "Kind", "Step", "Survival", "connect_through", "image_after"]


class Kind(Enum):
    """What was asked of the file system."""

    WRITE = "write"
    TRUNCATE = "truncate"
    SYNC = "sync"
    DELETE = "delete"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class Step:
    """One request. ``data`` to be written at ``at``, or ``at`` as the length to cut to."""

    kind: Kind
    path: str
    at: int = 0
    data: bytes = b""


class Disk(apsw.VFS):
    """SQLite's own file system, watched. ``before`` may raise what the disk should fail with."""

    def __init__(self, name: str, before: Callable[[Step], None] = lambda step: None) -> None:
        self.name = name
        self.steps: list[Step] = []
        self.before = before
        super().__init__(name, "unix")

    def take(self, step: Step) -> None:
        self.before(step)
        self.steps.append(step)

    def xOpen(self, name: Any, flags: list[int]) -> DiskFile:
        path = name if isinstance(name, str) else name.filename()
        self.take(Step(Kind.OPEN, path))
        return DiskFile(self, name, flags, path)

    def xDelete(self, name: str, syncdir: bool) -> None:
        self.take(Step(Kind.DELETE, name))
        super().xDelete(name, syncdir)


class DiskFile(apsw.VFSFile):
    """One file of a `Disk`."""

    def __init__(self, disk: Disk, name: Any, flags: list[int], path: str) -> None:
        self._disk = disk
        self._path = path
        super().__init__("unix", name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:
        self._disk.take(Step(Kind.WRITE, self._path, offset, bytes(data)))
        super().xWrite(data, offset)

    def xTruncate(self, newsize: int) -> None:
        self._disk.take(Step(Kind.TRUNCATE, self._path, newsize))
        super().xTruncate(newsize)

    def xSync(self, flags: int) -> None:
        self._disk.take(Step(Kind.SYNC, self._path))
        super().xSync(flags)


class _Connection:
    """An apsw connection with the manners of `sqlite3.Connection`."""

    def __init__(self, connection: apsw.Connection, committed: Callable[[], None]) -> None:
        self._connection = connection
        self._committed = committed

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> Iterable[Any]:
        with _as_sqlite3():
            rows = list(self._connection.execute(sql, tuple(parameters)))
        if sql == "COMMIT":
            self._committed()
        return rows

    def close(self) -> None:
        with _as_sqlite3():
            self._connection.close()


@contextmanager
def _as_sqlite3() -> Iterator[None]:
    try:
        yield
    except apsw.Error as error:
        failure = sqlite3.OperationalError(str(error))
        failure.sqlite_errorcode = getattr(error, "extendedresult", apsw.SQLITE_ERROR)
        raise failure from error


def connect_through(
    disk: Disk, committed: Callable[[], None] = lambda: None
) -> Callable[[str], _Connection]:
    """What to hand to `Nvram.open` as ``connect``; ``committed`` is called after each COMMIT."""

    def connect(path: str) -> _Connection:
        with _as_sqlite3():
            return _Connection(apsw.Connection(path, vfs=disk.name), committed)

    return connect


class Survival(Enum):
    """Which of the writes that were not synchronised yet the power cut left on the disk."""

    NONE = "none of them"
    ALL = "all of them"
    FIRST = "the first"
    LAST = "the last"
    ODD = "every other"
    TORN = "all, the last one half"
    DATABASE = "the database's"
    LOG = "the log's"


def _surviving(steps: list[Step], path: str, survival: Survival) -> list[Step]:
    match survival:
        case Survival.ALL:
            return steps
        case Survival.FIRST:
            return steps[:1]
        case Survival.LAST:
            return steps[-1:]
        case Survival.ODD:
            return steps[::2]
        case Survival.TORN if steps:
            last = steps[-1]
            half = last.data[: len(last.data) // 2]
            return [*steps[:-1], Step(last.kind, last.path, last.at, half)]
        case Survival.DATABASE:
            return [] if path.endswith("-wal") else steps
        case Survival.LOG:
            return steps if path.endswith("-wal") else []
    return []


def _apply(content: bytes | None, step: Step) -> bytes | None:
    match step.kind:
        case Kind.WRITE:
            grown = bytearray(content or b"")
            grown.extend(bytes(max(0, step.at - len(grown))))
            grown[step.at : step.at + len(step.data)] = step.data
            return bytes(grown)
        case Kind.TRUNCATE:
            return (content or b"")[: step.at].ljust(step.at, b"\0")
        case Kind.DELETE:
            return None
        case Kind.OPEN:
            return content or b""
        case Kind.SYNC:
            return content


def image_after(
    start: Mapping[str, bytes], steps: Sequence[Step], survival: Survival
) -> dict[str, bytes]:
    """The files that are found when the power comes back after ``steps``, by path."""
    durable: dict[str, bytes | None] = dict(start)
    pending: dict[str, list[Step]] = {}
    for step in steps:
        waiting = pending.setdefault(step.path, [])
        waiting.append(step)
        if step.kind is Kind.SYNC:
            for each in waiting:
                durable[step.path] = _apply(durable.get(step.path), each)
            waiting.clear()
    for path, waiting in pending.items():
        for step in _surviving(waiting, path, survival):
            durable[path] = _apply(durable.get(path), step)
    return {path: content for path, content in durable.items() if content is not None}
