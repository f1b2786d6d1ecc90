"""Verifying a whole archive: resumable, on any executor, with a report."""

from __future__ import annotations

import fcntl
import os
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from ushield.bank.archive.errors import ArchiveBusy, ArchiveInvalid
from ushield.bank.archive.job import ArchiveJob
from ushield.bank.archive.manifest import Shard
from ushield.bank.archive.progress import ArchiveProgress
from ushield.bank.archive.report import ArchiveReport, write_failed_rows
from ushield.bank.archive.task import ShardResult, ShardTask
from ushield.bank.archive.workers import run_in_processes, run_on
from ushield.bank.whole_files import PART_PATTERN

__all__ = ["verify_archive"]

_MARK = ".run-"
_IN_FLIGHT = 64


def verify_archive(
    shards: Iterable[Shard],
    out_dir: Path,
    *,
    job: ArchiveJob,
    executor: Executor | None = None,
    workers: int | None = None,
    memory: int | None = None,
    in_flight: int = _IN_FLIGHT,
    patience: float = 3600.0,
    progress: Callable[[ArchiveProgress], None] | None = None,
) -> ArchiveReport:
    """Verify ``shards`` and write each one's outcomes to ``out_dir``, with a report of all.

    Without an ``executor``, in ``workers`` processes of our own (one a core), each with at most
    ``memory`` bytes for its data, which import the main module anew: guard it by ``if __name__ ==
    "__main__"``. On another, such as Dask's
    ``client.get_executor(pure=False)``, ``in_flight`` shards are under way at a time; its workers
    must reach the same paths.

    Shards that an earlier run has done, by the same job and from the same bytes, are not verified
    again. A shard that fails is reported, and the rest goes on. ``progress`` is called, in this
    thread, after each. When this is interrupted, workers stop within a thousand rows, and what is
    done stays done.

    `ArchiveInvalid` for shards or a folder that cannot be used; `ArchiveBusy` if another run has
    the folder; `ArchiveStalled` if no shard is finished for ``patience`` seconds; `OSError` if the
    report cannot be written; as `ArchiveJob.verifier`.
    """
    begun = time.monotonic()
    out_dir = out_dir.absolute()
    plan = [replace(each, path=each.path.absolute()) for each in shards]
    targets = _targets(plan, out_dir)
    # What is wrong with the job is told now, and not by each shard.
    job.verifier()
    results: dict[Path, ShardResult] = {}
    count = _Count(len(plan), begun)

    def done(result: ShardResult) -> None:
        results[result.target] = result
        told = count.add(result)
        if progress is not None:
            progress(told)

    with _held(out_dir) as mark:
        tasks = [
            ShardTask(shard, target, mark, job) for shard, target in zip(plan, targets, strict=True)
        ]
        try:
            if executor is not None:
                run_on(executor, tasks, done, in_flight=max(in_flight, 1), patience=patience)
            else:
                processes = min(workers or os.cpu_count() or 1, len(tasks))
                run_in_processes(tasks, done, workers=processes, patience=patience, memory=memory)
        finally:
            mark.unlink(missing_ok=True)
        ordered = [results[target] for target in targets]
        report = ArchiveReport.of(job, ordered, out_dir, time.monotonic() - begun)
        write_failed_rows(ordered, out_dir)
        report.write()
    return report


def _targets(plan: list[Shard], out_dir: Path) -> list[Path]:
    if not plan:
        raise ArchiveInvalid("no shards to verify")
    if any(each.path.parent.resolve() == out_dir.resolve() for each in plan):
        raise ArchiveInvalid(
            f"{out_dir}: the archive itself is there",
            remedy="Name another folder for the outcomes.",
        )
    targets = [out_dir / f"{each.path.stem}.outcomes.parquet" for each in plan]
    if len(set(targets)) != len(targets):
        raise ArchiveInvalid("two shards of one name", remedy="Verify them one after the other.")
    return targets


@dataclass(slots=True)
class _Count:
    """Counts what is done."""

    of_shards: int
    begun: float
    shards: int = 0
    resumed: int = 0
    rows: int = 0
    resumed_rows: int = 0

    def add(self, result: ShardResult) -> ArchiveProgress:
        self.shards += 1
        self.rows += result.rows
        if result.resumed:
            self.resumed += 1
            self.resumed_rows += result.rows
        return ArchiveProgress(
            shards=self.shards,
            of_shards=self.of_shards,
            resumed=self.resumed,
            rows=self.rows,
            resumed_rows=self.resumed_rows,
            seconds=time.monotonic() - self.begun,
        )


@contextmanager
def _held(folder: Path) -> Iterator[Path]:
    """Hold ``folder`` for this run alone; the mark that tells workers that it goes on."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("wb")
    except OSError as error:
        raise ArchiveInvalid(f"{folder}: {error.strerror}") from error
    with lock:
        try:
            fcntl.flock(lock.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ArchiveBusy(f"{folder}: another run has it") from error
        _sweep(folder)
        mark = folder / f"{_MARK}{secrets.token_hex(8)}"
        mark.touch()
        try:
            yield mark
        finally:
            _sweep(folder)


def _sweep(folder: Path) -> None:
    """Remove what a run, or a worker, that was killed has left, and the marks."""
    for pattern in (PART_PATTERN, f"{_MARK}*"):
        for each in folder.glob(pattern):
            each.unlink(missing_ok=True)
