"""A run verifies all shards, goes on where it was stopped, and reports what is wrong."""

from __future__ import annotations

import dataclasses
import fcntl
import json
import resource
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.bank.archive.making import JOB, Archivist, batch, outcomes, write_shard
from tests.bank.revocations import crl
from tests.pki import NOW, authority, pem
from ushield.bank.archive import (
    HOLDS,
    ArchiveBusy,
    ArchiveInvalid,
    ArchiveJob,
    ArchiveProgress,
    ArchiveReport,
    Shard,
    find_shards,
    verify_archive,
)
from ushield.bank.revocation import Knowledge, RevocationCatalogue
from ushield.errors import CertificateInvalid

ROWS = 4


@pytest.fixture
def executor() -> Iterator[Executor]:
    with ThreadPoolExecutor(2) as executor:
        yield executor


@pytest.fixture
def shards(tmp_path: Path) -> list[Shard]:
    archivist = Archivist()
    return [
        write_shard(tmp_path / "in" / f"{name}.parquet", archivist.rows(ROWS)) for name in "abc"
    ]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def run(shards: list[Shard], out: Path, executor: Executor) -> Any:
    def run(job: ArchiveJob = JOB, **settings: Any) -> ArchiveReport:
        return verify_archive(shards, out, job=job, **{"executor": executor, **settings})

    return run


def failed_rows(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "failed.jsonl").read_text().splitlines()]


def stamps(out: Path) -> dict[str, int]:
    return {each.name: each.stat().st_ino for each in out.glob("*.parquet")}


def leftovers(out: Path) -> list[str]:
    return [each.name for each in out.iterdir() if each.name[0] == "." and each.name != ".lock"]


def test_every_row_of_every_shard_has_its_outcome(run: Any, shards: list[Shard], out: Path) -> None:
    report = run()
    assert (report.rows, report.failed_rows, report.shards) == (3 * ROWS, 0, 3)
    assert report.outcomes == {HOLDS: 3 * ROWS}
    for shard in shards:
        names = pq.read_table(shard.path).column("record_id").to_pylist()
        assert [each["record_id"] for each in outcomes(out, shard)] == names
    assert failed_rows(out) == []
    assert json.loads((out / "report.json").read_text()) == report.facts
    assert leftovers(out) == []


def test_rows_that_do_not_hold_are_counted_and_listed(
    run: Any, shards: list[Shard], out: Path
) -> None:
    archivist = Archivist()
    good, late, swapped = archivist.rows(3)
    late = late.but(signed_at=NOW.replace(year=2040))
    write_shard(shards[1].path, [good, late, swapped.but(challenge="x"), good.but(signed_at=None)])
    report = run()
    assert report.failed_rows == 3
    assert report.outcomes == {
        HOLDS: 2 * ROWS + 1,
        "certificate-expired": 1,
        "challenge-mismatch": 1,
        "row-incomplete": 1,
    }
    expired, *_ = found = failed_rows(out)
    assert [each["record_id"] for each in found] == [
        late.record_id,
        swapped.record_id,
        good.record_id,
    ]
    assert expired["shard"] == "b.parquet"
    assert expired["verified_at"].startswith("2040-06-01 00:00:00")
    assert expired["detail"]
    assert len(expired["certificate_sha256"]) == 64


def test_what_is_done_is_not_done_again(run: Any, out: Path) -> None:
    first = run()
    before = stamps(out)
    again = run()
    assert (first.resumed, again.resumed) == (0, 3)
    assert again.outcomes == first.outcomes
    assert stamps(out) == before


def test_a_shard_that_changed_is_verified_again_and_no_other(
    run: Any, shards: list[Shard], out: Path
) -> None:
    run()
    before = stamps(out)
    write_shard(shards[0].path, Archivist().rows(1))
    assert run().rows == 2 * ROWS + 1
    changed = {name for name, stamp in stamps(out).items() if before[name] != stamp}
    assert changed == {"a.outcomes.parquet"}


