"""The page on archives says what the code does, and its examples run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from tests.bank.archive.making import TRUSTED
from tests.bank.banking import VERIFIER, order
from tests.bank.revocations import crl
from tests.docs.test_examples import REPOSITORY, blocks
from tests.pki import NOW, Signer
from ushield.bank import Bank, create_store
from ushield.bank.archive import RowFault
from ushield.bank.archive.columns import OUTCOME_SCHEMA, SHARD_SCHEMA

PAGE = REPOSITORY / "docs" / "archives.md"


@pytest.mark.parametrize("schema", [SHARD_SCHEMA, OUTCOME_SCHEMA], ids=["shard", "outcome"])
def test_the_columns_are_told_with_their_types(schema: pa.Schema) -> None:
    tables = re.split(r"^\| column .*\n", PAGE.read_text(), flags=re.MULTILINE)
    told = [
        re.findall(r"^\| `(\w+)` \| (.+?) \|", table.split("\n\n")[0], re.MULTILINE)
        for table in tables
    ]
    assert [(each.name, str(each.type)) for each in schema] in told


def test_the_faults_of_rows_are_told() -> None:
    assert set(RowFault) <= set(re.findall("`(row-.+?)`", PAGE.read_text()))


@pytest.fixture
def bank(tmp_path: Path) -> Path:
    """A bank in the folder ``mybank`` that has accepted a payment."""
    folder = tmp_path / "mybank"
    folder.mkdir()
    (folder / "ca.pem").write_bytes(TRUSTED)
    (folder / "bank.toml").write_text("")
    url = f"sqlite:///{folder / 'bank.db'}"
    create_store(url, NOW)
    signer = Signer.issued()
    with Bank.open(url, verifier=VERIFIER, clock=lambda: NOW) as bank:
        bank.add_customer("alice")
        bank.enrol("alice", signer.der, token="US00000001")
        challenge = bank.issue(order(), customer="alice")
        bank.accept(challenge.id, signer.sign(challenge.message))
    return folder


def test_the_examples_export_a_bank_and_verify_it(bank: Path, tmp_path: Path) -> None:
    (tmp_path / "crls").mkdir()
    (tmp_path / "crls" / "june.crl").write_bytes(crl())
    (program, _) = blocks(PAGE, "python")
    (tmp_path / "program.py").write_text(program)
    (_, script) = blocks(PAGE, "sh")
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", f"{script}\npython program.py"],
        cwd=tmp_path,
        env=os.environ | {"PATH": path, "PYTHONUTF8": "1"},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 of 1 rows hold, in 1 of 1 shards (0 verified before)" in done.stdout
    assert "{'holds': 1} {}" in done.stdout
    assert {each.name for each in (tmp_path / "outcomes").glob("[!.]*")} == set(
        re.findall(r"^\| `([\w.]+)` \| (?:the|totals)", PAGE.read_text(), re.MULTILINE)
    ) - {"NAME.outcomes.parquet"} | {"accepted-000001.outcomes.parquet"}
