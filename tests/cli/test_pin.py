"""``ushield pin``: each outcome, its exit code, and what it costs."""

from __future__ import annotations

import pytest

from tests.cli.conftest import Enrolled, told

UNTOUCHED = {"locked": False, "must_change": False, "is_default": False}


def test_status_tells_both_counters_and_spends_no_try(enrolled: Enrolled) -> None:
    for _ in range(3):
        result = enrolled.run("pin", "status", "--json")
        assert result.exit_code == 0
        assert told(result) == {
            "user": {"tries_left": 6, "max_tries": 6} | UNTOUCHED,
            "puk": {"tries_left": 10, "max_tries": 10} | UNTOUCHED,
        }


def test_the_right_pin_is_right(enrolled: Enrolled) -> None:
    result = enrolled.run("pin", "verify", "--pin-file", enrolled.secret(enrolled.pin))
    assert (result.exit_code, result.stdout) == (0, "The PIN is right.\n")


def test_a_wrong_pin_costs_one_try_and_says_how_many_are_left(enrolled: Enrolled) -> None:
    result = enrolled.run("--json", "pin", "verify", "--pin-file", enrolled.secret("97531086"))
    assert result.exit_code == 20
    error = told(result)["error"]
    assert (error["code"], error["exit"]) == ("pin-incorrect", 20)
    assert error["facts"] == {"reference": "user", "tries_left": 5}
    assert error["remedy"]
    assert "wrong PIN, 5 tries left" in result.stderr
    assert enrolled.tries_left() == 5


def test_a_right_pin_gives_the_tries_back(enrolled: Enrolled) -> None:
    enrolled.run("pin", "verify", "--pin-file", enrolled.secret("97531086"))
    enrolled.run("pin", "verify", "--pin-file", enrolled.secret(enrolled.pin))
    assert enrolled.tries_left() == 6


@pytest.mark.parametrize("malformed", ["12345", "1234567890123", "secret", "12 456"])
def test_what_cannot_be_a_pin_costs_no_try(enrolled: Enrolled, malformed: str) -> None:
    result = enrolled.run("pin", "verify", "--pin-file", enrolled.secret(malformed))
    assert result.exit_code == 50
    assert enrolled.tries_left() == 6


def test_the_last_try_is_spent_only_when_it_is_said_that_it_may_be(enrolled: Enrolled) -> None:
    wrong = enrolled.secret("97531086")
    for left in (5, 4, 3, 2, 1):
        assert enrolled.run("pin", "verify", "--pin-file", wrong).exit_code == 20
        assert enrolled.tries_left() == left
    refused = enrolled.run("pin", "verify", "--pin-file", wrong)
    assert refused.exit_code == 22
    assert "--allow-last-try" in refused.stderr
    assert enrolled.tries_left() == 1
    last = enrolled.run("pin", "verify", "--allow-last-try", "--pin-file", wrong)
    assert last.exit_code == 21
    assert enrolled.tries_left() == 0
    right = enrolled.secret(enrolled.pin)
    assert enrolled.run("pin", "verify", "--pin-file", right).exit_code == 21
    text = enrolled.run("pin", "status").stdout
    assert "PIN  locked" in text

    new = enrolled.secret("314159")
    unblocked = enrolled.run(
        "pin", "unblock", "--puk-file", enrolled.secret(enrolled.puk), "--new-pin-file", new
    )
    assert unblocked.exit_code == 0
    assert enrolled.tries_left() == 6
    assert enrolled.run("pin", "verify", "--pin-file", new).exit_code == 0
    assert enrolled.run("pin", "verify", "--pin-file", right).exit_code == 20


def test_a_changed_pin_replaces_the_old_one(enrolled: Enrolled) -> None:
    old, new = enrolled.secret(enrolled.pin), enrolled.secret("314159")
    changed = enrolled.run("pin", "change", "--pin-file", old, "--new-pin-file", new, "--json")
    assert (changed.exit_code, told(changed)) == (0, {"changed": True})
    assert enrolled.run("pin", "verify", "--pin-file", new).exit_code == 0
    assert enrolled.run("pin", "verify", "--pin-file", old).exit_code == 20


@pytest.mark.parametrize(
    ("new", "rule"), [("111111", "weak"), ("123456", "weak"), ("12345", "length")]
)
def test_a_bad_new_pin_is_refused_and_costs_no_try(enrolled: Enrolled, new: str, rule: str) -> None:
    old = enrolled.secret(enrolled.pin)
    result = enrolled.run(
        "--json", "pin", "change", "--pin-file", old, "--new-pin-file", enrolled.secret(new)
    )
    assert result.exit_code == 50
    assert told(result)["error"]["facts"]["rule"] == rule
    assert enrolled.tries_left() == 6
    assert enrolled.run("pin", "verify", "--pin-file", old).exit_code == 0


def test_changing_by_a_wrong_pin_costs_a_try(enrolled: Enrolled) -> None:
    wrong, new = enrolled.secret("97531086"), enrolled.secret("314159")
    result = enrolled.run("pin", "change", "--pin-file", wrong, "--new-pin-file", new)
    assert result.exit_code == 20
    assert enrolled.tries_left() == 5


def test_a_puk_locks_too_and_says_where_to_go(enrolled: Enrolled) -> None:
    unblock = ["pin", "unblock", "--puk-file", enrolled.secret("97531086")]
    unblock += ["--new-pin-file", enrolled.secret("314159")]
    for _ in range(9):
        assert enrolled.run(*unblock).exit_code == 20
    assert enrolled.run(*unblock).exit_code == 22
    assert enrolled.run(*unblock, "--allow-last-try").exit_code == 21
    locked = enrolled.run(*unblock)
    assert locked.exit_code == 21
    assert "bank" in locked.stderr
