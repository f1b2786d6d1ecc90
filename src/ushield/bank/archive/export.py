"""What a bank has accepted, out of its database into an archive's shards."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import pyarrow as pa
from sqlalchemy import Connection, Select, func, select

from ushield.bank.archive.columns import SHARD_SCHEMA
from ushield.bank.archive.errors import ArchiveInvalid, ArchiveTooLarge
from ushield.bank.archive.manifest import MANIFEST, manifest_bytes
from ushield.bank.archive.shard_files import ShardWriter, file_sha256
from ushield.bank.challenge_records import ChallengeState
from ushield.bank.moments import instant, microseconds
from ushield.bank.store.statements import Lookup
from ushield.bank.store.store import Store
from ushield.bank.store.tables import challenge
from ushield.bank.whole_files import write_durably
from ushield.errors import InputInvalid

__all__ = ["ArchiveExport", "export_archive"]

_AT_ONCE = 500
_DAY = 86_400.0
_ROWS = Lookup(
    select(challenge.c.id, challenge.c.decided_at, challenge.c.signature, challenge.c.message),
    challenge.c.id,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveExport:
    """What was exported: how many rows in which shards. ``erased`` ones have no signature left."""

    rows: int
    erased: int
    shards: tuple[Path, ...]


def export_archive(
    store: Store,
    folder: Path,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    rows_per_shard: int = 50_000,
    most: int | None = None,
    within: float = _DAY,
) -> ArchiveExport:
    """Write all that was accepted from ``since`` until before ``until`` to shards in ``folder``.

    In the order of acceptance, from one state of the database, a few rows in memory at a time. The
    manifest comes last: without it the export was not finished, and is begun anew.

    `ArchiveInvalid` if ``folder`` has an archive already, or other Parquet files; `ArchiveTooLarge`
    for more than ``most`` rows, before one is written; `InputInvalid` for a time without a zone;
    `StoreError`, also if it takes more than ``within`` seconds; `OSError` if the disk takes it not.
    """
    if rows_per_shard < 1:
        raise InputInvalid("a shard has one row at least")
    wanted = [challenge.c.state == ChallengeState.CONSUMED.value]
    if since is not None:
        wanted.append(challenge.c.decided_at >= microseconds(since))
    if until is not None:
        wanted.append(challenge.c.decided_at < microseconds(until))
    signed = challenge.c.signature.is_not(None)
    order = challenge.c.decided_at, challenge.c.id
    query = select(challenge.c.id).where(*wanted, signed).order_by(*order)
    counted = select(func.count()).select_from(challenge).where(*wanted)
    erased = counted.where(~signed)
    _prepare(folder)

    def work(connection: Connection) -> ArchiveExport:
        if most is not None and connection.execute(counted.where(signed)).scalar_one() > most:
            raise ArchiveTooLarge(f"more than {most} rows")
        listed = []
        batches = _batches(connection, query)
        for number in range(1, 1_000_000):
            path = folder / f"accepted-{number:06}.parquet"
            rows = _write_shard(path, batches, rows_per_shard)
            if rows == 0:
                break
            with path.open("rb") as stream:
                listed.append((path.name, rows, file_sha256(stream)))
        lost = connection.execute(erased).scalar_one()
        total = sum(rows for _, rows, _ in listed)
        with write_durably(folder / MANIFEST) as stream:
            stream.write(
                manifest_bytes(
                    listed,
                    rows=total,
                    erased=lost,
                    since=since and since.astimezone(UTC).isoformat(),
                    until=until and until.astimezone(UTC).isoformat(),
                )
            )
        shards = tuple(folder / name for name, _, _ in listed)
        return ArchiveExport(rows=total, erased=lost, shards=shards)

    return store.read(work, within=within)


def _prepare(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise ArchiveInvalid(f"{folder}: {error.strerror}") from error
    if (folder / MANIFEST).exists():
        raise ArchiveInvalid(f"{folder}: an archive already", remedy="Name another folder.")
    for each in folder.glob("*.parquet"):
        # An export that was not finished has left them.
        if not each.name.startswith("accepted-"):
            raise ArchiveInvalid(f"{each}: a file that is not ours", remedy="Name another folder.")
        each.unlink()


def _batches(connection: Connection, query: Select[tuple[str]]) -> Iterator[pa.RecordBatch]:
    found = connection.execute(query.execution_options(yield_per=_AT_ONCE)).scalars()
    with found:
        while identifiers := list(islice(found, _AT_ONCE)):
            rows = {row[0]: row for row in _ROWS.find(connection, identifiers)}
            ordered = [rows[each] for each in identifiers]
            columns = [
                identifiers,
                [instant(row[1]) for row in ordered],
                [row[2] for row in ordered],
                identifiers,
                [row[3] for row in ordered],
            ]
            arrays = [
                pa.array(cells, type=field.type)
                for cells, field in zip(columns, SHARD_SCHEMA, strict=True)
            ]
            yield pa.RecordBatch.from_arrays(arrays, schema=SHARD_SCHEMA)


def _write_shard(path: Path, batches: Iterator[pa.RecordBatch], most: int) -> int:
    """Write up to so many rows, a few more for whole batches; how many there were."""
    first = next(batches, None)
    if first is None:
        return 0
    with ShardWriter(path, SHARD_SCHEMA) as writer:
        writer.write(first)
        while writer.rows < most and (batch := next(batches, None)) is not None:
            writer.write(batch)
        writer.commit()
        return writer.rows
