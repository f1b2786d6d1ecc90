"""The NVRAM's records, read: what `Nvram` and a copy of its file have in common."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any, Protocol

from ushield.algorithms import KeyAlgorithm
from ushield.errors import (
    InputInvalid,
    ObjectNotFound,
    StorageFull,
    TokenBusy,
    TokenFileInvalid,
    UShieldError,
)
from ushield.pin import PinReference
from ushield.piv.commands import ManagementAlgorithm, PinPolicy, TouchPolicy
from ushield.shield.application import Counters
from ushield.shield.commands import KeyUsageCode
from ushield.shield.requests import Voucher
from ushield.virtual.nvram.records import (
    CertificateRecord,
    ChannelKey,
    Identity,
    ManagementKey,
    PivKey,
    SecretHash,
    StoredKey,
    StoredReference,
)
from ushield.virtual.nvram.schema import APPLICATION_ID, SCHEMAS
from ushield.virtual.profile import VirtualProfile, load_profile

__all__ = ["NvramConnection", "NvramReader", "StorageFailed", "connect_sqlite", "reported"]

_FIRST_WITH_PIV = 2
_FIRST_WITH_CHANNEL = 3


class StorageFailed(UShieldError):
    """The disk under a virtual token failed; what was committed before is in the file."""

    code = "storage-failed"
    default_remedy = "Check the disk of the token file, then open the token again."


class NvramConnection(Protocol):
    """The part of `sqlite3.Connection` that the NVRAM uses.

    Autocommit but for explicit transactions; failures are `sqlite3.Error` with SQLite's extended
    result code in ``sqlite_errorcode``.
    """

    def execute(self, sql: str, parameters: Sequence[Any] = ..., /) -> Iterable[Any]:
        """Run one statement; its rows."""

    def close(self) -> None:
        """Close the file, checkpointing its log if it was the last to use it."""


def connect_sqlite(path: str) -> NvramConnection:
    """The machine's SQLite on ``path``. Any one thread at a time may use it; it never waits."""
    return sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)


def _translated(error: sqlite3.Error, path: str) -> UShieldError:
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return StorageFull(f"no room on the disk of {path}")
    if code == sqlite3.SQLITE_IOERR:
        return StorageFailed(f"the disk of {path} failed: {error}")
    if code == sqlite3.SQLITE_BUSY:
        return TokenBusy(f"{path} is in use")
    if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
        return TokenFileInvalid(
            f"{path} cannot be written to: {error}",
            path=path,
            remedy="Keep the file in a directory that you may write to.",
        )
    if code in (sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_TOOBIG):
        return InputInvalid(f"the token's memory cannot hold this: {error}")
    return damaged(path, str(error))


def damaged(path: str, why: str) -> TokenFileInvalid:
    """What to raise for a file that is not, or no longer, a token's."""
    return TokenFileInvalid(
        f"{path} is damaged or not a token file: {why}",
        path=path,
        remedy="Restore the file from a copy, or create a new token.",
    )


@contextmanager
def reported(path: str) -> Iterator[None]:
    """Turn SQLite's errors on the file ``path`` into this library's."""
    try:
        yield
    except sqlite3.Error as error:
        raise _translated(error, path) from error
    except ValueError as error:
        # Text that is no UTF-8 (SQLite's message about it included), or a code nobody wrote.
        raise damaged(path, str(error)) from error


