"""The pages on the bank's side say what the code does, and their examples run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.docs.test_examples import blocks
from ushield.bank.policy import RULES, CustomerFacts, load_policy
from ushield.bank.policy.review import review
from ushield.shield.events import PanelKey
from ushield.testing.token import VirtualTokenUnderTest
from ushield.transaction import Transaction, from_json

DOCS = Path(__file__).parent.parent.parent / "docs"
POLICY = DOCS / "policy.md"


def test_the_policy_page_has_every_rule_and_when_it_refuses() -> None:
    table = POLICY.read_text().split("## The rules\n")[1]
    rows = re.findall(r"^\| `(.+?)` \| (.+) \|$", table, re.MULTILINE)
    assert rows == [(rule.name, rule.summary) for rule in RULES]


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


def test_the_example_of_the_policy_page_decides(
    virtual_token: VirtualTokenUnderTest,
    transfer: Transaction,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    with virtual_token.open() as token, token.session(virtual_token.pin) as session:
        pending = session.sign(transfer)
        virtual_token.clock.advance(5)
        for _ in virtual_token.panel.pages[1:]:
            virtual_token.panel.page_down()
        virtual_token.panel.press(PanelKey.OK)
        Path("payment.p7s").write_bytes(pending.result(timeout=10).der)
    Path("bank-ca.pem").write_bytes(virtual_token.authority.ca_pem)
    (text,) = blocks(POLICY, "toml")
    (example,) = blocks(POLICY, "python")
    for named, verdict in ((virtual_token.serial, "allowed under"), ("V2", "refused: virtual")):
        Path("policy.toml").write_text(text.replace("V000000000001", named))
        names: dict[str, Any] = {}
        exec(compile(example, str(POLICY), "exec"), names)
        assert verdict in capsys.readouterr().out
