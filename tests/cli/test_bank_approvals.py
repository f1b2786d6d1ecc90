"""``ushield bank propose`` and ``approve``: a company's payment, signed by two people."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import PAYMENT, run, told

DRAFT = {name: value for name, value in PAYMENT.items() if name != "challenge"}
POLICY = """
version = 1
[profile.company]
kinds = ["transfer"]
attestation = "optional"
virtual_tokens = [%s]
amount.any.CNY = "2000"
control = [{ checkers = 1 }]
"""


class Firm:
    """A company of two people with a token each, in the folder of a bank."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bank = folder / "bank"
        self.pins: dict[str, str] = {}

    def add(self, person: str) -> str:
        """Make a person's token; its serial number."""
        made = run(
            *("--json", "demo", "--key", "p256", "--virtual-press", "ok"),
            *("--out", str(self.folder / person)),
        )
        self.pins[person] = told(made)["pin"]
        return str(told(made)["serial"])

    def spec(self, person: str) -> str:
        return f"virtual:{self.folder / person / 'token'}"

    def run(self, command: str, *arguments: str) -> Any:
        return run("--json", "bank", *command.split(), *arguments, "--bank", str(self.bank))

    def done(self, command: str, *arguments: str) -> dict[str, Any]:
        result = self.run(command, *arguments)
        assert result.exit_code == 0, result.stderr
        return told(result)

    def refused(self, command: str, *arguments: str) -> dict[str, Any]:
        result = self.run(command, *arguments)
        assert result.exit_code in (40, 42), result.stderr
        error: dict[str, Any] = told(result)["error"]
        return error

    def issue(self, order: str) -> str:
        (self.folder / "draft.json").write_text(json.dumps(DRAFT | {"order": order}))
        out = str(self.folder / f"{order}.json")
        issued = self.done(
            "issue", str(self.folder / "draft.json"), "--customer", "firm", "-o", out
        )
        return str(issued["challenge"])

    def sign(self, person: str, order: str) -> str:
        pin, out = self.folder / f"{person}.pin", self.folder / f"{order}-{person}.p7s"
        pin.write_text(self.pins[person])
        signed = run(
            *("--token", self.spec(person), "sign", str(self.folder / f"{order}.json")),
            *("-o", str(out), "--pin-file", str(pin), "--virtual-press", "ok", "--force"),
        )
        assert signed.exit_code == 0, signed.stderr
        return str(out)


@pytest.fixture(scope="session")
def made_firm(tmp_path_factory: pytest.TempPathFactory) -> Firm:
    firm = Firm(tmp_path_factory.mktemp("firm"))
    serials = {person: firm.add(person) for person in ("li", "wang")}
    cas = b"".join((firm.folder / each / "bank-ca.pem").read_bytes() for each in serials)
    (firm.folder / "ca.pem").write_bytes(cas)
    assert run("bank", "init", str(firm.bank), "--ca", str(firm.folder / "ca.pem")).exit_code == 0
    (firm.bank / "policy.toml").write_text(POLICY % str(list(serials.values()))[1:-1])
    (firm.bank / "bank.toml").write_text('policy = "policy.toml"\n')
    for person, serial in serials.items():
        firm.done(
            *("register", "firm", "--profile", "company", "--serial", serial),
            *("--certificate", str(firm.folder / person / "token.pem"), "--person", person),
            *(("--checks",) if person == "wang" else ()),
        )
    return firm


@pytest.fixture
def firm(made_firm: Firm, tmp_path: Path) -> Firm:
    """Another set of the same; the bank is told that its copy is the one to go on with."""
    copy = Firm(tmp_path / "firm")
    shutil.copytree(made_firm.folder, copy.folder)
    copy.pins = dict(made_firm.pins)
    copy.done("restored")
    return copy


def test_the_checker_completes_what_the_maker_proposed(firm: Firm) -> None:
    challenge = firm.issue("A1")
    made = firm.sign("li", "A1")
    assert firm.refused("accept", challenge, made)["facts"]["rules"] == ["approvals-missing"]
    proposal = firm.done("propose", challenge, made)
    assert proposal["stage"] == "open"
    assert (proposal["needed"], proposal["entitled"]) == (1, ["wang"])
    (waiting,) = firm.done("proposals", "--customer", "firm")["proposals"]
    assert waiting == proposal
    assert "1 of wang" in run("bank", "proposals", "--bank", str(firm.bank)).stdout
    assert firm.refused("approve", challenge, made)["facts"]["rule"] == "same-person"
    assert firm.refused("accept", challenge, made)["facts"]["reason"] == "challenge-proposed"
    paid = firm.done("approve", challenge, firm.sign("wang", "A1"))
    assert paid["payment"]["amount"] == "1234.56"
    endorsements = paid["proposal"]["endorsements"]
    assert [each["person"] for each in endorsements] == ["li", "wang"]
    assert firm.done("proposals") == {"proposals": []}
    (ended,) = firm.done("proposals", "--challenge", challenge)["proposals"]
    assert ended["stage"] == "complete"
    assert firm.done("challenge", challenge)["state"] == "consumed"


def test_it_is_taken_back_by_its_maker_or_refused_by_a_checker(firm: Firm) -> None:
    for order, command, person, stage in (
        ("A2", "withdraw", "li", "withdrawn"),
        ("A3", "reject", "wang", "rejected"),
    ):
        challenge = firm.issue(order)
        firm.done("propose", challenge, firm.sign("li", order))
        other = "wang" if person == "li" else "li"
        assert firm.refused(command, challenge, "--person", other)["code"] == "policy-refused"
        ended = firm.done(command, challenge, "--person", person)
        assert (ended["stage"], ended["ended_by"]) == (stage, person)


def test_a_bank_without_a_policy_says_what_it_lacks(firm: Firm) -> None:
    (firm.bank / "bank.toml").write_text("")
    result = firm.run("proposals")
    assert result.exit_code == 50
    assert "policy.toml" in told(result)["error"]["remedy"]


def test_checks_wants_a_person(firm: Firm) -> None:
    result = firm.run(
        "register", "firm", "--serial", "X", "--checks", "--certificate", str(firm.bank / "ca.pem")
    )
    assert result.exit_code == 2