class NvramReader:
    """A token's records. Methods read the file each time and keep nothing.

    `TokenFileInvalid` where the file turns out to be damaged.
    """

    def __init__(self, connection: NvramConnection, path: str) -> None:
        self._connection = connection
        self.path = path

    def check(self) -> None:
        """`TokenFileInvalid` unless this is an undamaged token file of a version known here."""
        if self._pragma("application_id") != APPLICATION_ID:
            raise damaged(self.path, "another program's database")
        version = self._pragma("user_version")
        if version not in SCHEMAS:
            raise TokenFileInvalid(
                f"{self.path} has format {version}; this version of ushield reads"
                f" {min(SCHEMAS)} to {max(SCHEMAS)}",
                path=self.path,
                remedy="Open it with the version of ushield that made it.",
            )
        verdict = self._pragma("integrity_check(1)")
        if verdict != "ok":
            raise damaged(self.path, verdict)
        tables = "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY rowid"
        if tuple(sql for (sql,) in self._rows(tables)) != SCHEMAS[version]:
            raise damaged(self.path, "unknown tables")
        with reported(self.path):
            _ = self.identity, self.keys(), self.counters(), *map(self.reference, PinReference)
            if self.has_piv:
                _ = self.piv_keys(), self.management_key()
            if version >= _FIRST_WITH_CHANNEL:
                _ = self.channel_key()
        _ = self.profile

    @property
    def has_piv(self) -> bool:
        """Whether the file is of a format that has a PIV application."""
        return bool(self._pragma("user_version") >= _FIRST_WITH_PIV)

    @cached_property
    def identity(self) -> Identity:
        """Who this token is."""
        return Identity(
            *self._row(
                "SELECT serial, label, profile, device_key, device_certificate, unblock_key"
                " FROM identity"
            )
        )

    @cached_property
    def profile(self) -> VirtualProfile:
        """What kind of token this is."""
        try:
            return load_profile(self.identity.profile)
        except InputInvalid as error:
            raise TokenFileInvalid(str(error), path=self.path, remedy=error.remedy) from error

    def reference(self, reference: PinReference) -> StoredReference:
        """A PIN's or PUK's hash and counter."""
        salt, hashed, tries_left, max_tries, must_change = self._row(
            "SELECT salt, hash, tries_left, max_tries, must_change FROM secret WHERE reference = ?",
            (reference.value,),
        )
        return StoredReference(SecretHash(salt, hashed), tries_left, max_tries, bool(must_change))

    def keys(self) -> tuple[StoredKey, ...]:
        """All key pairs, by reference."""
        return tuple(
            StoredKey(reference, KeyAlgorithm(algorithm), KeyUsageCode(usage), *rest)
            for reference, algorithm, usage, *rest in self._rows(
                "SELECT reference, algorithm, usage, key_id, label, public_key, private_key"
                " FROM key ORDER BY reference"
            )
        )

    def key(self, reference: int) -> StoredKey:
        """One key pair; `ObjectNotFound`."""
        for row in self._rows(
            "SELECT algorithm, usage, key_id, label, public_key, private_key"
            " FROM key WHERE reference = ?",
            (reference,),
        ):
            return StoredKey(reference, KeyAlgorithm(row[0]), KeyUsageCode(row[1]), *row[2:])
        raise ObjectNotFound(f"no key {reference} on the token")

    def last_key_reference(self) -> int:
        """The reference of the key that was made last, deleted since or not; 0 before the first."""
        reference: int = self._row("SELECT last_key_reference FROM counter")[0]
        return reference

    def certificates(self) -> tuple[CertificateRecord, ...]:
        """All certificates, by slot."""
        return tuple(
            CertificateRecord(slot, key_id, label, der, bool(is_ca))
            for slot, key_id, label, der, is_ca in self._rows(
                "SELECT slot, key_id, label, der, is_ca FROM certificate ORDER BY slot"
            )
        )

    def certificate(self, slot: int) -> CertificateRecord:
        """One certificate; `ObjectNotFound`."""
        for key_id, label, der, is_ca in self._rows(
            "SELECT key_id, label, der, is_ca FROM certificate WHERE slot = ?", (slot,)
        ):
            return CertificateRecord(slot, key_id, label, der, bool(is_ca))
        raise ObjectNotFound(f"no certificate in slot {slot} of the token")

    def counters(self) -> Counters:
        """Signatures made, PINs unblocked by the bank, and power-ups."""
        return Counters(*self._row("SELECT signatures, unblocks, power_ups FROM counter"))

    def vouchers(self) -> tuple[Voucher, ...]:
        """The records of signatures that are still kept, newest first."""
        return tuple(
            Voucher(*row)
            for row in self._rows(
                "SELECT counter, time, key_reference, message FROM voucher ORDER BY counter DESC"
            )
        )

    def voucher(self, index: int) -> Voucher:
        """The record ``index`` signatures ago, 0 being the newest; `ObjectNotFound`."""
        for row in self._rows(
            "SELECT counter, time, key_reference, message FROM voucher"
            " ORDER BY counter DESC LIMIT 1 OFFSET ?",
            (index,),
        ):
            return Voucher(*row)
        raise ObjectNotFound(f"the token keeps no voucher {index}")

    def piv_keys(self) -> tuple[PivKey, ...]:
        """The PIV application's key pairs, by slot."""
        return tuple(
            PivKey(
                slot,
                KeyAlgorithm(algorithm),
                PinPolicy(pin_policy),
                TouchPolicy(touch_policy),
                bool(generated),
                *rest,
            )
            for slot, algorithm, pin_policy, touch_policy, generated, *rest in self._rows(
                "SELECT slot, algorithm, pin_policy, touch_policy, generated, public_key,"
                " private_key FROM piv_key ORDER BY slot"
            )
        )

    def piv_key(self, slot: int) -> PivKey:
        """One of them; `ObjectNotFound`."""
        for key in self.piv_keys():
            if key.slot == slot:
                return key
        raise ObjectNotFound(f"no PIV key in slot {slot:02X}")

    def piv_objects(self) -> tuple[int, ...]:
        """The tags of the PIV application's data objects."""
        return tuple(tag for (tag,) in self._rows("SELECT tag FROM piv_object ORDER BY tag"))

    def piv_object(self, tag: int) -> bytes:
        """The value of one of them; `ObjectNotFound`."""
        for (value,) in self._rows("SELECT value FROM piv_object WHERE tag = ?", (tag,)):
            return bytes(value)
        raise ObjectNotFound(f"no PIV object {tag:X}")

    def management_key(self) -> ManagementKey:
        """The PIV application's management key."""
        algorithm, key, touch = self._row("SELECT algorithm, key, touch FROM piv_management")
        return ManagementKey(ManagementAlgorithm(algorithm), key, bool(touch))

    def channel_key(self) -> ChannelKey | None:
        """The key for secure channels, if there is one yet."""
        for row in self._rows("SELECT private_key, certificate FROM channel_key"):
            return ChannelKey(*row)
        return None

    def _rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[Any]:
        # Reading to the end, always: an unfinished SELECT would stand in a checkpoint's way.
        with reported(self.path):
            return list(self._connection.execute(sql, parameters))

    def _row(self, sql: str, parameters: Sequence[Any] = ()) -> Any:
        rows = self._rows(sql, parameters)
        if len(rows) != 1:
            raise damaged(self.path, f"{len(rows)} records where one is due")
        return rows[0]

    def _pragma(self, pragma: str) -> Any:
        return self._row(f"PRAGMA {pragma}")[0]
