"""The NVRAM's tables, and the bytes of a fresh NVRAM file."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from ushield.pin import PinReference
from ushield.virtual.nvram.records import Personalisation, StoredReference

__all__ = ["APPLICATION_ID", "PAGE_SIZE", "SCHEMA", "VERSION", "blank_image"]

APPLICATION_ID = 0x55534844
VERSION = 1
PAGE_SIZE = 4096

SCHEMA = (
    """CREATE TABLE identity (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    serial TEXT NOT NULL,
    label TEXT NOT NULL,
    profile TEXT NOT NULL,
    device_key BLOB NOT NULL,
    device_certificate BLOB NOT NULL,
    unblock_key BLOB
) STRICT""",
    """CREATE TABLE secret (
    reference TEXT PRIMARY KEY CHECK (reference IN ('user', 'puk')),
    salt BLOB NOT NULL,
    hash BLOB NOT NULL,
    tries_left INTEGER NOT NULL CHECK (tries_left BETWEEN 0 AND max_tries),
    max_tries INTEGER NOT NULL CHECK (max_tries BETWEEN 1 AND 15),
    must_change INTEGER NOT NULL CHECK (must_change IN (0, 1))
) STRICT, WITHOUT ROWID""",
    """CREATE TABLE key (
    reference INTEGER PRIMARY KEY CHECK (reference BETWEEN 1 AND 255),
    algorithm TEXT NOT NULL,
    usage INTEGER NOT NULL,
    key_id BLOB NOT NULL,
    label TEXT NOT NULL,
    public_key BLOB NOT NULL,
    private_key BLOB NOT NULL
) STRICT""",
    """CREATE TABLE certificate (
    slot INTEGER PRIMARY KEY CHECK (slot BETWEEN 1 AND 255),
    key_id BLOB NOT NULL,
    label TEXT NOT NULL,
    is_ca INTEGER NOT NULL CHECK (is_ca IN (0, 1)),
    der BLOB NOT NULL
) STRICT""",
    """CREATE TABLE counter (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    signatures INTEGER NOT NULL,
    unblocks INTEGER NOT NULL,
    power_ups INTEGER NOT NULL,
    last_key_reference INTEGER NOT NULL CHECK (last_key_reference BETWEEN 0 AND 255)
) STRICT""",
    """CREATE TABLE voucher (
    place INTEGER PRIMARY KEY,
    counter INTEGER NOT NULL,
    time INTEGER NOT NULL,
    key_reference INTEGER NOT NULL,
    message BLOB NOT NULL
) STRICT""",
)


def blank_image(personalisation: Personalisation) -> bytes:
    """The bytes of an NVRAM file with these contents, ready for write-ahead logging."""
    identity = personalisation.identity
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as memory:
        memory.execute(f"PRAGMA page_size = {PAGE_SIZE}")
        memory.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        memory.execute(f"PRAGMA user_version = {VERSION}")
        for statement in SCHEMA:
            memory.execute(statement)
        memory.execute(
            "INSERT INTO identity VALUES (1, ?, ?, ?, ?, ?, ?)",
            (
                identity.serial,
                identity.label,
                identity.profile,
                identity.device_key,
                identity.device_certificate,
                identity.unblock_key,
            ),
        )
        for reference, stored in (
            (PinReference.USER, personalisation.user),
            (PinReference.PUK, personalisation.puk),
        ):
            memory.execute(
                "INSERT INTO secret VALUES (?, ?, ?, ?, ?, ?)", (reference.value, *_columns(stored))
            )
        memory.execute("INSERT INTO counter VALUES (1, 0, 0, 0, 0)")
        image = bytearray(memory.serialize())
    # A database in memory has no write-ahead log; its file's header says that it has (bytes 18
    # and 19, "The SQLite Database File Format", 1.3.3), which spares the first opening a rewrite.
    image[18:20] = b"\x02\x02"
    return bytes(image)


def _columns(stored: StoredReference) -> tuple[bytes, bytes, int, int, int]:
    return (
        stored.secret.salt,
        stored.secret.hash,
        stored.tries_left,
        stored.max_tries,
        int(stored.must_change),
    )
