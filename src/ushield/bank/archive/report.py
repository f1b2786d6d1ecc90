"""What a run found: totals, the shards that failed, and the rows that do not hold."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from ushield.bank.archive.batch import HOLDS
from ushield.bank.archive.job import ArchiveJob
from ushield.bank.archive.task import ShardFailure, ShardResult
from ushield.bank.whole_files import write_durably

__all__ = ["FAILED_ROWS", "REPORT", "ArchiveReport", "write_failed_rows"]

REPORT = "report.json"
FAILED_ROWS = "failed.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveReport:
    """The outcome of a whole run.

    ``outcomes`` counts rows by outcome, ``failed_shards`` are those without outcomes, by path.
    ``resumed`` shards had been done before. ``folder`` has the outcomes. ``seconds`` is what this
    run took.
    """

    job: ArchiveJob
    shards: int
    resumed: int
    outcomes: Mapping[str, int]
    failed_shards: Mapping[Path, ShardFailure]
    folder: Path
    seconds: float

    @classmethod
    def of(
        cls, job: ArchiveJob, results: Iterable[ShardResult], folder: Path, seconds: float
    ) -> ArchiveReport:
        """The sum of all results."""
        found = list(results)
        outcomes: Counter[str] = Counter()
        for each in found:
            outcomes.update(each.outcomes)
        return cls(
            job=job,
            shards=len(found),
            resumed=sum(each.resumed for each in found),
            outcomes=dict(outcomes.most_common()),
            failed_shards={
                each.shard.path: each.failure for each in found if each.failure is not None
            },
            folder=folder,
            seconds=seconds,
        )

    @property
    def rows(self) -> int:
        """How many rows have an outcome."""
        return sum(self.outcomes.values())

    @property
    def failed_rows(self) -> int:
        """How many of them do not hold."""
        return self.rows - self.outcomes.get(HOLDS, 0)

    @property
    def facts(self) -> dict[str, Any]:
        """As JSON has it."""
        revocation = self.job.revocation
        return {
            "rows": self.rows,
            "failed_rows": self.failed_rows,
            "outcomes": dict(self.outcomes),
            "shards": self.shards,
            "resumed_shards": self.resumed,
            "failed_shards": [
                {"shard": str(path), "code": failure.code, "message": failure.message}
                for path, failure in self.failed_shards.items()
            ],
            "revocation": None
            if revocation is None
            else {
                "knowledge": self.job.knowledge.value,
                "lists": len(revocation.lists),
                "responses": len(revocation.statements),
                "ignored": [each._asdict() for each in revocation.ignored],
            },
            "job": self.job.digest,
            "folder": str(self.folder),
            "seconds": round(self.seconds, 3),
        }

    def write(self) -> None:
        """Write it to the folder of outcomes."""
        with write_durably(self.folder / REPORT) as stream:
            stream.write(json.dumps(self.facts, ensure_ascii=False, indent=1).encode() + b"\n")


def write_failed_rows(results: Iterable[ShardResult], folder: Path) -> None:
    """List all rows that do not hold in the folder of outcomes, one JSON object a line."""
    with write_durably(folder / FAILED_ROWS) as stream:
        for each in results:
            if set(each.outcomes) - {HOLDS}:
                for row in _failed(each):
                    stream.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")


def _failed(result: ShardResult) -> Iterator[dict[str, Any]]:
    columns = ["record_id", "outcome", "detail", "verified_at", "certificate_sha256"]
    with pq.ParquetFile(result.target) as file:
        for batch in file.iter_batches(batch_size=1000, columns=columns, use_threads=False):
            # Times that no calendar has would stop `to_pylist`.
            times = batch.column("verified_at").cast("string", safe=False)
            cells = batch.set_column(3, "verified_at", times).to_pylist()
            for row in cells:
                if row["outcome"] != HOLDS:
                    certificate = row["certificate_sha256"]
                    yield {
                        "shard": result.shard.path.name,
                        **row,
                        "certificate_sha256": None if certificate is None else certificate.hex(),
                    }
