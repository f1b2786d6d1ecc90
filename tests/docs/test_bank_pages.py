"""The pages on the bank's side say what the code does, and their examples run."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.docs.test_examples import blocks
from ushield.bank.approval import ControlRefusal
from ushield.bank.batch import BatchRule
from ushield.bank.policy import RULES, CustomerFacts, load_policy
from ushield.bank.policy.review import review
from ushield.shield.events import PanelKey
from ushield.testing.token import VirtualTokenUnderTest
from ushield.transaction import MAX_BATCH_ROWS, Transaction, from_json
from ushield.transaction.row_files import COLUMNS, read_rows

DOCS = Path(__file__).parent.parent.parent / "docs"
POLICY = DOCS / "policy.md"
BATCHES = DOCS / "batches.md"


def table(text: str) -> list[tuple[str, str]]:
    return re.findall(r"^\| `(.+?)` \| (.+) \|$", text, re.MULTILINE)


def test_the_policy_page_has_every_rule_and_when_it_refuses() -> None:
    policy, control = POLICY.read_text().split("## The rules\n")[1].split("## Several people\n")
    assert table(policy) == [(rule.name, rule.summary) for rule in RULES]
    assert table(control) == [(refusal.value, refusal.told) for refusal in ControlRefusal]


def test_the_page_on_batches_has_every_rule_and_every_column() -> None:
    page = BATCHES.read_text()
    assert [name for name, _ in table(page)] == list(BatchRule)
    for name in COLUMNS:
        assert re.search(rf"\b{name}\b", page)
    assert f"At most {MAX_BATCH_ROWS} rows" in page


def test_the_files_of_the_page_on_batches_are_files_of_rows() -> None:
    (as_csv,), (as_json,) = blocks(BATCHES, "csv"), blocks(BATCHES, "json")
    first, _ = read_rows(io.BytesIO(as_csv.encode()))
    assert list(read_rows(io.BytesIO(as_json.encode()))) == [first]


def test_the_policy_of_the_page_is_one_and_its_layers_merge_as_told() -> None:
    (text,) = blocks(POLICY, "toml")
    policy = load_policy(text)
    company = policy.terms_for(CustomerFacts("F", "company"))
    assert company.control is not None
    assert [tier.checkers for tier in company.control] == [1, 2]
    assert company.payments_a_day == 50
    assert review(policy) == (
        "default: no screen is wanted for: bill, login",
        "customer C-1001: virtual tokens may sign: V000000000001",
        "customer C-1001: keys may sign that no token attested",
    )


@pytest.fixture
def transfer() -> Transaction:
    (text,) = blocks(DOCS / "message.md", "json")
    return from_json(text)


def press_ok(virtual_token: VirtualTokenUnderTest, transaction: Transaction) -> bytes:
    """Sign, with the panel read for five seconds by the token's clock."""
    with virtual_token.open() as token, token.session(virtual_token.pin) as session:
        pending = session.sign(transaction)
        virtual_token.clock.advance(5)
        for _ in virtual_token.panel.pages[1:]:
            virtual_token.panel.page_down()
        virtual_token.panel.press(PanelKey.OK)
        return pending.result(timeout=10).der


def test_the_first_example_of_the_policy_page_decides(
    virtual_token: VirtualTokenUnderTest,
    transfer: Transaction,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("payment.p7s").write_bytes(press_ok(virtual_token, transfer))
    Path("bank-ca.pem").write_bytes(virtual_token.authority.ca_pem)
    (text,) = blocks(POLICY, "toml")
    example, _ = blocks(POLICY, "python")
    for named, verdict in ((virtual_token.serial, "allowed under"), ("V2", "refused: virtual")):
        Path("policy.toml").write_text(text.replace("V000000000001", named))
        exec(compile(example, str(POLICY), "exec"), {})
        assert verdict in capsys.readouterr().out


def test_the_second_example_lets_a_checker_complete_the_maker_s_payment(
    virtual_token_factory: Callable[..., VirtualTokenUnderTest],
    transfer: Transaction,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    cas, serials = b"", []
    for name in ("maker", "checker"):
        virtual = virtual_token_factory(algorithm=None)
        virtual.enrol(subject=f"CN={name}")
        Path(f"{name}.p7s").write_bytes(press_ok(virtual, transfer))
        cas += virtual.authority.ca_pem
        serials.append(virtual.serial)
    Path("bank-ca.pem").write_bytes(cas)
    (text,) = blocks(POLICY, "toml")
    hours = re.search("^hours = .*$", text, re.MULTILINE)
    assert hours is not None
    # The page's company is closed at night, and this test may run then.
    policy = text.replace(hours[0], f"virtual_tokens = {serials}\nattestation = 'optional'")
    Path("policy.toml").write_text(policy)
    _, example = blocks(POLICY, "python")
    exec(compile(example, str(POLICY), "exec"), {})
    told = capsys.readouterr().out
    assert told == "waits for 1 of qian, zhao\nto be carried out: 1,234.56 CNY\n"


def test_the_examples_of_the_page_on_batches_sign_and_verify(
    virtual_token: VirtualTokenUnderTest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    virtual_token.close()
    Path("pin.txt").write_text(virtual_token.pin)
    Path("bank-ca.pem").write_bytes(virtual_token.authority.ca_pem)
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    (script,) = blocks(BATCHES, "sh")
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        env=os.environ | {"PATH": path, "PYTHONUTF8": "1", "USHIELD_TOKEN": virtual_token.spec},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "total    10,250.50 CNY" in done.stdout
    assert "The rows of rows.csv are those that were signed." in done.stdout
    (example,) = blocks(BATCHES, "python")
    exec(compile(example, str(BATCHES), "exec"), {})
    assert capsys.readouterr().out == "张三 5,000.00 CNY\n李四 5,250.50 CNY\n"
    changed = Path("rows.csv").read_text().replace("张三", "张四")
    Path("rows.csv").write_text(changed)
    exec(compile(example, str(BATCHES), "exec"), {})
    assert capsys.readouterr().out == "refused: batch-digest\n"