def test_another_job_begins_anew(run: Any, tmp_path: Path) -> None:
    (tmp_path / "lists").mkdir()
    run()
    jobs = [
        dataclasses.replace(JOB, accept_virtual=True),
        dataclasses.replace(JOB, trust=JOB.trust + pem(authority("Another"))),
        dataclasses.replace(JOB, accept_blind=pem(authority("Blind"))),
    ]
    for lists in ([], [crl()]):
        for number, data in enumerate(lists):
            (tmp_path / "lists" / str(number)).write_bytes(data)
        found = RevocationCatalogue.scan(tmp_path / "lists", (authority(),))
        jobs += [
            dataclasses.replace(JOB, revocation=found, knowledge=knowledge)
            for knowledge in Knowledge
        ]
    assert len({job.digest for job in [JOB, *jobs]}) == len(jobs) + 1
    for job in jobs:
        assert run(job).resumed == 0
        assert run(job).resumed == 3


def test_revocation_is_that_of_the_rows_times(run: Any, tmp_path: Path) -> None:
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "junk").write_bytes(b"junk")
    found = RevocationCatalogue.scan(tmp_path / "lists", (authority(),))
    report = run(dataclasses.replace(JOB, revocation=found))
    assert report.outcomes == {"revocation-unknown": 3 * ROWS}
    assert report.facts["revocation"]["ignored"][0]["path"].endswith("junk")
    (tmp_path / "lists" / "list").write_bytes(crl())
    found = RevocationCatalogue.scan(tmp_path / "lists", (authority(),))
    assert run(dataclasses.replace(JOB, revocation=found)).outcomes == {HOLDS: 3 * ROWS}


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def damage(path: Path) -> None:
    """Break a page in the middle, which is found after rows before it were verified."""
    row = Archivist().row().but(signature=None)
    rows = [row.but(record_id=f"r{number}") for number in range(1100)]
    table = pa.Table.from_batches([batch(rows)])
    pq.write_table(table, path, compression="zstd", use_dictionary=False, row_group_size=1000)
    data = bytearray(path.read_bytes())
    place = pq.read_metadata(path).row_group(1).column(0).data_page_offset
    data[place : place + 200] = bytes(200)
    path.write_bytes(data)


def other_columns(path: Path) -> None:
    pq.write_table(pa.table({"record_id": ["x"]}), path)


@pytest.mark.parametrize("harm", [cut, damage, other_columns, Path.unlink])
def test_a_broken_shard_is_reported_and_the_rest_goes_on(
    run: Any, shards: list[Shard], out: Path, harm: Any
) -> None:
    harm(shards[1].path)
    report = run()
    (failed,) = report.failed_shards.items()
    assert failed[0] == shards[1].path
    assert failed[1].code in ("shard-invalid", "file-failed")
    assert report.facts["failed_shards"][0]["message"]
    assert report.outcomes == {HOLDS: 2 * ROWS}
    assert sorted(stamps(out)) == ["a.outcomes.parquet", "c.outcomes.parquet"]
    assert leftovers(out) == []
    write_shard(shards[1].path, Archivist().rows(1))
    mended = run()
    assert (mended.resumed, mended.rows, mended.failed_shards) == (2, 2 * ROWS + 1, {})


def test_a_shard_other_than_the_manifest_says_is_reported(
    shards: list[Shard], out: Path, executor: Executor
) -> None:
    listed = [dataclasses.replace(shards[0], sha256="00" * 32), *shards[1:]]
    report = verify_archive(listed, out, job=JOB, executor=executor)
    assert "manifest" in report.failed_shards[shards[0].path].message
    assert report.rows == 2 * ROWS


