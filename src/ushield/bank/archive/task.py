"""One shard verified, in whatever process or machine: the unit of work, of failure and of resuming.

What goes to a worker and back are paths and plain data.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ushield.bank.archive.batch import verify_batch
from ushield.bank.archive.columns import OUTCOME_SCHEMA
from ushield.bank.archive.errors import ShardInvalid
from ushield.bank.archive.job import FORMAT, ArchiveJob, cached_verifier
from ushield.bank.archive.manifest import Shard
from ushield.bank.archive.shard_files import ShardWriter, file_sha256, open_shard
from ushield.errors import UShieldError

__all__ = ["RunEnded", "ShardFailure", "ShardResult", "ShardTask", "verify_shard"]

_KEY = "ushield.archive"


class RunEnded(Exception):
    """The run that wanted this shard is over: it was cancelled, or its process is gone."""


@dataclass(frozen=True, slots=True)
class ShardTask:
    """A shard, where its outcomes go, and the file that is there as long as the run wants them."""

    shard: Shard
    target: Path
    mark: Path
    job: ArchiveJob


@dataclass(frozen=True, slots=True)
class ShardFailure:
    """Why a shard has no outcomes: a stable code, and words."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class ShardResult:
    """What became of a shard: how many rows had which outcome, or its failure.

    ``resumed`` if an earlier run had done it.
    """

    shard: Shard
    target: Path
    outcomes: Mapping[str, int]
    resumed: bool = False
    failure: ShardFailure | None = None

    @property
    def rows(self) -> int:
        """How many rows it has."""
        return sum(self.outcomes.values())

    @classmethod
    def failed(cls, task: ShardTask, code: str, message: str) -> ShardResult:
        """The result of a shard that could not be verified."""
        return cls(task.shard, task.target, {}, failure=ShardFailure(code, message))


def verify_shard(task: ShardTask) -> ShardResult:
    """Verify a shard and write its outcomes, or tell what stands in the way; it never raises.

    Outcomes that are there already, of the same job and the same bytes, are left as they are.
    """
    try:
        with task.shard.path.open("rb") as stream:
            return _verify(task, stream)
    except RunEnded:
        return ShardResult.failed(task, "cancelled", "the run was cancelled")
    except UShieldError as error:
        return ShardResult.failed(task, error.code, str(error))
    except OSError as error:
        return ShardResult.failed(task, "file-failed", _told(error))
    # A worker that dies by it would take others' shards with it.
    except Exception as error:  # noqa: BLE001
        return ShardResult.failed(task, "unexpected", f"{type(error).__name__}: {error}")


def _told(error: OSError) -> str:
    words = error.strerror or str(error)
    return f"{error.filename}: {words}" if error.filename else words


def _verify(task: ShardTask, stream: IO[bytes]) -> ShardResult:
    _check_wanted(task)
    digest = file_sha256(stream)
    if task.shard.sha256 not in (None, digest):
        raise ShardInvalid("its SHA-256 is not the one in the archive's manifest")
    done = _outcomes_of(task, digest)
    if done is not None:
        return ShardResult(task.shard, task.target, done, resumed=True)
    verifier = cached_verifier(task.job)
    outcomes: Counter[str] = Counter()
    with ShardWriter(task.target, OUTCOME_SCHEMA) as writer, open_shard(stream) as batches:
        for batch in batches:
            verified = verify_batch(batch, verifier)
            outcomes.update(_counted(verified))
            writer.write(verified)
            _check_wanted(task)
        facts = {
            "format": FORMAT,
            "version": version("ushield"),
            "job": task.job.digest,
            "shard": digest,
            "outcomes": outcomes,
        }
        writer.commit({_KEY: json.dumps(facts)})
    return ShardResult(task.shard, task.target, dict(outcomes))


def _counted(batch: pa.RecordBatch) -> dict[str, int]:
    return {
        each["values"]: each["counts"]
        for each in pc.value_counts(batch.column("outcome")).to_pylist()
    }


def _check_wanted(task: ShardTask) -> None:
    if not task.mark.exists():
        raise RunEnded


def _outcomes_of(task: ShardTask, digest: str) -> dict[str, int] | None:
    """What an earlier run found for the same job and shard; ``None`` if there is no such thing."""
    try:
        metadata = pq.read_metadata(task.target).metadata or {}
    except FileNotFoundError:
        return None
    except (pa.ArrowException, OSError) as error:
        raise ShardInvalid(f"{task.target}: a file that is not ours is in the way") from error
    try:
        facts = json.loads(metadata[_KEY.encode()])
        if (facts["format"], facts["job"], facts["shard"]) != (FORMAT, task.job.digest, digest):
            return None
        return {str(name): int(count) for name, count in facts["outcomes"].items()}
    except (ValueError, KeyError, TypeError) as error:
        raise ShardInvalid(f"{task.target}: a file that is not ours is in the way") from error
