"""``ushield sign --batch`` and ``verify --batch``: from a file of rows to a signature over them."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from tests.cli.conftest import Enrolled, run, told
from tests.pki import NOW, Signer, authority, pem
from tests.transaction.strategies import BATCH_ROWS, EXAMPLES
from ushield.cms import BlindStatement
from ushield.transaction import write_message

BATCH: dict[str, Any] = {
    "kind": "batch",
    "payer": {"name": "某某有限公司", "account": "0200001009012345678"},
    "currency": "CNY",
    "memo": "十二月工资",
    "challenge": "9f3c5b8e21d74a06",
}


@pytest.fixture
def rows(enrolled: Enrolled) -> Path:
    path = enrolled.folder / "rows.csv"
    with path.open("w", encoding="utf-8-sig", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["收款人", "收款账号", "收款行", "金额", "附言"])
        for number in range(1000):
            account = f"6222{number:010}"
            writer.writerow(
                [f"员工{number}", account, "中国工商银行", f"{5000 + number}.00", "工资"]
            )
    return path


def sign(enrolled: Enrolled, rows: Path, **changes: Any) -> Result:
    payment = enrolled.folder / "batch.json"
    payment.write_text(json.dumps(BATCH | changes), encoding="utf-8")
    arguments = ["sign", str(payment), "--batch", str(rows), "-o", str(enrolled.folder / "b.p7s")]
    arguments += ["--pin-file", enrolled.secret(enrolled.pin), "--virtual-press", "ok"]
    return enrolled.run("--json", *arguments)


def verify(enrolled: Enrolled, *more: str) -> Result:
    arguments = ["verify", str(enrolled.folder / "b.p7s"), "--ca", str(enrolled.ca)]
    return run(*arguments, "--accept-virtual", *more)


def test_a_thousand_rows_are_signed_by_one_press_and_the_bank_checks_every_one(
    enrolled: Enrolled, rows: Path
) -> None:
    result = sign(enrolled, rows)
    assert result.exit_code == 0, result.stderr
    shown = told(result)["shown"]
    assert (shown["笔数"], shown["总金额"]) == ("1000", "5,499,500.00 CNY")
    for text in ("rows     1,000", "5,499,500.00 CNY", shown["明细摘要"], "largest  5,999.00 CNY"):
        assert text in result.stderr
    assert "alike" not in result.stderr
    checked = verify(enrolled, "--batch", str(rows))
    assert checked.exit_code == 0, checked.stderr
    assert f"The rows of {rows} are those that were signed." in checked.stdout
    facts = told(verify(enrolled, "--batch", str(rows), "--json"))
    assert facts["rows"] == {"file": str(rows), "count": 1000, "largest": "5999.00"}
    assert "Its rows were not looked at" in verify(enrolled).stdout


def test_another_computer_tells_what_the_token_must_show(enrolled: Enrolled, rows: Path) -> None:
    shown = told(sign(enrolled, rows))["shown"]
    text = run("batch", "show", str(rows), "--currency", "CNY")
    assert shown["明细摘要"] in text.stdout
    facts = told(run("--json", "batch", "show", str(rows), "--currency", "CNY"))
    assert facts == {
        "file": str(rows),
        "count": 1000,
        "total": "5499500.00",
        "currency": "CNY",
        "digest": shown["明细摘要"].replace(" ", ""),
        "largest": "5999.00",
    }
    missing = run("--json", "batch", "show", str(rows))
    assert (missing.exit_code, told(missing)["error"]["facts"]["field"]) == (50, "currency")


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (("员工7,", "员工8,"), "batch-digest"),
        (("5007.00", "5008.00"), "batch-total"),
        (("62220000000007", "62220000000008"), "batch-digest"),
    ],
)
def test_rows_changed_after_the_press_are_refused(
    enrolled: Enrolled, rows: Path, change: tuple[str, str], rule: str
) -> None:
    assert sign(enrolled, rows).exit_code == 0
    text = rows.read_text(encoding="utf-8")
    assert change[0] in text
    rows.write_text(text.replace(*change, 1), encoding="utf-8")
    result = verify(enrolled, "--batch", str(rows), "--json")
    error = told(result)["error"]
    assert (result.exit_code, error["code"]) == (40, "batch-mismatch")
    assert error["facts"] == {"reason": "batch-mismatch", "rule": rule}


def test_rows_that_repeat_another_are_pointed_out(enrolled: Enrolled, rows: Path) -> None:
    lines = rows.read_text(encoding="utf-8").splitlines()
    rows.write_text("\n".join([*lines[:4], lines[2], lines[2]]), encoding="utf-8")
    result = sign(enrolled, rows)
    assert result.exit_code == 0, result.stderr
    assert "2 rows repeat another, such as 4 repeats 2" in result.stderr


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"count": 999}, "count"),
        ({"total": "5499500.01"}, "total"),
        ({"digest": "0" * 64}, "digest"),
        ({"kind": "transfer"}, "kind"),
        ({"memo": " "}, "memo"),
    ],
)
def test_a_batch_that_its_rows_do_not_make_is_refused_before_the_token_is_touched(
    enrolled: Enrolled, rows: Path, changes: dict[str, Any], field: str
) -> None:
    before = enrolled.path.read_bytes()
    result = sign(enrolled, rows, **changes)
    assert result.exit_code == 50
    assert told(result)["error"]["facts"] == {"field": field}
    assert enrolled.path.read_bytes() == before
    assert not (enrolled.folder / "b.p7s").exists()


def test_a_row_that_is_none_is_told_with_its_line(enrolled: Enrolled, rows: Path) -> None:
    text = rows.read_text(encoding="utf-8")
    rows.write_text(text.replace("5500.00", "5500.001"), encoding="utf-8")
    result = sign(enrolled, rows)
    error = told(result)["error"]
    assert (result.exit_code, error["code"]) == (50, "rows-invalid")
    assert error["facts"] == {"line": 502, "field": "amount"}


def test_rows_are_no_use_with_what_is_no_batch(enrolled: Enrolled, rows: Path) -> None:
    arguments = ["verify", str(enrolled.signature), "--ca", str(enrolled.ca), "--accept-virtual"]
    result = run(*arguments, "--batch", str(rows))
    assert result.exit_code == 50
    assert "is no batch" in result.stderr
    assert "rows" not in run(*arguments).stdout


def test_the_rows_of_what_no_screen_showed_are_checked_too(tmp_path: Path) -> None:
    card = Signer.issued(issuer="Test Bank Blind CA")
    signature, ca, rows = (tmp_path / name for name in ("b.p7s", "blind.pem", "rows.jsonl"))
    message = write_message(EXAMPLES[4])
    signature.write_bytes(card.sign(message, BlindStatement("1234", "PIV card", "piv")))
    ca.write_bytes(pem(authority("Test Bank Blind CA")))
    lines = []
    for row in BATCH_ROWS:
        payee = {name: getattr(row.payee, name) for name in ("name", "account", "bank")}
        memo = {"memo": row.memo} if row.memo else {}
        lines.append(json.dumps({"payee": payee, "amount": row.amount.text} | memo))
    rows.write_text("\n".join(lines), encoding="utf-8")
    arguments = ("verify", str(signature), "--accept-blind", str(ca), "--at", NOW.isoformat())
    result = run(*arguments, "--batch", str(rows))
    assert result.exit_code == 0, result.stderr
    assert "are those that were signed" in result.stdout
    rows.write_text("\n".join(lines[::-1]), encoding="utf-8")
    assert run(*arguments, "--batch", str(rows)).exit_code == 40
