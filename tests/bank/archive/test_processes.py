"""Workers and runs that are killed at any point: nothing is lost, nothing half-written stays."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.bank.archive import crashing
from tests.bank.archive.making import JOB, TRUSTED, Archivist, write_shard
from ushield.bank.archive import (
    HOLDS,
    ArchiveProgress,
    ArchiveStalled,
    Shard,
    find_shards,
    verify_archive,
)

PATIENCE = 60.0


@pytest.fixture
def shards(tmp_path: Path) -> list[Shard]:
    archivist = Archivist()
    return [write_shard(tmp_path / "in" / f"{name}.parquet", archivist.rows(2)) for name in "abcd"]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def stuck(shard: Shard) -> Path:
    """Make a shard one that a worker waits for, until somebody writes to it."""
    shard.path.unlink()
    os.mkfifo(shard.path)
    return shard.path


def wait_for(condition: Callable[[], Any]) -> Any:
    end = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < end
        time.sleep(0.01)
    return found


def children(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += [int(each) for each in (task / "children").read_text().split()]
    return found


def alive(pid: int) -> bool:
    """Whether any of its threads is left, and with it the files it has open."""
    with suppress(FileNotFoundError, ProcessLookupError):
        stats = [each.read_text() for each in Path(f"/proc/{pid}/task").glob("*/stat")]
        return any(each.rpartition(")")[2].split()[0] not in "ZX" for each in stats)
    # A thread went away while it was looked at.
    return Path(f"/proc/{pid}").exists()


@contextmanager
def killing(fifo: Path, times: int, then: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Kill whichever process of ours opens ``fifo``, so many times; then do something."""

    def kill() -> None:
        for _ in range(times):
            descriptor = os.open(fifo, os.O_WRONLY)
            # All of the pool: which of its processes it is does not matter to the pool.
            pids = [each.pid for each in multiprocessing.active_children() if each.pid]
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            # One that is not gone yet would open what the next one is to open.
            wait_for(lambda: not any(alive(each) for each in pids))  # noqa: B023
            os.close(descriptor)
        then()

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    yield
    killer.join(PATIENCE)
    assert not killer.is_alive()


def test_a_shard_that_kills_its_worker_is_reported_and_the_rest_goes_on(
    shards: list[Shard], out: Path
) -> None:
    # Once among others, and twice alone.
    with killing(stuck(shards[1]), times=3):
        report = verify_archive(shards, out, job=JOB, workers=2, patience=PATIENCE)
    (failed,) = report.failed_shards.items()
    assert (failed[0], failed[1].code) == (shards[1].path, "worker-died")
    assert report.outcomes == {HOLDS: 6}
    assert not list(out.glob(".*.part"))


def test_a_worker_that_died_once_loses_nothing(shards: list[Shard], out: Path) -> None:
    archivist = Archivist()

    def mend() -> None:
        write_shard(shards[1].path.with_name("mended"), archivist.rows(2))
        shards[1].path.with_name("mended").replace(shards[1].path)

    with killing(stuck(shards[1]), times=1, then=mend):
        report = verify_archive(shards, out, job=JOB, workers=2, patience=PATIENCE)
    assert report.outcomes == {HOLDS: 8}
    assert not report.failed_shards


def test_on_a_pool_of_the_caller_s_that_breaks_the_shards_left_are_reported(
    shards: list[Shard], out: Path
) -> None:
    context = multiprocessing.get_context("spawn")
    with (
        killing(stuck(shards[1]), times=1),
        ProcessPoolExecutor(1, mp_context=context) as executor,
    ):
        report = verify_archive(shards, out, job=JOB, executor=executor, patience=PATIENCE)
    assert {each.code for each in report.failed_shards.values()} == {"worker-died"}
    assert set(report.failed_shards) >= {each.path for each in shards[1:]}


