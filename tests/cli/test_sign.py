"""``ushield sign``: from a JSON file to a signature, or to nothing at all."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from tests.cli.conftest import PAYMENT, Enrolled, run, told
from ushield.virtual.token import VirtualToken


def sign(enrolled: Enrolled, *more: str, **changes: Any) -> Result:
    out = str(enrolled.folder / "new.p7s")
    arguments = [enrolled.payment(**changes), "-o", out]
    arguments += ["--pin-file", enrolled.secret(enrolled.pin), *more]
    return enrolled.run("--json", "sign", *arguments)


def nothing_was_left(enrolled: Enrolled) -> bool:
    names = os.listdir(enrolled.folder)
    return "new.p7s" not in names and not any(name.endswith(".part") for name in names)


def test_ok_gives_a_signature_that_the_bank_accepts(enrolled: Enrolled) -> None:
    result = sign(enrolled, "--virtual-press", "ok", memo="a & b <c>")
    assert result.exit_code == 0, result.stderr
    facts = told(result)
    assert facts["transaction"] == PAYMENT | {"memo": "a & b <c>"}
    assert facts["shown"]["金额"] == "1,234.56 CNY"
    verified = run("--json", "verify", facts["file"], "--ca", str(enrolled.ca), "--accept-virtual")
    assert verified.exit_code == 0
    assert told(verified)["transaction"] == facts["transaction"]


@pytest.mark.parametrize(
    ("more", "code"),
    [
        (["--virtual-press", "cancel"], 30),
        (["--virtual-press", "none", "--timeout", "0.3"], 31),
    ],
)
def test_without_ok_there_is_no_signature(enrolled: Enrolled, more: list[str], code: int) -> None:
    result = sign(enrolled, *more)
    assert result.exit_code == code
    assert told(result)["error"]["exit"] == code
    assert nothing_was_left(enrolled)
    assert sign(enrolled, "--virtual-press", "ok").exit_code == 0


def test_a_character_that_the_token_cannot_draw_is_named(enrolled: Enrolled) -> None:
    result = sign(enrolled, "--virtual-press", "ok", memo="\U00020bb7野家")
    assert result.exit_code == 32
    error = told(result)["error"]
    assert error["facts"] == {"reason": "glyph", "character": "\U00020bb7"}
    assert "U+20BB7" in error["message"]
    assert nothing_was_left(enrolled)


@pytest.mark.parametrize(
    "changes",
    [
        {"amount": "1.234"},
        {"amount": 1234.56},
        {"amount": "-1.00"},
        {"memo": "a\u202eb"},
        {"memo": "a\u200bb"},
        {"memo": "a\tb"},
        {"unknown": "x"},
        {"kind": "gift"},
        {"payee": {"name": "张三"}},
    ],
    ids=str,
)
def test_a_payment_that_cannot_be_meant_is_refused_before_the_token_is_touched(
    enrolled: Enrolled, changes: dict[str, Any]
) -> None:
    before = enrolled.path.read_bytes()
    result = sign(enrolled, "--virtual-press", "ok", **changes)
    assert result.exit_code == 50
    assert told(result)["error"]["code"] == "transaction-invalid"
    assert enrolled.path.read_bytes() == before
    assert nothing_was_left(enrolled)


@pytest.mark.parametrize("text", ["", "[]", "{", "\xff", '{"kind": "login", "kind": "login"}'])
def test_a_file_that_is_no_json_payment_is_refused(enrolled: Enrolled, text: str) -> None:
    path = enrolled.folder / "bad.json"
    path.write_text(text, encoding="latin-1")
    result = enrolled.run("sign", str(path), "-o", "x", "--virtual-press", "ok")
    assert result.exit_code == 50


def test_an_older_signature_is_replaced_only_on_request(enrolled: Enrolled) -> None:
    out = enrolled.folder / "new.p7s"
    out.write_bytes(b"older")
    refused = sign(enrolled, "--virtual-press", "ok")
    assert (refused.exit_code, out.read_bytes()) == (2, b"older")
    assert sign(enrolled, "--force", "--virtual-press", "cancel").exit_code == 30
    assert out.read_bytes() == b"older"
    assert sign(enrolled, "--force", "--virtual-press", "ok").exit_code == 0
    assert out.read_bytes() != b"older"


def test_a_signature_with_nowhere_to_go_is_not_asked_for(enrolled: Enrolled) -> None:
    payment, pin = enrolled.payment(), enrolled.secret(enrolled.pin)
    out = str(enrolled.folder / "nowhere" / "new.p7s")
    arguments = ["sign", payment, "-o", out, "--pin-file", pin, "--virtual-press", "ok"]
    assert enrolled.run(*arguments).exit_code == 50
    assert told(run("--json", "virtual", "show", str(enrolled.path)))["signatures"] == 1


def test_without_a_terminal_a_virtual_token_wants_to_be_told_what_to_press(
    enrolled: Enrolled,
) -> None:
    result = sign(enrolled)
    assert result.exit_code == 2
    assert "--virtual-press" in result.stderr


def test_nothing_is_pressed_on_a_token_that_is_not_virtual(tmp_path: Path) -> None:
    payment = tmp_path / "payment.json"
    payment.write_text(json.dumps(PAYMENT))
    out = str(tmp_path / "out")
    result = run("--token", "usb:1-1", "sign", str(payment), "-o", out, "--virtual-press", "ok")
    assert result.exit_code == 2
    assert "virtual token" in result.stderr


def test_a_wrong_pin_is_told_before_anything_is_shown(enrolled: Enrolled) -> None:
    arguments = [enrolled.payment(), "-o", str(enrolled.folder / "new.p7s")]
    arguments += ["--pin-file", enrolled.secret("97531086"), "--virtual-press", "ok"]
    assert enrolled.run("sign", *arguments).exit_code == 20
    assert nothing_was_left(enrolled)
    assert enrolled.tries_left() == 5


def test_a_key_is_named_by_its_label(enrolled: Enrolled) -> None:
    assert sign(enrolled, "--key", "signing", "--virtual-press", "ok").exit_code == 0
    result = sign(enrolled, "--key", "other", "--force", "--virtual-press", "ok")
    assert result.exit_code == 50
    assert told(result)["error"]["code"] == "object-not-found"


def test_a_token_with_its_first_pin_signs_nothing_until_it_is_changed(tmp_path: Path) -> None:
    from ushield.virtual.create import create_token

    path = tmp_path / "new.token"
    create_token(path, pin="123456", default_pin=True).pin.wipe()
    pin = tmp_path / "pin"
    pin.write_text("123456")
    arguments = ["--token", f"virtual:{path}", "key", "generate", "--pin-file", str(pin)]
    result = run(*arguments, "--algorithm", "p256")
    assert result.exit_code == 42
    assert "ushield pin change" in result.stderr


def test_a_token_file_that_is_not_there_is_no_token(tmp_path: Path) -> None:
    assert run("--token", f"virtual:{tmp_path}/none", "pin", "status").exit_code == 10


@pytest.mark.parametrize("spec", ["tcp:1", "usb:x", "virtual:"])
def test_a_spec_that_means_nothing_is_wrong_usage(spec: str) -> None:
    result = run("--token", spec, "pin", "status")
    assert result.exit_code in (2, 10)
    assert "Traceback" not in result.stderr


def test_the_environment_names_a_token_and_the_option_wins(
    enrolled: Enrolled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("USHIELD_TOKEN", enrolled.spec)
    assert run("pin", "status").exit_code == 0
    assert run("--token", f"virtual:{tmp_path}/none", "pin", "status").exit_code == 10
    assert run("pin", "status", "--token", f"virtual:{tmp_path}/none").exit_code == 10


def test_a_second_process_hears_who_has_the_token(enrolled: Enrolled) -> None:
    with VirtualToken.open(enrolled.path), enrolled.process("--json", "pin", "status") as process:
        out, _ = process.communicate()
        assert process.returncode == 12
        facts = json.loads(out)["error"]["facts"]
        assert facts["pid"] == os.getpid()
    assert enrolled.run("pin", "status").exit_code == 0


def test_a_token_file_that_others_may_read_is_refused_with_the_remedy(enrolled: Enrolled) -> None:
    enrolled.path.chmod(0o644)
    result = enrolled.run("pin", "status")
    assert result.exit_code == 50
    assert f"chmod 600 {enrolled.path}" in result.stderr
    enrolled.path.chmod(0o600)
    assert enrolled.run("pin", "status").exit_code == 0


def test_a_token_file_cut_short_is_refused(enrolled: Enrolled) -> None:
    whole = enrolled.path.read_bytes()
    for size in (0, 10, 4096, len(whole) - 1):
        enrolled.path.write_bytes(whole[:size])
        assert enrolled.run("pin", "status").exit_code == 50
    enrolled.path.write_bytes(whole)
    assert enrolled.run("pin", "status").exit_code == 0


def test_a_foreign_database_is_no_token(tmp_path: Path) -> None:
    path = tmp_path / "foreign"
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE t (x)")
        database.commit()
    path.chmod(0o600)
    assert run("--token", f"virtual:{path}", "pin", "status").exit_code == 50


def test_ctrl_c_takes_the_payment_off_the_screen(enrolled: Enrolled) -> None:
    arguments = ["sign", enrolled.payment(), "-o", str(enrolled.folder / "new.p7s")]
    arguments += ["--pin-file", enrolled.secret(enrolled.pin), "--virtual-press", "none"]
    with enrolled.process(*arguments) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("Shown on the virtual token")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert (process.returncode, "Traceback" in err) == (33, False)
    assert nothing_was_left(enrolled)
    assert enrolled.run("pin", "status").exit_code == 0
