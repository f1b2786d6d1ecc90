"""``ushield demo``: the whole story, and its other ends."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Enrolled, run, told

FILES = {"token", "bank-ca.pem", "token.pem", "screens.txt", "message.xml", "payment.p7s"}


def test_the_story_leaves_its_files_and_tells_where(
    demo_folder: tuple[Path, dict[str, Any]],
) -> None:
    folder, facts = demo_folder
    assert set(os.listdir(folder)) == FILES
    assert facts["files"] == {name: str(folder / name) for name in FILES}
    assert facts["by"] == "demo"
    assert facts["voucher"]["transaction"] == facts["transaction"]


def test_the_screens_are_left_as_they_were_drawn(
    demo_folder: tuple[Path, dict[str, Any]],
) -> None:
    text = (demo_folder[0] / "screens.txt").read_text(encoding="utf-8")
    pages = [part.splitlines() for part in text.split("== ")[1:]]
    assert all(len(page) == 1 + 4 for page in pages)
    assert all(page[-1].startswith("虚拟 ") for page in pages)
    payment = [page for page in pages if page[0].startswith("payment")]
    assert payment[0][0] == f"payment, page 1 of {len(payment)}"
    assert any("1,234.56 CNY" in line for page in payment for line in page)


def test_the_message_is_what_was_signed(enrolled: Enrolled) -> None:
    assert (enrolled.folder / "message.xml").read_bytes() in enrolled.signature.read_bytes()


def test_the_token_can_be_used_afterwards(enrolled: Enrolled) -> None:
    health = enrolled.run("cert", "health", "--json")
    assert {tuple(one["findings"]) for one in told(health)["certificates"]} == {()}
    unblock = ["pin", "unblock", "--puk-file", enrolled.secret(enrolled.puk)]
    assert enrolled.run(*unblock, "--new-pin-file", enrolled.secret("314159")).exit_code == 0


@pytest.mark.parametrize(
    ("more", "code"),
    [
        (["--virtual-press", "cancel"], 30),
        (["--virtual-press", "none", "--timeout", "0.3"], 31),
    ],
)
def test_a_payment_that_is_not_confirmed_leaves_no_signature(
    tmp_path: Path, more: list[str], code: int
) -> None:
    folder = tmp_path / "out"
    result = run("demo", "--key", "p256", "--out", str(folder), *more)
    assert result.exit_code == code
    assert set(os.listdir(folder)) == FILES - {"payment.p7s", "message.xml"}


def test_without_a_terminal_the_demo_presses_ok_and_says_so(tmp_path: Path) -> None:
    result = run("demo", "--key", "p256", "--out", str(tmp_path / "a" / "b"))
    assert result.exit_code == 0
    assert "presses the token's OK key itself" in result.stdout
    assert "│◆金额" in result.stdout


def test_without_a_directory_it_makes_one_and_says_that_it_is_temporary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    result = run("demo", "--key", "p256")
    assert result.exit_code == 0
    (folder,) = tmp_path.iterdir()
    assert str(folder) in result.stdout
    assert "temporary" in result.stdout
    assert set(os.listdir(folder)) == FILES


@pytest.mark.parametrize("name", sorted(FILES))
def test_nothing_of_an_earlier_demo_is_overwritten(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"mine")
    result = run("demo", "--out", str(tmp_path))
    assert result.exit_code == 2
    assert "another directory" in result.stderr
    assert (tmp_path / name).read_bytes() == b"mine"
    assert os.listdir(tmp_path) == [name]


def test_a_directory_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    assert run("demo", "--out", str(tmp_path / "file" / "out")).exit_code == 50


def test_the_bank_takes_the_payment_once_and_goes_on_in_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    facts = told(
        run(
            "--json",
            "demo",
            "--key",
            "p256",
            "--virtual-press",
            "ok",
            "--bank",
            "--out",
            str(folder),
        )
    )
    bank = folder / "bank"
    assert (facts["bank"], facts["replay"]) == (str(bank), "challenge-replayed")
    again = run(
        "bank", "accept", "--bank", str(bank), facts["challenge"], facts["files"]["payment.p7s"]
    )
    assert again.exit_code == 40
    log = told(run("--json", "bank", "audit", "verify", "--bank", str(bank)))
    # The second refusal is not sealed yet.
    assert (log["entries"], log["pending"]) == (facts["log_entries"], 1)
    assert told(run("--json", "bank", "due", "--bank", str(bank)))["due"] == []


def test_a_payment_that_is_not_confirmed_reaches_no_bank(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    more = ("--virtual-press", "cancel", "--bank")
    assert run("demo", "--key", "p256", "--out", str(folder), *more).exit_code == 30
    assert run("demo", "--out", str(folder)).exit_code == 2
    assert run("bank", "audit", "verify", "--bank", str(folder / "bank")).exit_code == 0
