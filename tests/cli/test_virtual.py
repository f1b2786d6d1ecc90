"""``ushield virtual``: tokens as files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.cli.conftest import Enrolled, run, told
from ushield.virtual.token import VirtualToken


def test_a_made_up_pin_and_puk_are_printed_and_work(tmp_path: Path) -> None:
    path = tmp_path / "alice.token"
    facts = told(run("--json", "virtual", "create", str(path)))
    assert path.stat().st_mode & 0o777 == 0o600
    pin = tmp_path / "pin"
    pin.write_text(facts["pin"])
    spec = f"virtual:{path}"
    assert run("--token", spec, "pin", "verify", "--pin-file", str(pin)).exit_code == 0
    puk, new = tmp_path / "puk", tmp_path / "new"
    puk.write_text(facts["puk"])
    new.write_text("314159")
    unblock = ["pin", "unblock", "--puk-file", str(puk), "--new-pin-file", str(new)]
    assert run("--token", spec, *unblock).exit_code == 0


def test_secrets_that_were_given_are_not_printed(tmp_path: Path) -> None:
    pin, puk = tmp_path / "pin", tmp_path / "puk"
    pin.write_text("314159\n")
    puk.write_text("27182818\n")
    path = tmp_path / "alice.token"
    result = run("virtual", "create", str(path), "--pin-file", str(pin), "--puk-file", str(puk))
    assert result.exit_code == 0
    assert "314159" not in result.output
    assert "27182818" not in result.output
    assert run("--token", f"virtual:{path}", "pin", "verify", "--pin-file", str(pin)).exit_code == 0


def test_profile_and_serial_are_as_asked_for(tmp_path: Path) -> None:
    path = str(tmp_path / "alice.token")
    arguments = ["--profile", "ascii", "--serial", "SN-1", "--label", "小红"]
    assert run("virtual", "create", path, *arguments).exit_code == 0
    facts = told(run("--json", "--token", f"virtual:{path}", "info"))
    assert (facts["serial"], facts["label"]) == ("SN-1", "小红")
    assert facts["screen"]["repertoire"] == "ascii"
    assert facts["virtual"] is True


@pytest.mark.parametrize(
    "arguments", [["--profile", "none"], ["--serial", "a b"], ["--label", "x" * 33]], ids=str
)
def test_a_token_that_cannot_be_is_not_made(tmp_path: Path, arguments: list[str]) -> None:
    path = tmp_path / "alice.token"
    assert run("virtual", "create", str(path), *arguments).exit_code == 50
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("pin", ["12345", "111111", "abcdef"])
def test_a_bad_pin_makes_no_token(tmp_path: Path, pin: str) -> None:
    file = tmp_path / "pin"
    file.write_text(pin)
    path = tmp_path / "alice.token"
    assert run("virtual", "create", str(path), "--pin-file", str(file)).exit_code == 50
    assert not path.exists()


def test_a_file_that_is_there_is_not_overwritten(enrolled: Enrolled) -> None:
    before = enrolled.path.read_bytes()
    assert run("virtual", "create", str(enrolled.path)).exit_code == 50
    assert enrolled.path.read_bytes() == before


def test_a_directory_that_is_not_there_is_told(tmp_path: Path) -> None:
    result = run("virtual", "create", str(tmp_path / "nowhere" / "alice.token"))
    assert result.exit_code == 50
    assert len(result.stderr.splitlines()) == 2


def test_showing_a_token_tells_its_state_and_touches_nothing(enrolled: Enrolled) -> None:
    before = enrolled.path.read_bytes(), enrolled.path.stat().st_mtime_ns
    facts = told(run("--json", "virtual", "show", str(enrolled.path)))
    assert (enrolled.path.read_bytes(), enrolled.path.stat().st_mtime_ns) == before
    assert facts["pin"]["user"] == {
        "tries_left": 6,
        "max_tries": 6,
        "locked": False,
        "must_change": False,
        "is_default": False,
    }
    assert [(key["label"], key["usage"]) for key in facts["keys"]] == [("signing", "display")]
    assert facts["signatures"] == facts["vouchers"] == 1


def test_a_token_in_use_can_be_shown(enrolled: Enrolled) -> None:
    with VirtualToken.open(enrolled.path):
        result = run("virtual", "show", str(enrolled.path))
    assert result.exit_code == 0
    assert "6 of 6 tries left" in result.stdout


def test_showing_what_is_no_token_is_told(tmp_path: Path) -> None:
    assert run("virtual", "show", str(tmp_path / "none")).exit_code == 10
    other = tmp_path / "other"
    other.write_bytes(b"hello")
    other.chmod(0o600)
    assert run("virtual", "show", str(other)).exit_code == 50
    assert run("virtual", "show", str(tmp_path)).exit_code == 50
