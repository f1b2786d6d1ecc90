"""``ushield apdu`` and ``ushield trace``: for who writes a driver."""

from __future__ import annotations

import json
import stat

import pytest

from tests.cli.conftest import Enrolled, run, told
from ushield.drivers import registry

SELECT = "00 A4 04 00 08 F0 55 53 48 49 45 4C 44 00"


def test_an_answer_comes_with_its_status_word_in_words(enrolled: Enrolled) -> None:
    result = enrolled.run("apdu", SELECT, "00:CA:00:00")
    assert result.exit_code == 0
    first, second = result.stdout.splitlines()
    assert "9000 (done)" in first
    assert "(instruction not supported)" in second


def test_a_driver_selects_its_application_first_unless_told_not_to(enrolled: Enrolled) -> None:
    asked = ["--json", "apdu", "00200081"]
    selected = told(enrolled.run(*asked))
    assert selected["exchanges"][0]["sw"] == "63c6"
    assert selected["atr"].startswith("3b")
    bare = told(enrolled.run(*asked, "--no-driver"))
    assert bare["exchanges"][0]["sw"] != "63c6"


def test_a_card_that_no_driver_knows_can_be_talked_to_all_the_same(
    enrolled: Enrolled, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "drivers", lambda: ())
    assert enrolled.run("info").exit_code == 14
    result = enrolled.run("--json", "apdu", SELECT)
    assert result.exit_code == 0
    assert told(result)["exchanges"][0]["sw"] == "9000"


@pytest.mark.parametrize("text", ["xyz", "00", "0020", "abc"])
def test_what_is_no_apdu_is_not_sent(enrolled: Enrolled, text: str) -> None:
    assert enrolled.run("apdu", text).exit_code == 50


def test_a_pin_is_not_given_as_an_argument_and_is_not_shown(enrolled: Enrolled) -> None:
    apdu = f"00200081{len(enrolled.pin):02x}{enrolled.pin.encode().hex()}"
    refused = enrolled.run("apdu", apdu)
    assert refused.exit_code == 2
    assert "standard input" in refused.stderr
    result = enrolled.run("--json", "apdu", "-", stdin=f"{SELECT}\n\n{apdu}\n")
    exchange = told(result)["exchanges"][1]
    assert (exchange["command"], exchange["masked"], exchange["sw"]) == ("00200081", True, "9000")
    assert enrolled.pin.encode().hex() not in result.output


def test_a_trace_tells_what_a_command_said_and_hides_the_pin(enrolled: Enrolled) -> None:
    file = enrolled.folder / "pin.trace"
    pin = enrolled.secret(enrolled.pin)
    recorded = enrolled.run("trace", "record", str(file), "pin", "verify", "--pin-file", pin)
    assert (recorded.exit_code, recorded.stdout) == (0, "The PIN is right.\n")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert enrolled.pin.encode().hex() not in file.read_text()
    text = run("trace", "show", str(file)).stdout
    assert text.startswith("ATR 3B")
    assert f"00 20 00 81 [{1 + len(enrolled.pin)} bytes hidden] -> 9000 (done)" in text
    facts = told(run("trace", "show", str(file), "--json"))
    assert {"command": "00200081", "masked": True, "response": "9000"}.items() <= next(
        one for one in facts["records"] if one.get("masked")
    ).items()


def test_a_command_that_fails_leaves_its_trace_and_its_exit_code(enrolled: Enrolled) -> None:
    file = enrolled.folder / "pin.trace"
    wrong = enrolled.secret("97531086")
    arguments = ["--json", "trace", "record", str(file), "pin", "verify", "--pin-file", wrong]
    result = enrolled.run(*arguments)
    assert result.exit_code == 20
    assert told(result)["error"]["facts"]["tries_left"] == 5
    assert "63C5 (not verified, 5 tries left)" in run("trace", "show", str(file)).stdout


def test_an_older_trace_is_replaced_only_on_request(enrolled: Enrolled) -> None:
    file = enrolled.folder / "pin.trace"
    file.write_text("older")
    assert enrolled.run("trace", "record", str(file), "pin", "status").exit_code == 2
    assert file.read_text() == "older"
    assert enrolled.run("trace", "record", "--force", str(file), "pin", "status").exit_code == 0
    assert run("trace", "show", str(file)).exit_code == 0


@pytest.mark.parametrize("name", ["nonsense", "trace"])
def test_only_a_command_can_be_recorded(enrolled: Enrolled, name: str) -> None:
    file = enrolled.folder / "pin.trace"
    assert enrolled.run("trace", "record", str(file), name).exit_code == 2
    assert not file.exists()


@pytest.mark.parametrize(("arguments", "code"), [(["pin", "nonsense"], 2), (["list"], 0)])
def test_where_nothing_was_exchanged_no_trace_is_left(
    enrolled: Enrolled, arguments: list[str], code: int
) -> None:
    file = enrolled.folder / "pin.trace"
    assert enrolled.run("trace", "record", str(file), *arguments).exit_code == code
    assert not file.exists()


@pytest.mark.parametrize("text", ["", "hello\n", json.dumps({"trace": "ushield"}) + "\n"])
def test_what_is_no_trace_is_refused(enrolled: Enrolled, text: str) -> None:
    file = enrolled.folder / "bad.trace"
    file.write_text(text)
    assert run("trace", "show", str(file)).exit_code == 50
