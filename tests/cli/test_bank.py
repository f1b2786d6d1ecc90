"""``ushield bank``: a bank in a folder, from its making to a broken log."""

from __future__ import annotations

import json
import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import PAYMENT, Enrolled, run, told

DRAFT = {name: value for name, value in PAYMENT.items() if name != "challenge"}


class Branch:
    """A bank whose customer has the demo's token."""

    def __init__(self, enrolled: Enrolled) -> None:
        self.enrolled = enrolled
        self.folder = enrolled.folder / "bank"
        self.serial: str = told(enrolled.run("--json", "info"))["serial"]
        self.pin = enrolled.secret(enrolled.pin)

    def run(self, command: str, *arguments: str) -> Any:
        return run("--json", "bank", *command.split(), *arguments, "--bank", str(self.folder))

    def done(self, command: str, *arguments: str) -> dict[str, Any]:
        result = self.run(command, *arguments)
        assert result.exit_code == 0, result.stderr
        return told(result)

    def refused(self, code: int, command: str, *arguments: str) -> dict[str, Any]:
        result = self.run(command, *arguments)
        assert result.exit_code == code, result.stderr
        error: dict[str, Any] = told(result)["error"]
        assert error["remedy"]
        assert error["exit"] == code
        return error

    def issue(self, **changes: Any) -> tuple[str, Path]:
        draft = self.enrolled.folder / "draft.json"
        draft.write_text(json.dumps(DRAFT | changes), encoding="utf-8")
        out = self.enrolled.folder / "to-sign.json"
        issued = self.done("issue", str(draft), "--customer", "alice", "-o", str(out), "--force")
        assert json.loads(out.read_text()) == issued["transaction"]
        return str(issued["challenge"]), out

    def sign(self, transaction: Path) -> str:
        signature = self.enrolled.folder / f"{transaction.stem}.p7s"
        arguments = ["--pin-file", self.pin, "--virtual-press", "ok", "--force"]
        result = self.enrolled.run("sign", str(transaction), "-o", str(signature), *arguments)
        assert result.exit_code == 0, result.stderr
        return str(signature)


@pytest.fixture
def branch(enrolled: Enrolled) -> Branch:
    branch = Branch(enrolled)
    made = run(
        *("--json", "bank", "init", str(branch.folder)),
        *("--ca", str(enrolled.ca), "--accept-virtual"),
    )
    assert told(made) == {"bank": str(branch.folder), "new": True, "tables": "made"}
    certificate = str(enrolled.folder / "token.pem")
    branch.done("register", "alice", "--certificate", certificate, "--serial", branch.serial)
    return branch


def test_a_signature_is_accepted_once_and_a_replay_has_its_code(branch: Branch) -> None:
    challenge, transaction = branch.issue()
    signature = branch.sign(transaction)
    accepted = branch.done("accept", challenge, signature)
    assert (accepted["customer"], accepted["token"]) == ("alice", branch.serial)
    assert accepted["transaction"]["amount"] == "1234.56"
    error = branch.refused(40, "accept", challenge, signature)
    assert error["facts"] == {"reason": "challenge-replayed"}
    assert branch.done("challenge", challenge)["state"] == "consumed"
    assert branch.refused(50, "challenge", challenge, "--withdraw")["code"] == "challenge-settled"


POLICY = """
version = 1
[default]
kinds = ["transfer", "batch"]
attestation = "optional"
virtual_tokens = ["%s"]
amount.any.CNY = "2000"
daily.together.CNY = "2000"
"""


def under_policy(branch: Branch) -> None:
    (branch.folder / "policy.toml").write_text(POLICY % branch.serial)
    (branch.folder / "bank.toml").write_text(
        'policy = "policy.toml"\ntime_zone = "Asia/Shanghai"\n'
    )


def test_what_the_policy_refuses_has_a_code_of_its_own_and_names_its_rules(branch: Branch) -> None:
    under_policy(branch)
    for order, code in (("A1", 0), ("A2", 42)):
        challenge, transaction = branch.issue(order=order)
        signature = branch.sign(transaction)
        if code == 0:
            branch.done("accept", challenge, signature)
            continue
        error = branch.refused(code, "accept", challenge, signature)
        assert error["code"] == "policy-refused"
        assert error["facts"] == {
            "reason": "policy-refused",
            "rule": "daily-total-over-limit",
            "rules": ["daily-total-over-limit"],
        }
        assert branch.done("challenge", challenge)["state"] == "issued"


def test_a_batch_is_accepted_with_its_rows(branch: Branch) -> None:
    under_policy(branch)
    rows = branch.enrolled.folder / "rows.csv"
    rows.write_text("payee,account,bank,amount\n张三,6222021001098765432,北京,500.00\n")
    shown = told(run("--json", "batch", "show", str(rows), "--currency", "CNY"))
    draft = {name: DRAFT[name] for name in ("payer", "currency", "memo")} | {
        "kind": "batch",
        "count": shown["count"],
        "total": shown["total"],
        "digest": shown["digest"],
    }
    path, out = branch.enrolled.folder / "batch.json", branch.enrolled.folder / "to-sign.json"
    path.write_text(json.dumps(draft))
    issued = branch.done("issue", str(path), "--customer", "alice", "-o", str(out))
    signature = branch.sign(out)
    error = branch.refused(42, "accept", issued["challenge"], signature)
    assert error["facts"]["rules"] == ["batch-rows-unchecked"]
    accepted = branch.done("accept", issued["challenge"], signature, "--batch", str(rows))
    assert accepted["display"] is True


