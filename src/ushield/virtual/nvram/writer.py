"""The NVRAM as the token's firmware writes it: every change one transaction, durable at return."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, NoReturn

from ushield.errors import StorageFull, TokenFull, TokenRemoved, UShieldError
from ushield.pin import PinReference
from ushield.virtual.nvram.faults import NvramFaults, PowerCut
from ushield.virtual.nvram.file import LockedFile, log_path, place
from ushield.virtual.nvram.reader import (
    NvramConnection,
    NvramReader,
    StorageFailed,
    connect_sqlite,
    damaged,
    reported,
)
from ushield.virtual.nvram.records import Personalisation, SecretHash, StoredKey
from ushield.virtual.nvram.schema import blank_image

__all__ = ["Nvram"]

_Statement = tuple[str, Sequence[Any]]

# Room for the log is taken when the file is opened, enough for every commit up to the next
# checkpoint: so on a disk that fills up, what a command began it can also end. A right PIN must
# not cost a try because there was room to spend it and none to restore it.
_COMMITS_PER_CHECKPOINT = 10
_LOG_ROOM = 512 * 1024

_RESTORE = "UPDATE secret SET tries_left = max_tries WHERE reference = ?"
_REPLACE = (
    "UPDATE secret SET salt = ?, hash = ?, must_change = ?, tries_left = max_tries"
    " WHERE reference = ?"
)


class Nvram(NvramReader):
    """A token's memory: `open` it, use it from one thread at a time, `close` it.

    A method that writes returns once the change is on the disk, all of it; otherwise it raises,
    and nothing of it is. `StorageFull` leaves the object usable; after `StorageFailed` or
    `PowerCut` it only raises, and the file must be opened again.
    """

    def __init__(
        self, file: LockedFile, connection: NvramConnection, faults: NvramFaults | None
    ) -> None:
        super().__init__(connection, file.path)
        self._file = file
        self._faults = faults
        self._writes = 0
        self._commits = 0

    @staticmethod
    def create(path: str | os.PathLike[str], personalisation: Personalisation) -> None:
        """Make a token file: complete or not at all, never over another file.

        `TokenFileInvalid` if something is there already; `StorageFull`.
        """
        place(path, blank_image(personalisation))

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        connect: Callable[[str], NvramConnection] = connect_sqlite,
        faults: NvramFaults | None = None,
    ) -> Nvram:
        """Open a token file for this process alone.

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
        self._pragma("wal_autocheckpoint = 0")
        self.check()
        self._checkpoint()
        self._take_log_room()

    def close(self) -> None:
        """Close the file and let others open it; harmless to repeat."""
        self._switch_off(TokenRemoved("the token file was closed"))

    def __enter__(self) -> Nvram:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def spend_try(self, reference: PinReference) -> None:
        """Take one try away."""
        self._write(
            (
                "UPDATE secret SET tries_left = tries_left - 1 WHERE reference = ?",
                (reference.value,),
            )
        )

    def restore_tries(self, reference: PinReference) -> None:
        """Give all tries back."""
        self._write((_RESTORE, (reference.value,)))

    def replace_secret(
        self, reference: PinReference, secret: SecretHash, *, must_change: bool = False
    ) -> None:
        """Set a new PIN or PUK and give all its tries back."""
        self._write(_replacement(reference, secret, must_change=must_change))

    def unblock(self, user: SecretHash) -> None:
        """Set a new PIN by the right PUK: all tries of both are back."""
        self._write(_replacement(PinReference.USER, user), (_RESTORE, (PinReference.PUK.value,)))

    def unblock_by_bank(self, user: SecretHash) -> None:
        """Set a new PIN by the bank's signature: its tries are back, and the unblock is counted."""
        self._write(
            _replacement(PinReference.USER, user),
            ("UPDATE counter SET unblocks = unblocks + 1", ()),
        )

    def free_key_reference(self) -> int:
        """The reference for the next key; `TokenFull`."""
        return _first_free(
            (key.reference for key in self.keys()), self.profile.max_keys, "another key"
        )

    def add_key(self, key: StoredKey) -> None:
        """Store a key pair under a reference that is free."""
        self._write(
            (
                "INSERT INTO key VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    key.reference,
                    key.algorithm.value,
                    int(key.usage),
                    key.key_id,
                    key.label,
                    key.public_key,
                    key.private_key,
                ),
            )
        )

    def put_certificate(
        self,
        der: bytes,
        *,
        slot: int = 0,
        key_id: bytes = b"",
        label: str = "",
        is_ca: bool = False,
    ) -> int:
        """Store a certificate in place of what ``slot`` holds; the slot.

        Slot 0 stands for the one that has the same key's certificate, or else a free one.
        `TokenFull` where there is no such slot, or the certificate is too large for the profile.
        """
        if len(der) > self.profile.max_certificate:
            raise TokenFull(f"a certificate has at most {self.profile.max_certificate} bytes here")
        if not 0 <= slot <= self.profile.max_certificates:
            raise TokenFull(f"the token has {self.profile.max_certificates} certificate slots")
        slot = slot or self._certificate_slot(b"" if is_ca else key_id)
        self._write(
            (
                "INSERT OR REPLACE INTO certificate VALUES (?, ?, ?, ?, ?)",
                (slot, key_id, label, int(is_ca), der),
            )
        )
        return slot

    def _certificate_slot(self, key_id: bytes) -> int:
        certificates = self.certificates()
        for certificate in certificates:
            if key_id and certificate.key_id == key_id and not certificate.is_ca:
                return certificate.slot
        return _first_free(
            (certificate.slot for certificate in certificates),
            self.profile.max_certificates,
            "another certificate",
        )

    def delete_certificate(self, slot: int) -> None:
        """Delete one; `ObjectNotFound`."""
        self.certificate(slot)
        self._write(("DELETE FROM certificate WHERE slot = ?", (slot,)))

    def set_label(self, label: str) -> None:
        """Name the token."""
        self._write(("UPDATE identity SET label = ?", (label,)))
        del self.identity

    def record_signature(self, key_reference: int, message: bytes, time: int) -> int:
        """Count a signature and keep its voucher, in one commit; the new counter.

        ``time`` in milliseconds since 1970, UTC. The profile says how many vouchers are kept.
        """
        counter = self.counters().signatures + 1
        self._write(
            ("UPDATE counter SET signatures = ?", (counter,)),
            (
                "INSERT OR REPLACE INTO voucher VALUES (?, ?, ?, ?, ?)",
                (counter % self.profile.vouchers, counter, time, key_reference, message),
            ),
        )
        return counter

    def count_power_up(self) -> None:
        """Count that the token was switched on."""
        self._write(("UPDATE counter SET power_ups = power_ups + 1", ()))

    def _write(self, *statements: _Statement) -> None:
        """Run the statements as one transaction."""
        if self._commits >= _COMMITS_PER_CHECKPOINT:
            self._checkpoint()
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            for sql, parameters in statements:
                self._step(sql, parameters)
            self._step("COMMIT", ())
        except sqlite3.Error as error:
            self._give_up(error)
        except PowerCut as cut:
            self._switch_off(cut)
            raise
        self._commits += 1

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
        # SQLite rolls some failures back on its own and then knows no transaction.
        with suppress(sqlite3.Error):
            self._connection.execute("ROLLBACK")
        try:
            with reported(self.path):
                raise error
        except StorageFailed as failed:
            # What the kernel holds and what the disk holds may differ now: nothing more is
            # written on top of it.
            self._switch_off(failed)
            raise

    def _checkpoint(self) -> None:
        """Bring the log into the database, so that the log is written from its beginning again.

        `StorageFull` if the database cannot grow; then the next write tries it first.
        """
        busy, logged, moved = self._row("PRAGMA wal_checkpoint(PASSIVE)")
        if busy or logged != moved:
            raise StorageFull(f"no room on the disk of {self.path}")
        self._commits = 0

    def _take_log_room(self) -> None:
        descriptor = os.open(log_path(self.path), os.O_RDWR | os.O_CLOEXEC)
        try:
            os.posix_fallocate(descriptor, 0, _LOG_ROOM)
        except OSError as error:
            raise StorageFull(f"no room on the disk of {self.path}") from error
        finally:
            os.close(descriptor)

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


def _replacement(
    reference: PinReference, secret: SecretHash, *, must_change: bool = False
) -> _Statement:
    return _REPLACE, (secret.salt, secret.hash, int(must_change), reference.value)


def _first_free(taken: Iterable[int], most: int, what: str) -> int:
    used = set(taken)
    for number in range(1, most + 1):
        if number not in used:
            return number
    raise TokenFull(f"no room for {what}: the token holds {most}")
