"""What nobody foresaw is one line and exit code 3; a reader that went away is nothing to say."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import click
import pytest

from tests.cli.conftest import USHIELD, Enrolled, run, told
from ushield.bank.authorities.development import DevelopmentAuthority
from ushield.cli.commands import list_command
from ushield.cli.files import FileFailed, write_file


@pytest.fixture
def broken_list(monkeypatch: pytest.MonkeyPatch) -> None:
    def break_down() -> None:
        raise RuntimeError("two\nlines")

    monkeypatch.setattr(list_command, "command", click.Command("list", callback=break_down))


@pytest.mark.usefixtures("broken_list")
def test_an_unexpected_exception_is_one_line_with_a_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("USHIELD_DEBUG", raising=False)
    result = run("list")
    assert result.exit_code == 3
    first, second = result.stderr.splitlines()
    assert first == "ushield: unexpected: RuntimeError: two lines"
    assert "USHIELD_DEBUG=1" in second
    error = told(run("--json", "list"))["error"]
    assert (error["code"], error["exit"]) == ("unexpected", 3)


@pytest.mark.usefixtures("broken_list")
def test_who_asks_for_it_gets_the_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USHIELD_DEBUG", "1")
    result = run("list")
    assert result.exit_code == 3
    assert "Traceback" in result.stderr


def test_a_reader_that_went_away_is_no_error_to_report(enrolled: Enrolled) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with enrolled.process("info", stdout=writing) as process:
        os.close(writing)
        _, err = process.communicate()
    assert err == ""
    assert process.returncode not in (0, 3)


def test_an_error_keeps_its_code_where_nobody_reads_it(enrolled: Enrolled) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    enrolled.path.unlink()
    with enrolled.process("info", "--json", stdout=writing) as process:
        os.close(writing)
        _, err = process.communicate()
    assert process.returncode == 10
    assert err.startswith("ushield: there is no token file")
    assert len(err.splitlines()) == 2


@pytest.mark.parametrize("form", [[], ["--json"]], ids=["text", "json"])
def test_output_that_a_full_disk_does_not_take_is_told(enrolled: Enrolled, form: list[str]) -> None:
    with open("/dev/full", "w") as full, enrolled.process("info", *form, stdout=full) as process:
        _, err = process.communicate()
    assert process.returncode == 3
    assert err.startswith("ushield: the output cannot be written: No space left on device\n")
    assert len(err.splitlines()) == 2


def test_what_an_encoding_cannot_write_is_escaped(enrolled: Enrolled) -> None:
    verify = ["verify", str(enrolled.signature), "--ca", str(enrolled.ca), "--accept-virtual"]
    shown = subprocess.run(
        [*USHIELD, *verify],
        env=os.environ | {"PYTHONIOENCODING": "iso8859-1"},
        capture_output=True,
        check=True,
    ).stdout.decode("latin-1")
    assert "\\u5f20\\u4e09" in shown


def test_a_full_disk_is_told_and_nothing_half_written_is_left(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (16, before[1]))
    try:
        with pytest.raises(FileFailed, match="File too large"):
            write_file(str(tmp_path / "out"), bytes(4096), replace=False)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert os.listdir(tmp_path) == []


def test_a_command_whose_extra_is_not_installed_names_it(tmp_path: Path) -> None:
    program = (
        "import sys; sys.modules['sqlalchemy'] = None\n"
        "from ushield.cli.application import application\n"
        "application.main(sys.argv[1:])"
    )
    arguments = ["bank", "init", str(tmp_path / "bank"), "--ca", str(tmp_path / "ca.pem")]
    (tmp_path / "ca.pem").write_bytes(DevelopmentAuthority("Test Bank").ca_pem)
    done = subprocess.run(
        [sys.executable, "-c", program, "--json", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    error = json.loads(done.stdout)["error"]
    assert done.returncode == error["exit"] == 3
    assert (error["code"], error["remedy"]) == ("extra-missing", "pip install 'ushield[bank]'")
    assert not (tmp_path / "bank").exists()