def test_an_order_is_asked_for_once(branch: Branch) -> None:
    challenge, _ = branch.issue()
    draft, out = branch.enrolled.folder / "draft.json", branch.enrolled.folder / "out.json"
    ask = ("issue", str(draft), "--customer", "alice", "-o", str(out))
    assert branch.refused(50, *ask)["facts"] == {"challenge": challenge, "state": "issued"}
    assert not out.exists()
    assert branch.done(*ask, "--repeat")["challenge"] == challenge
    assert branch.done("challenge", challenge, "--withdraw")["state"] == "void"


def test_a_lost_token_has_the_code_of_mistrust(branch: Branch) -> None:
    challenge, transaction = branch.issue()
    signature = branch.sign(transaction)
    assert branch.done("report-loss", branch.serial)["state"] == "lost"
    error = branch.refused(41, "accept", challenge, signature)
    assert error["facts"] == {"reason": "token-lost"}
    branch.refused(50, "report-loss", "US-none")


def test_a_pin_is_due_until_a_change_of_it_is_reported(branch: Branch) -> None:
    def kinds() -> list[str]:
        return [each["kind"] for each in branch.done("due", "--pin-age", "0")["due"]]

    before = branch.done("due", "--pin-age", "0")["due"]
    assert [each["token"] for each in before if each["kind"] == "pin-unchanged"] == [branch.serial]
    assert branch.done("report-pin-change", branch.serial)["token"] == branch.serial
    after = branch.done("due", "--pin-age", "0")["due"]
    assert [each["due"] for each in after] > [each["due"] for each in before]
    branch.refused(50, "report-pin-change", "US-none")


def test_the_log_is_sealed_exported_and_found_broken(branch: Branch) -> None:
    branch.issue()
    heads = str(branch.enrolled.folder / "heads.jsonl")
    assert branch.done("audit export", heads) == {"file": heads, "sealed": 3, "exported": 1}
    report = branch.done("audit verify", "--anchors", heads)
    assert (report["entries"], report["pending"], report["anchored"]) == (3, 0, 1)
    with closing(sqlite3.connect(branch.folder / "bank.db")) as database, database:
        database.execute("DELETE FROM audit_entry WHERE sequence = 2")
    error = branch.refused(60, "audit verify", "--anchors", heads)
    assert error["facts"] == {"fault": "gap", "sequence": 2}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_sequencer_seals_and_exports_until_it_is_told_to_stop(
    branch: Branch, number: signal.Signals
) -> None:
    heads = branch.enrolled.folder / "heads.jsonl"
    with branch.enrolled.process(
        *("--json", "bank", "audit", "run", "--every", "0.02", "--export", str(heads)),
        *("--bank", str(branch.folder)),
    ) as sequencer:
        try:
            branch.issue()
            for _ in range(1000):
                if heads.exists() and heads.read_text().endswith("\n"):
                    break
                time.sleep(0.02)
            sequencer.send_signal(number)
            out, err = sequencer.communicate(timeout=30)
        finally:
            sequencer.kill()
    assert sequencer.returncode == 0, err
    assert json.loads(out)["sealed"] == 3
    report = branch.done("audit verify", "--anchors", str(heads))
    assert (report["entries"], report["pending"]) == (3, 0)
    assert json.loads(out)["exported"] == report["anchors"] == report["heads"]


def test_a_copied_bank_wants_to_be_confirmed(branch: Branch) -> None:
    challenge, transaction = branch.issue()
    signature = branch.sign(transaction)
    database = branch.folder / "bank.db"
    copy = branch.folder / "copy.db"
    copy.write_bytes(database.read_bytes())
    copy.replace(database)
    error = branch.refused(60, "accept", challenge, signature)
    assert error["code"] == "store-restored"
    assert "ushield bank restored" in error["remedy"]
    assert branch.done("restored") == {"voided": 1}
    error = branch.refused(40, "accept", challenge, signature)
    assert error["facts"] == {"reason": "challenge-void"}


def test_making_it_again_brings_it_up_to_date_and_changes_nothing_else(branch: Branch) -> None:
    key = (branch.folder / "audit-key.pem").read_bytes()
    again = run("--json", "bank", "init", str(branch.folder))
    assert told(again)["tables"] == "up to date"
    assert (branch.folder / "audit-key.pem").read_bytes() == key
    assert run("bank", "init", str(branch.folder), "--ca", str(branch.enrolled.ca)).exit_code == 2


def test_no_password_is_taken_from_the_command_line(branch: Branch) -> None:
    made = run(
        *("bank", "init", str(branch.enrolled.folder / "other"), "--ca", str(branch.enrolled.ca)),
        *("--store", "postgresql://bank:hunter2@localhost/bank"),
    )
    assert made.exit_code == 2
    assert "hunter2" not in made.stderr
    assert "pgpass" in made.stderr


@pytest.mark.parametrize(
    "text", ["rubbish", "lifetime = 0", "lifetime = true", "nonsense = 1", "store = 5"]
)
def test_a_folder_that_is_no_bank_says_why(branch: Branch, text: str) -> None:
    (branch.folder / "bank.toml").write_text(text + "\n")
    assert branch.refused(50, "challenge", "0" * 32)["code"] == "bank-configuration-invalid"
    (branch.folder / "bank.toml").unlink()
    assert branch.refused(50, "challenge", "0" * 32)["code"] == "bank-configuration-invalid"


def test_a_database_that_is_gone_has_a_code_of_its_own(branch: Branch) -> None:
    (branch.folder / "bank.db").unlink()
    assert branch.refused(60, "challenge", "0" * 32)["code"] == "store-unavailable"
