"""The NVRAM's tables, and the bytes of a fresh NVRAM file."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from ushield.pin import PinReference
from ushield.piv.commands import DEFAULT_MANAGEMENT_KEY, ManagementAlgorithm
from ushield.virtual.nvram.records import ManagementKey, Personalisation, StoredReference

__all__ = [
    "APPLICATION_ID",
    "FIRST_MANAGEMENT_KEY",
    "PAGE_SIZE",
    "SCHEMAS",
    "UPGRADES",
    "VERSION",
    "blank_image",
]

APPLICATION_ID = 0x55534844
VERSION = 3
PAGE_SIZE = 4096

FIRST_MANAGEMENT_KEY = ManagementKey(ManagementAlgorithm.TRIPLE_DES, DEFAULT_MANAGEMENT_KEY)
"""The PIV application's management key until somebody sets another."""

_SHIELD_TABLES = (
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
_PIV_TABLES = (
    """CREATE TABLE piv_key (
    slot INTEGER PRIMARY KEY CHECK (slot BETWEEN 1 AND 255),
    algorithm TEXT NOT NULL,
    pin_policy INTEGER NOT NULL,
    touch_policy INTEGER NOT NULL,
    generated INTEGER NOT NULL CHECK (generated IN (0, 1)),
    public_key BLOB NOT NULL,
    private_key BLOB NOT NULL
) STRICT""",
    """CREATE TABLE piv_object (
    tag INTEGER PRIMARY KEY,
    value BLOB NOT NULL
) STRICT""",
    """CREATE TABLE piv_management (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    algorithm INTEGER NOT NULL,
    key BLOB NOT NULL,
    touch INTEGER NOT NULL CHECK (touch IN (0, 1))
) STRICT""",
)
_CHANNEL_TABLES = (
    """CREATE TABLE channel_key (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    private_key BLOB NOT NULL,
    certificate BLOB NOT NULL
) STRICT""",
)
_PIV_ROWS = (
    (
        "INSERT INTO piv_management VALUES (1, ?, ?, 0)",
        (int(FIRST_MANAGEMENT_KEY.algorithm), FIRST_MANAGEMENT_KEY.key),
    ),
)

SCHEMAS = {
    1: _SHIELD_TABLES,
    2: _SHIELD_TABLES + _PIV_TABLES,
    3: _SHIELD_TABLES + _PIV_TABLES + _CHANNEL_TABLES,
}
"""The tables of each version of the file's format, in the order they were made in."""

UPGRADES = {
    1: (*((table, ()) for table in _PIV_TABLES), *_PIV_ROWS),
    2: tuple((table, ()) for table in _CHANNEL_TABLES),
}
"""What makes each version but the last one into the next, all in one transaction."""


def blank_image(personalisation: Personalisation) -> bytes:
    """The bytes of an NVRAM file with these contents, ready for write-ahead logging."""
    identity = personalisation.identity
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as memory:
        memory.execute(f"PRAGMA page_size = {PAGE_SIZE}")
        memory.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        memory.execute(f"PRAGMA user_version = {VERSION}")
        for table in SCHEMAS[VERSION]:
            memory.execute(table)
        for row in _PIV_ROWS:
            memory.execute(*row)
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
        channel_key = personalisation.channel_key
        if channel_key is not None:
            memory.execute(
                "INSERT INTO channel_key VALUES (1, ?, ?)",
                (channel_key.private_key, channel_key.certificate),
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
