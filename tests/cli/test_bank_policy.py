"""``ushield bank policy check``: a policy's file is one, or the entry at fault is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bank.test_policy_loading import WHOLE
from tests.cli.conftest import run, told


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    path = tmp_path / "policy.toml"
    path.write_text(WHOLE, encoding="utf-8")
    return path


def test_a_sound_policy_is_told_with_its_terms_and_remarks(policy: Path) -> None:
    result = run("bank", "policy", "check", str(policy))
    assert result.exit_code == 0, result.stderr
    for text in ("profiles: company", "customers: 李四 1", "remark: default: virtual tokens"):
        assert text in result.stdout
    assert '  kinds = ["login", "transfer"]' in result.stdout


def test_programs_get_the_terms_that_hold_for_a_customer(policy: Path) -> None:
    arguments = ("bank", "policy", "check", str(policy), "--json")
    facts = told(run(*arguments))
    assert "control" not in facts["terms"]
    assert "counter-went-back" in facts["rules"]
    merged = told(run(*arguments, "--profile", "company", "--customer", "李四 1"))["terms"]
    assert merged["kinds"] == []
    assert merged["control"][1] == {"checkers": 2, "above": {"CNY": "1000000.00", "JPY": "0"}}
    assert merged["amount"]["transfer"] == {"CNY": "50000.00", "JPY": "1000000"}


@pytest.mark.parametrize("option", ["--profile", "--customer"])
def test_a_name_that_the_policy_does_not_have_is_wrong_usage(policy: Path, option: str) -> None:
    result = run("bank", "policy", "check", str(policy), option, "compnay")
    assert result.exit_code == 2
    assert "states nothing for compnay" in result.stderr


def test_a_wrong_entry_is_named_with_a_remedy(policy: Path) -> None:
    policy.write_text(WHOLE.replace("kinds", "kind", 1), encoding="utf-8")
    result = run("bank", "policy", "check", str(policy), "--json")
    error = told(result)["error"]
    assert (result.exit_code, error["code"]) == (50, "policy-invalid")
    assert error["facts"] == {"path": "default.kind"}
    assert error["message"] == "default.kind: unknown; did you mean kinds?"
    assert "bank policy check" in error["remedy"]
