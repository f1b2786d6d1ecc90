"""Shards on an executor: a bounded number under way, and a worker that dies takes none with it."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    Executor,
    Future,
    ProcessPoolExecutor,
    wait,
)
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ushield.bank.archive.errors import ArchiveStalled
from ushield.bank.archive.task import ShardResult, ShardTask, verify_shard

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["run_in_processes", "run_on"]

Done = Callable[[ShardResult], None]
_ALONE = 2


def run_on(
    executor: Executor,
    tasks: Iterable[ShardTask],
    done: Done,
    *,
    in_flight: int,
    patience: float,
) -> None:
    """Verify shards on an executor of the caller's, at most ``in_flight`` at a time.

    If the executor itself breaks, the shards that are left are reported as failed.
    """
    queue = deque(tasks)
    left = [*_drain(executor, queue, done, in_flight, patience), *queue]
    for task in left:
        done(ShardResult.failed(task, "worker-died", "the executor broke and takes no more work"))


def run_in_processes(
    tasks: Iterable[ShardTask],
    done: Done,
    *,
    workers: int,
    patience: float,
    memory: int | None = None,
) -> None:
    """Verify shards in ``workers`` processes of our own, of at most ``memory`` bytes for data each.

    When one of them dies, the pool is gone and nobody knows for which shard: those that were under
    way are each verified alone, in a pool of its own, up to twice.
    """
    queue = deque(tasks)
    while queue:
        with _pool(workers, memory) as pool:
            suspects = _drain(pool, queue, done, 2 * workers, patience)
        for task in suspects:
            for _ in range(_ALONE):
                with _pool(1, memory) as pool:
                    broken = _drain(pool, deque([task]), done, 1, patience)
                if not broken:
                    break
            else:
                done(ShardResult.failed(task, "worker-died", "the process that verified it died"))


def _drain(
    executor: Executor, queue: deque[ShardTask], done: Done, in_flight: int, patience: float
) -> list[ShardTask]:
    """Work ``queue`` off; if the executor breaks, what was under way is handed back."""
    running: dict[Future[ShardResult], ShardTask] = {}
    try:
        while queue or running:
            while queue and len(running) < in_flight:
                try:
                    future = executor.submit(verify_shard, queue[0])
                except BrokenExecutor:
                    if running:
                        break
                    return [queue.popleft()]
                running[future] = queue.popleft()
            broken = []
            for future in _finished(running, patience):
                task = running.pop(future)
                if isinstance(future.exception(), BrokenExecutor):
                    broken.append(task)
                else:
                    done(_result(future, task))
            if broken:
                return [*broken, *_last_results(running, done, patience)]
    except BaseException:
        for task in running.values():
            # Workers look for it, and end what they do.
            task.mark.unlink(missing_ok=True)
        raise
    finally:
        for future in running:
            future.cancel()
    return []


def _finished(
    running: dict[Future[ShardResult], ShardTask], patience: float
) -> set[Future[ShardResult]]:
    """Those that are finished, of which there is one at least."""
    finished, _ = wait(running, timeout=patience, return_when=FIRST_COMPLETED)
    if not finished:
        raise ArchiveStalled(f"no shard was finished for {patience:g} s")
    return finished


def _last_results(
    running: dict[Future[ShardResult], ShardTask], done: Done, patience: float
) -> list[ShardTask]:
    """What had been finished when the executor broke; the rest is handed back."""
    finished, _ = wait(running, timeout=patience)
    left = []
    for future, task in running.items():
        if future in finished and future.exception() is None:
            done(future.result())
        else:
            left.append(task)
    return left


def _result(future: Future[ShardResult], task: ShardTask) -> ShardResult:
    # Such as a cluster that gave up on it, or a worker without this package.
    error = future.exception()
    if error is None:
        return future.result()
    return ShardResult.failed(task, "worker-failed", f"{type(error).__name__}: {error}")


@contextmanager
def _pool(workers: int, memory: int | None) -> Iterator[ProcessPoolExecutor]:
    # Not by fork: the caller may have threads, and Arrow has.
    pool = ProcessPoolExecutor(
        workers,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_prepare,
        initargs=(memory,),
    )
    try:
        yield pool
    except ArchiveStalled:
        # They wait for something that does not come, and a process waits for its workers.
        for process in tuple((pool._processes or {}).values()):
            process.kill()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _prepare(memory: int | None) -> None:
    if memory is not None:
        # A few bytes of Parquet can be told to become gigabytes.
        resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    # Ctrl-C is for the run: it takes its mark away, and workers end what they do.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
