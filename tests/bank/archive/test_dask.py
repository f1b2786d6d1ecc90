"""The same run on a real Dask cluster of several processes."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from tests.bank.archive.making import JOB, Archivist, write_shard
from tests.cli.conftest import run, told
from ushield.bank.archive import HOLDS, ArchiveProgress, find_shards, verify_archive

# Its types are half there.
distributed: Any = import_module("distributed")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two worker processes, which are started again when they die."""
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    ) as cluster:
        yield cluster


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    archivist = Archivist()
    for number in range(6):
        write_shard(tmp_path / "in" / f"{number}.parquet", archivist.rows(2))
    (tmp_path / "in" / "6.parquet").write_bytes(b"broken")
    return tmp_path


def test_workers_of_a_cluster_verify_an_archive_and_one_of_them_may_die(
    cluster: Any, folder: Path
) -> None:
    with (
        distributed.Client(cluster, set_as_default=False) as client,
        client.get_executor(pure=False) as executor,
    ):
        pids = list(client.run(os.getpid).values())
        assert len(set(pids)) == 2

        def kill(progress: ArchiveProgress) -> None:
            if progress.shards == 1:
                os.kill(pids[0], signal.SIGKILL)

        report = verify_archive(
            find_shards(folder / "in"),
            folder / "out",
            job=JOB,
            executor=executor,
            in_flight=3,
            progress=kill,
        )
    assert report.outcomes == {HOLDS: 12}
    assert [each.name for each in report.failed_shards] == ["6.parquet"]


def test_the_command_uses_a_cluster_by_its_address(cluster: Any, folder: Path) -> None:
    (folder / "ca.pem").write_bytes(JOB.trust)
    (folder / "bank.toml").write_text("")
    result = run(
        *("--json", "bank", "archive", "verify", str(folder / "in"), "--bank", str(folder)),
        *("--out", str(folder / "out"), "--dask", cluster.scheduler_address),
    )
    assert result.exit_code == 40, result.stderr
    assert told(result)["outcomes"] == {"holds": 12}
