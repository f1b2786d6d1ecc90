"""Archives for tests: signatures over different messages, in shards that are quickly written."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.pki import NOW, Signer, authority, pem, receipt_for
from tests.transaction.strategies import TRANSFER
from ushield.algorithms import KeyAlgorithm
from ushield.bank.archive import ArchiveJob, Shard
from ushield.bank.archive.columns import SHARD_SCHEMA
from ushield.transaction import write_message

TRUSTED = pem(authority())
JOB = ArchiveJob(trust=TRUSTED)


@dataclass(frozen=True)
class Row:
    """A row that holds, unless it is changed."""

    record_id: str | None
    signed_at: datetime | None
    signature: bytes | None
    challenge: str | None = None
    message: bytes | None = None

    def but(self, **changes: Any) -> Row:
        return dataclasses.replace(self, **changes)


@dataclass
class Archivist:
    """Signs rows, each over a payment of its own, a minute after the other."""

    signer: Signer = field(default_factory=lambda: Signer.issued(KeyAlgorithm.P256))
    made: int = 0

    def row(self, at: datetime | None = None) -> Row:
        self.made += 1
        name = f"c{self.made:015}"
        message = write_message(dataclasses.replace(TRANSFER, challenge=name))
        receipt = dataclasses.replace(receipt_for(message), counter=self.made)
        when = at or NOW + timedelta(minutes=self.made)
        return Row(name, when, self.signer.sign(message, receipt), name, message)

    def rows(self, count: int) -> list[Row]:
        return [self.row() for _ in range(count)]


def batch(rows: Iterable[Row], without: Sequence[str] = ()) -> pa.RecordBatch:
    """The rows as Arrow has them."""
    schema = pa.schema([each for each in SHARD_SCHEMA if each.name not in without])
    return pa.RecordBatch.from_pylist(
        [
            {name: value for name, value in dataclasses.asdict(row).items() if name not in without}
            for row in rows
        ],
        schema=schema,
    )


def write_shard(path: Path, rows: Iterable[Row]) -> Shard:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_batches([batch(rows)]), path)
    return Shard(path)


def outcomes(folder: Path, shard: Shard) -> list[dict[str, Any]]:
    """The outcomes of a shard as they stand on the disk."""
    found: list[dict[str, Any]] = pq.read_table(
        folder / f"{shard.path.stem}.outcomes.parquet"
    ).to_pylist()
    return found