def test_a_worker_that_waits_forever_is_not_waited_for(shards: list[Shard], out: Path) -> None:
    stuck(shards[0])
    with pytest.raises(ArchiveStalled):
        verify_archive(shards[:1], out, job=JOB, workers=1, patience=1)
    assert not multiprocessing.active_children()


def test_an_interruption_ends_the_workers_and_keeps_what_is_done(
    shards: list[Shard], out: Path
) -> None:
    def interrupt(told: ArchiveProgress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        verify_archive(shards, out, job=JOB, workers=1, progress=interrupt)
    assert not multiprocessing.active_children()
    assert not list(out.glob(".*.part"))
    assert 1 <= len(list(out.glob("*.outcomes.parquet"))) <= len(shards)


class Run:
    """A run in a process of its own, by the command."""

    def __init__(self, folder: Path) -> None:
        bank = folder / "bank"
        bank.mkdir()
        (bank / "ca.pem").write_bytes(TRUSTED)
        (bank / "bank.toml").write_text("")
        command = Path(sys.executable).parent / "ushield"
        self._command = [
            *(str(command), "--json", "bank", "archive", "verify", str(folder / "in")),
            *("--out", str(folder / "out"), "--bank", str(bank), "--workers", "2"),
        ]

    def start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def facts(self) -> dict[str, Any]:
        process = self.start()
        told, _ = process.communicate(timeout=PATIENCE)
        found: dict[str, Any] = json.loads(told)
        return found


def stop_midway(shards: list[Shard], out: Path, folder: Path, number: int) -> Run:
    """A run that got a signal while one of its workers was busy with a shard."""
    run = Run(folder)
    fifo = stuck(shards[3])
    process = run.start()
    # The worker has opened it, and reads.
    writer = os.open(fifo, os.O_WRONLY)
    wait_for(lambda: len(list(out.glob("*.outcomes.parquet"))) == 3)
    workers = children(process.pid)
    assert workers
    group = process.pid
    if number == signal.SIGINT:
        os.killpg(group, number)
        # Workers can tell that the run is over before it has waited for them.
        wait_for(lambda: not list(out.glob(".run-*")))
        # Unless it has gone already.
        with suppress(BrokenPipeError):
            os.write(writer, b"too late")
        os.close(writer)
        told, _ = process.communicate(timeout=PATIENCE)
        assert process.returncode == 130
        assert json.loads(told)["error"]["code"] == "interrupted"
    else:
        process.kill()
        process.communicate(timeout=PATIENCE)
        wait_for(lambda: not any(alive(each) for each in workers))
        os.close(writer)
    wait_for(lambda: not any(alive(each) for each in workers))
    fifo.unlink()
    write_shard(fifo, Archivist().rows(2))
    return run


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=lambda each: each.name)
def test_a_run_that_is_stopped_leaves_no_worker_behind_and_goes_on_later(
    shards: list[Shard], out: Path, tmp_path: Path, number: signal.Signals
) -> None:
    run = stop_midway(shards, out, tmp_path, number)
    facts = run.facts()
    assert (facts["resumed_shards"], facts["outcomes"]) == (3, {"holds": 8})
    assert [each.name for each in out.glob(".*")] == [".lock"]


def test_a_run_killed_before_any_step_goes_on_and_ends_as_if_it_had_not_been(
    shards: list[Shard], tmp_path: Path
) -> None:
    (tmp_path / "ca.pem").write_bytes(TRUSTED)
    done = subprocess.run(
        [sys.executable, crashing.__file__, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    killed = [json.loads(line) for line in done.stdout.splitlines()]
    # Each shard is opened, written, renamed; the report and the list of rows, too.
    assert len(killed) >= 20
    assert {each["outcomes"]["holds"] for each in killed} == {8}
    assert {each["resumed"] for each in killed} == {0, 1, 2, 3, 4}
    assert all(each["left"] == [".lock"] for each in killed)
    assert find_shards(tmp_path / "in")
