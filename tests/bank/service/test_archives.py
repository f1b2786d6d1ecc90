"""Archives over HTTP: out as Parquet, verified again, in bounded time and memory."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.bank.banking import Bench
from tests.bank.service.backings import backing_of
from tests.bank.service.served import Served
from ushield.bank.archive.columns import SHARD_SCHEMA
from ushield.bank.service import Role
from ushield.bank.service.operations import archives

AUDITOR = Role.AUDITOR
PARQUET = {"Content-Type": "application/vnd.apache.parquet"}
VERIFY = ("POST", "/v1/archive/verifications", AUDITOR)


# In a process of its own: what it takes for a moment would count as this one's for ever.
BOMB = """
import sys
import pyarrow as pa
import pyarrow.parquet as pq
size = 400 << 20
ends = pa.py_buffer(bytes(4) + size.to_bytes(4, "little"))
value = pa.Array.from_buffers(pa.binary(), 1, [None, ends, pa.py_buffer(bytes(size))])
columns = {
    "record_id": pa.array(["a"]),
    "signed_at": pa.array([0], pa.timestamp("us", tz="UTC")),
    "signature": value,
}
pq.write_table(pa.table(columns), sys.stdout.buffer, compression="zstd", use_dictionary=False)
"""


@pytest.fixture
def kept(bench: Bench, tmp_path: Path) -> Iterator[Served]:
    """A bank that has accepted three payments."""
    alice = bench.customer()
    for number in range(3):
        challenge = bench.issue(alice, f"A{number}")
        bench.bank.accept(challenge.id, alice.sign(challenge.message))
        bench.clock.move(hours=1)
    with Served(bench, tmp_path, backing=backing_of(bench)) as served:
        yield served


def rows_of(data: bytes) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(io.BytesIO(data)).to_pylist()
    return found


def shard(rows: list[dict[str, Any]], schema: pa.Schema = SHARD_SCHEMA) -> bytes:
    stream = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), stream)
    return stream.getvalue()


def verified(served: Served, data: bytes, query: str = "") -> dict[str, Any]:
    return served.told(200, VERIFY[0], VERIFY[1] + query, AUDITOR, content=data, headers=PARQUET)


def test_what_was_accepted_comes_out_and_holds(kept: Served) -> None:
    answer = kept.ask("GET", "/v1/archive", AUDITOR)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == PARQUET["Content-Type"]
    assert (answer.headers["ushield-rows"], answer.headers["ushield-erased"]) == ("3", "0")
    assert len(rows_of(answer.content)) == 3
    report = verified(kept, answer.content)
    assert report == {
        "rows": 3,
        "failed_rows": 0,
        "outcomes": {"holds": 3},
        "failed": [],
        "revocation": None,
    }
    assert verified(kept, answer.content, "?knowledge=now") == report


def test_a_time_is_asked_for_by_its_ends(kept: Served) -> None:
    rows = rows_of(kept.ask("GET", "/v1/archive", AUDITOR).content)
    since, until = (each["signed_at"].isoformat().replace("+00:00", "Z") for each in rows[1:3])
    answer = kept.ask("GET", f"/v1/archive?since={since}&until={until}", AUDITOR)
    assert [each["record_id"] for each in rows_of(answer.content)] == [rows[1]["record_id"]]
    later = kept.ask("GET", "/v1/archive?since=2100-01-01T00:00:00Z", AUDITOR)
    assert (later.status_code, later.content) == (204, b"")


def test_a_row_that_does_not_hold_is_named_with_its_reason(kept: Served) -> None:
    rows = rows_of(kept.ask("GET", "/v1/archive", AUDITOR).content)
    rows[0]["signature"] = rows[0]["signature"][:-1] + bytes([rows[0]["signature"][-1] ^ 1])
    rows[1]["message"] = b"another"
    report = verified(kept, shard(rows))
    assert report["outcomes"] == {"holds": 1, "signature-invalid": 1, "content-mismatch": 1}
    assert [(each["record_id"], each["outcome"]) for each in report["failed"]] == [
        (rows[0]["record_id"], "signature-invalid"),
        (rows[1]["record_id"], "content-mismatch"),
    ]
    assert report["failed_rows"] == 2


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"PAR1PAR1",
        b"PAR1" + bytes(100) + b"PAR1",
        b"id,signature\n",
        shard([], pa.schema([pa.field("record_id", pa.string())])),
        shard([{"record_id": 1}], pa.schema([pa.field("record_id", pa.int64())])),
    ],
    ids=["nothing", "magic alone", "zeros", "CSV", "columns missing", "another type"],
)
def test_what_is_no_shard_is_refused(kept: Served, data: bytes) -> None:
    kept.refused(422, "shard-invalid", *VERIFY, content=data, headers=PARQUET)


def test_a_shard_that_unpacks_to_more_than_there_is_memory_for_is_refused(
    kept: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "_MEMORY", 300 << 20)
    made = subprocess.run([sys.executable, "-c", BOMB], capture_output=True, check=True)
    data = made.stdout
    assert len(data) < 1 << 20
    refused = kept.refused(422, "shard-invalid", *VERIFY, content=data, headers=PARQUET)
    assert "memory" in refused["detail"] or "malloc" in refused["detail"]
    # The service goes on.
    assert verified(kept, kept.ask("GET", "/v1/archive", AUDITOR).content)["failed_rows"] == 0


def test_more_than_is_given_out_at_once_is_refused_before_it_is_read(
    kept: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "_MOST_ROWS", 2)
    kept.refused(422, "archive-too-large", "GET", "/v1/archive", AUDITOR)


@pytest.mark.parametrize(
    "query", ["since=yesterday", "since=2026-01-01T00:00:00", "until=1", "x=1"]
)
def test_a_time_that_is_none_is_refused(kept: Served, query: str) -> None:
    kept.refused(400, "request-invalid", "GET", f"/v1/archive?{query}", AUDITOR)


def test_only_auditors_get_archives(kept: Served) -> None:
    kept.refused(403, "not-permitted", "GET", "/v1/archive", Role.PAYMENTS)
    kept.refused(403, "not-permitted", *VERIFY[:2], Role.CLERK, content=b"", headers=PARQUET)


def test_another_type_and_too_long_a_body_are_refused(
    kept: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept.refused(415, "media-type-unsupported", *VERIFY, json={})
    kept.refused(413, "body-too-large", *VERIFY, content=bytes((1 << 25) + 1), headers=PARQUET)


def test_without_what_it_takes_it_is_not_served(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Served(bench, tmp_path) as served:
        served.refused(501, "not-served", *VERIFY, content=b"", headers=PARQUET)
        monkeypatch.setattr(archives, "find_spec", lambda _: None)
        told = served.refused(501, "not-served", "GET", "/v1/archive", AUDITOR)
        assert "ushield[archive]" in told["remedy"]