@contextmanager
def no_file_above(size: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_disk_that_takes_no_more_is_reported_for_its_shard(
    run: Any, shards: list[Shard], out: Path
) -> None:
    row = Archivist().row().but(signature=None)
    many = [row.but(record_id=sha256(bytes([number])).hexdigest()) for number in range(250)]
    write_shard(shards[1].path, many)
    # The outcomes of the others are smaller, as is all that the test's own machinery writes.
    with no_file_above(6_000):
        report = run()
    failure = report.failed_shards[shards[1].path]
    assert (failure.code, failure.message) == ("file-failed", "File too large")
    assert report.rows == 2 * ROWS
    assert leftovers(out) == []
    assert run().rows == 2 * ROWS + len(many)


def test_progress_is_told_after_each_shard(run: Any) -> None:
    told: list[ArchiveProgress] = []
    run(progress=told.append)
    assert [(each.shards, each.of_shards) for each in told] == [(1, 3), (2, 3), (3, 3)]
    assert [each.rows for each in told] == [ROWS, 2 * ROWS, 3 * ROWS]
    assert all(each.rate > 0 for each in told)
    assert told[0].seconds_left is not None
    assert told[-1].seconds_left == 0
    told.clear()
    run(progress=told.append)
    assert [(each.resumed, each.rate, each.seconds_left) for each in told] == [
        (1, 0, None),
        (2, 0, None),
        (3, 0, None),
    ]


def test_few_shards_are_under_way_at_a_time(shards: list[Shard], out: Path) -> None:
    class Counting(ThreadPoolExecutor):
        submitted = 0

        def submit(self, *arguments: Any, **settings: Any) -> Any:
            self.submitted += 1
            return super().submit(*arguments, **settings)

    with Counting(1) as executor:
        seen: list[int] = []
        verify_archive(
            shards,
            out,
            job=JOB,
            executor=executor,
            in_flight=1,
            progress=lambda told: seen.append(executor.submitted - told.shards),
        )
    assert seen == [0, 0, 0]


def test_a_run_that_is_interrupted_leaves_no_half_file_and_goes_on_later(
    shards: list[Shard], out: Path
) -> None:
    def interrupt(told: ArchiveProgress) -> None:
        raise KeyboardInterrupt

    with ThreadPoolExecutor(1) as executor, pytest.raises(KeyboardInterrupt):
        verify_archive(shards, out, job=JOB, executor=executor, progress=interrupt)
    assert leftovers(out) == []
    assert not (out / "report.json").exists()
    with ThreadPoolExecutor(1) as executor:
        report = verify_archive(shards, out, job=JOB, executor=executor)
    assert report.resumed >= 1
    assert report.rows == 3 * ROWS


def test_one_run_has_the_folder_at_a_time(run: Any, out: Path) -> None:
    out.mkdir()
    with (out / ".lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(ArchiveBusy):
            run()
    assert run().rows == 3 * ROWS


def test_what_a_killed_run_left_is_swept_away(run: Any, out: Path) -> None:
    out.mkdir()
    for name in (".a.outcomes.parquet.00.part", ".run-00"):
        (out / name).write_bytes(b"half")
    run()
    assert leftovers(out) == []


def test_a_file_that_is_not_ours_is_not_written_over(run: Any, out: Path) -> None:
    out.mkdir()
    for name, data in (("a", b"a thesis"), ("b", b"")):
        (out / f"{name}.outcomes.parquet").write_bytes(data)
    pq.write_table(pa.table({"x": [1]}), out / "c.outcomes.parquet")
    report = run()
    assert [each.code for each in report.failed_shards.values()] == ["shard-invalid"] * 3
    assert (out / "a.outcomes.parquet").read_bytes() == b"a thesis"


def test_outcomes_do_not_go_where_the_archive_is(shards: list[Shard], executor: Executor) -> None:
    folder = shards[0].path.parent
    with pytest.raises(ArchiveInvalid):
        verify_archive(shards, folder, job=JOB, executor=executor)
    assert find_shards(folder) == shards


def test_nothing_to_verify_is_not_everything_in_order(
    tmp_path: Path, out: Path, executor: Executor
) -> None:
    with pytest.raises(ArchiveInvalid):
        verify_archive([], out, job=JOB, executor=executor)
    with pytest.raises(ArchiveInvalid):
        find_shards(tmp_path)


def test_two_shards_of_one_name_are_refused(
    shards: list[Shard], tmp_path: Path, out: Path, executor: Executor
) -> None:
    other = write_shard(tmp_path / "more" / "a.parquet", Archivist().rows(1))
    with pytest.raises(ArchiveInvalid):
        verify_archive([*shards, other], out, job=JOB, executor=executor)


def test_a_job_that_cannot_be_is_an_error_before_anything_is_done(run: Any, out: Path) -> None:
    with pytest.raises(CertificateInvalid):
        run(ArchiveJob(trust=b"no certificate"))
    assert not out.exists()


@pytest.mark.parametrize(
    "text", ["[]", "{}", '{"shards": [{"name": "../x.parquet", "sha256": "00"}]}', "\xff"]
)
def test_a_manifest_that_is_none_is_an_error(shards: list[Shard], text: str) -> None:
    folder = shards[0].path.parent
    (folder / "archive.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ArchiveInvalid):
        find_shards(folder)
