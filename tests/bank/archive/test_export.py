"""What a bank accepted comes out of its database, and holds."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.bank.archive.making import JOB
from tests.bank.banking import Bench
from ushield.bank.archive import HOLDS, ArchiveInvalid, export_archive, find_shards, verify_archive
from ushield.bank.archive import export as exporting
from ushield.errors import InputInvalid


def accepted(bench: Bench, count: int) -> list[str]:
    """Challenges of one customer, accepted a minute after the other."""
    holder = bench.customer()
    found = []
    for _ in range(count):
        bench.clock.move(minutes=1)
        challenge = bench.issue(holder)
        bench.bank.accept(challenge.id, holder.sign(challenge.message))
        found.append(challenge.id)
    return found


def exported(folder: Path) -> list[str]:
    return [
        name
        for shard in find_shards(folder)
        for name in pq.read_table(shard.path).column("record_id").to_pylist()
    ]


def test_all_that_was_accepted_comes_out_in_its_order_and_holds(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Few enough that the database is asked several times.
    monkeypatch.setattr(exporting, "_AT_ONCE", 2)
    names = accepted(bench, 5)
    pending = bench.issue(bench.customer("bob"))
    done = export_archive(bench.bank.store, tmp_path / "archive", rows_per_shard=2)
    assert (done.rows, done.erased, len(done.shards)) == (5, 0, 3)
    assert exported(tmp_path / "archive") == names
    assert pending.id not in names
    with ThreadPoolExecutor(1) as executor:
        shards = find_shards(tmp_path / "archive")
        report = verify_archive(shards, tmp_path / "out", job=JOB, executor=executor)
    assert report.outcomes == {HOLDS: 5}


def test_a_span_of_time_has_its_beginning_and_not_its_end(bench: Bench, tmp_path: Path) -> None:
    start = bench.clock.at
    names = accepted(bench, 4)

    def at(minute: int) -> datetime:
        return start + timedelta(minutes=minute)

    export_archive(bench.bank.store, tmp_path / "a", since=at(2), until=at(4))
    assert exported(tmp_path / "a") == names[1:3]
    with pytest.raises(InputInvalid):
        export_archive(bench.bank.store, tmp_path / "b", since=datetime(2026, 1, 1))


def test_what_was_erased_is_counted_and_not_exported(bench: Bench, tmp_path: Path) -> None:
    accepted(bench, 2)
    bench.bank.erase("alice")
    done = export_archive(bench.bank.store, tmp_path / "archive")
    assert (done.rows, done.erased, done.shards) == (0, 2, ())
    assert json.loads((tmp_path / "archive" / "archive.json").read_text())["erased"] == 2
    with pytest.raises(ArchiveInvalid):
        find_shards(tmp_path / "archive")


def test_an_export_that_was_not_finished_is_begun_anew_and_a_finished_one_is_kept(
    bench: Bench, tmp_path: Path
) -> None:
    names = accepted(bench, 1)
    folder = tmp_path / "archive"
    folder.mkdir()
    (folder / "accepted-000007.parquet").write_bytes(b"half")
    export_archive(bench.bank.store, folder)
    assert exported(folder) == names
    with pytest.raises(ArchiveInvalid):
        export_archive(bench.bank.store, folder)
    (folder / "archive.json").unlink()
    (folder / "other.parquet").write_bytes(b"")
    with pytest.raises(ArchiveInvalid):
        export_archive(bench.bank.store, folder)


def test_a_shard_that_was_taken_away_is_missed(bench: Bench, tmp_path: Path) -> None:
    accepted(bench, 2)
    done = export_archive(bench.bank.store, tmp_path / "archive", rows_per_shard=1)
    # Rows come in batches, so that one shard has them all.
    (shard,) = done.shards
    shard.unlink()
    with ThreadPoolExecutor(1) as executor:
        found = find_shards(tmp_path / "archive")
        report = verify_archive(found, tmp_path / "out", job=JOB, executor=executor)
    assert list(report.failed_shards) == [shard]
