"""Transactions on the NVRAM's file: durable when they return, undone when they fail."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, NoReturn, Self

from ushield.errors import StorageFull, TokenBusy, TokenRemoved, UShieldError
from ushield.virtual.nvram.faults import NvramFaults, PowerCut
from ushield.virtual.nvram.file import LockedFile
from ushield.virtual.nvram.reader import (
    NvramConnection,
    NvramReader,
    StorageFailed,
    connect_sqlite,
    damaged,
    reported,
)
from ushield.virtual.nvram.schema import UPGRADES, VERSION

__all__ = ["NvramFile", "Statement"]

Statement = tuple[str, Sequence[Any]]

# Room for the log is taken when the file is opened, enough for every commit up to the next
# checkpoint and one more: so on a disk that fills up, what a command began it can also end. A
# right PIN must not cost a try because there was room to spend it and none to restore it.
_COMMITS_PER_CHECKPOINT = 10
_LOG_ROOM = 512 * 1024


class NvramFile(NvramReader):
    """A token's file opened for writing: `open` it, use it from one thread at a time, `close` it.

    A write returns once the change is on the disk, all of it; otherwise it raises, and nothing of
    it is. `StorageFull` leaves the object usable; after `StorageFailed` or `PowerCut` it only
    raises, and the file must be opened again.
    """

    def __init__(
        self, file: LockedFile, connection: NvramConnection, faults: NvramFaults | None
    ) -> None:
        super().__init__(connection, file.path)
        self._file = file
        self._faults = faults
        self._writes = 0
        self._commits = 0

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        connect: Callable[[str], NvramConnection] = connect_sqlite,
        faults: NvramFaults | None = None,
    ) -> Self:
        """Open a token file for this process alone, and bring an older format up to date.

        ``connect`` opens the database; ``faults`` may cut the power at any write. Raises
        `TokenNotFound`, `TokenBusy`, `TokenFileInvalid`, `StorageFull`.
        """
        file = LockedFile.open(path)
        try:
            with reported(file.path):
                connection = connect(file.path)
            try:
                nvram = cls(file, connection, faults)
                nvram._prepare()
            except BaseException:
                connection.close()
                raise
        except BaseException:
            file.close()
            raise
        return nvram

    def _prepare(self) -> None:
        self._pragma("locking_mode = EXCLUSIVE")
        if self._pragma("journal_mode = WAL") != "wal":
            raise damaged(self.path, "it keeps no write-ahead log")
        with reported(self.path):
            self._connection.execute("PRAGMA synchronous = FULL")
            # What is deleted is overwritten with zeros: a deleted key is to be gone.
            self._connection.execute("PRAGMA secure_delete = ON")
        self._pragma("wal_autocheckpoint = 0")
        self.check()
        self._checkpoint()
        self._take_log_room()
        self._upgrade()

    def _upgrade(self) -> None:
        version = self._pragma("user_version")
        while version < VERSION:
            version += 1
            self._write(*UPGRADES[version - 1], (f"PRAGMA user_version = {version}", ()))

    def close(self) -> None:
        """Close the file and let others open it; harmless to repeat."""
        self._switch_off(TokenRemoved("the token file was closed"))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _write(self, *statements: Statement, completing: bool = False) -> None:
        """Run the statements as one transaction.

        ``completing``: it ends what the transaction before it began, and may not be refused for
        want of a checkpoint.
        """
        self._check_place()
        if self._commits >= _COMMITS_PER_CHECKPOINT and not completing:
            self._checkpoint()
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            for sql, parameters in statements:
                self._step(sql, parameters)
            self._step("COMMIT", ())
        except PowerCut as cut:
            self._switch_off(cut)
            raise
        except sqlite3.Error as error:
            self._give_up(error)
        except BaseException:
            self._roll_back()
            raise
        self._commits += 1

    def _write_much(self, *statements: Statement) -> None:
        """`_write` what may take more of the log than was kept: the next write begins it anew."""
        self._write(*statements)
        self._commits = _COMMITS_PER_CHECKPOINT

    def _check_place(self) -> None:
        """Refuse to write where it would be lost, or another process's writes with it."""
        if os.getpid() != self._file.process:
            raise TokenBusy(f"{self.path} was opened before this process was forked")
        if self._file.log_removed:
            lost = StorageFailed(f"the log of {self.path} was removed")
            self._switch_off(lost)
            raise lost

    def _step(self, sql: str, parameters: Sequence[Any]) -> None:
        faults = self._faults
        if faults is None:
            self._connection.execute(sql, parameters)
            return
        self._writes += 1
        faults.before_write(self._writes)
        self._connection.execute(sql, parameters)
        faults.after_write(self._writes)

    def _give_up(self, error: sqlite3.Error) -> NoReturn:
        self._roll_back()
        try:
            with reported(self.path):
                raise error
        except StorageFailed as failed:
            # What the kernel holds and what the disk holds may differ now: no commit may build
            # on it.
            self._switch_off(failed)
            raise

    def _roll_back(self) -> None:
        # SQLite rolls some failures back on its own and then knows no transaction.
        with suppress(sqlite3.Error):
            self._connection.execute("ROLLBACK")

    def _checkpoint(self) -> None:
        """Bring the log into the database, so that the log is written from its beginning again.

        `StorageFull` if the database cannot grow; then the next write tries it first.
        """
        try:
            list(self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)"))
        except sqlite3.Error as error:
            self._give_up(error)
        self._commits = 0

    def _take_log_room(self) -> None:
        try:
            os.posix_fallocate(self._file.log, 0, _LOG_ROOM)
        except OSError as error:
            raise StorageFull(f"no room on the disk of {self.path}") from error

    def _switch_off(self, reason: UShieldError) -> None:
        connection, self._connection = self._connection, _NoConnection(reason)
        # Closing rolls back what was not committed; it checkpoints too, and where that fails the
        # log stays beside the file and is read by the next opening.
        with suppress(sqlite3.Error):
            connection.close()
        self._file.close()


class _NoConnection:
    """What stands in for the database once it is closed."""

    def __init__(self, reason: UShieldError) -> None:
        self._reason = reason

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> NoReturn:
        raise type(self._reason)(str(self._reason))

    def close(self) -> None:
        pass
