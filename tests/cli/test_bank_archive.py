"""``ushield bank archive``: out of the database, verified again, and what exit codes say."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.bank.archive.making import TRUSTED, Archivist, Row, write_shard
from tests.bank.revocations import DAY, crl
from tests.cli.conftest import run, told
from tests.pki import NOW


@pytest.fixture
def bank(tmp_path: Path) -> Path:
    """A bank's folder, as far as verifying an archive looks at it."""
    folder = tmp_path / "bank"
    folder.mkdir()
    (folder / "ca.pem").write_bytes(TRUSTED)
    (folder / "bank.toml").write_text("")
    return folder


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    archivist = Archivist()
    for name in ("one", "two"):
        write_shard(tmp_path / "archive" / f"{name}.parquet", archivist.rows(2))
    return tmp_path / "archive"


def add(archive: Path, *rows: Row) -> None:
    write_shard(archive / "three.parquet", rows)


@pytest.fixture
def verify(bank: Path, archive: Path, tmp_path: Path) -> Any:
    def verify(*arguments: str, code: int = 0) -> dict[str, Any]:
        out = ["--out", str(tmp_path / "out"), "--bank", str(bank)]
        if "--dask" not in arguments:
            out += ["--workers", "1"]
        result = run("--json", "bank", "archive", "verify", str(archive), *out, *arguments)
        assert result.exit_code == code, result.stderr
        return told(result)

    return verify


def test_an_archive_that_holds_is_verified_once(verify: Any, tmp_path: Path) -> None:
    facts = verify()
    assert (facts["rows"], facts["outcomes"], facts["resumed_shards"]) == (4, {"holds": 4}, 0)
    assert facts["revocation"] is None
    assert json.loads((tmp_path / "out" / "report.json").read_text()) == facts
    assert verify()["resumed_shards"] == 2


def test_a_row_that_does_not_hold_has_its_exit_code_until_it_is_mended(
    verify: Any, archive: Path
) -> None:
    row = Archivist().row()
    add(archive, row.but(signed_at=NOW - 1000 * DAY))
    facts = verify(code=40)
    assert facts["outcomes"] == {"holds": 4, "certificate-not-yet-valid": 1}
    assert verify(code=40)["resumed_shards"] == 3
    add(archive, row)
    assert verify()["outcomes"] == {"holds": 5}


def test_a_shard_that_fails_has_the_exit_code_too(verify: Any, archive: Path) -> None:
    (archive / "three.parquet").write_bytes(b"no Parquet")
    (failed,) = verify(code=40)["failed_shards"]
    assert failed["code"] == "shard-invalid"


def test_lists_of_a_folder_are_used_and_those_left_out_are_told(
    verify: Any, tmp_path: Path
) -> None:
    lists = tmp_path / "lists"
    lists.mkdir()
    (lists / "june.crl").write_bytes(crl())
    (lists / "readme.txt").write_bytes(b"nothing")
    facts = verify("--crls", str(lists))
    assert facts["revocation"]["lists"] == 1
    assert facts["revocation"]["ignored"][0]["path"] == str(lists / "readme.txt")
    (lists / "june.crl").write_bytes(crl(this_update=NOW + DAY, next_update=NOW + 2 * DAY))
    assert verify("--crls", str(lists), code=40)["outcomes"] == {"revocation-gap": 4}
    assert verify("--crls", str(lists), "--as-known-now")["outcomes"] == {"holds": 4}


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--as-known-now"], 2),
        (["--dask", "tcp://127.0.0.1:1", "--workers", "1"], 2),
        (["--dask", "nonsense://127.0.0.1:1"], 50),
    ],
)
def test_what_cannot_be_asked_for_has_its_exit_code(
    verify: Any, arguments: list[str], code: int
) -> None:
    assert verify(*arguments, code=code)["error"]["remedy"]


def test_a_person_is_told_how_far_it_is_and_what_came_out(
    bank: Path, archive: Path, tmp_path: Path
) -> None:
    add(archive, Archivist().row().but(signature=b""))
    command = [str(Path(sys.executable).parent / "ushield"), "bank", "archive", "verify"]
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [*command, str(archive), "--out", str(tmp_path / "out"), "--bank", str(bank)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=theirs,
        text=True,
    ) as process:
        os.close(theirs)
        shown = b""
        while True:
            try:
                chunk = os.read(ours, 4096)
            except OSError:
                break
            shown += chunk
        os.close(ours)
        assert process.stdout is not None
        text = process.stdout.read()
    assert process.returncode == 40
    assert b"3/3" in shown
    assert b"rows" in shown
    assert "4 of 5 rows hold, in 3 of 3 shards" in text
    assert "not-der: 1" in text
    assert "Revocation was not looked at" in text
    assert str(tmp_path / "out" / "failed.jsonl") in text
