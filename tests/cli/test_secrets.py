"""Secrets come from files and descriptors, and from nowhere else without a terminal."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from tests.cli.conftest import Enrolled
from ushield.cli.application import application


def options(command: click.Command) -> set[str]:
    found = {option for parameter in command.params for option in parameter.opts}
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None
            found |= options(child)
    return found


def test_no_option_takes_a_secret_itself() -> None:
    secret = {
        option
        for option in options(application)
        if any(word in option for word in ("pin", "puk", "management"))
    }
    assert secret - {"--pin-policy", "--pin-age", "--management-key"} == {
        "--pin-file",
        "--pin-fd",
        "--puk-file",
        "--new-pin-file",
        "--new-puk-file",
        "--management-key-file",
    }


def test_the_management_key_is_named_never_written_in_an_argument(enrolled: Enrolled) -> None:
    result = enrolled.run("key", "generate", "--management-key", "00" * 24)
    assert result.exit_code == 2
    assert "default" in result.stderr


@pytest.mark.parametrize("line", ["{pin}\n", "{pin}\r\n", "{pin}", "{pin}\nmore\n"])
def test_the_first_line_of_a_file_is_the_secret(enrolled: Enrolled, line: str) -> None:
    path = enrolled.folder / "pin"
    path.write_bytes(line.format(pin=enrolled.pin).encode())
    assert enrolled.run("pin", "verify", "--pin-file", str(path)).exit_code == 0


@pytest.mark.parametrize("content", [b"", b"\n", b"x" * 300])
def test_a_file_without_a_secret_is_refused(enrolled: Enrolled, content: bytes) -> None:
    path = enrolled.folder / "pin"
    path.write_bytes(content)
    result = enrolled.run("pin", "verify", "--pin-file", str(path))
    assert result.exit_code == 50
    assert str(path) in result.stderr
    assert enrolled.tries_left() == 6


def test_a_file_that_is_not_there_is_refused(enrolled: Enrolled, tmp_path: Path) -> None:
    result = enrolled.run("pin", "verify", "--pin-file", str(tmp_path / "nowhere"))
    assert result.exit_code == 50
    assert "No such file" in result.stderr
    assert "Name a file" in result.stderr


def test_a_secret_comes_from_a_descriptor(enrolled: Enrolled) -> None:
    reading, writing = os.pipe()
    os.write(writing, enrolled.pin.encode() + b"\n")
    with enrolled.process(
        "pin", "verify", "--pin-fd", str(reading), pass_fds=(reading,)
    ) as process:
        out, err = process.communicate()
    os.close(reading)
    os.close(writing)
    assert (process.returncode, out, err) == (0, "The PIN is right.\n", "")


def test_a_descriptor_that_is_not_open_is_refused(enrolled: Enrolled) -> None:
    result = enrolled.run("pin", "verify", "--pin-fd", "987")
    assert result.exit_code == 50
    assert "descriptor 987" in result.stderr
    assert "Open it" in result.stderr


def test_a_secret_comes_from_the_standard_input(enrolled: Enrolled) -> None:
    with enrolled.process("pin", "verify", "--pin-file", "-", stdin=subprocess.PIPE) as process:
        out, err = process.communicate(enrolled.pin + "\n")
    assert (process.returncode, out, err) == (0, "The PIN is right.\n", "")


def test_two_secrets_do_not_come_from_one_standard_input(enrolled: Enrolled) -> None:
    result = enrolled.run("pin", "change", "--pin-file", "-", "--new-pin-file", "-")
    assert result.exit_code == 2
    assert "one secret" in result.stderr


def test_a_pin_comes_from_one_place(enrolled: Enrolled) -> None:
    result = enrolled.run("pin", "verify", "--pin-file", "x", "--pin-fd", "3")
    assert result.exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (["pin", "verify"], "--pin-file"),
        (["pin", "unblock"], "--puk-file"),
        (["pin", "change", "--pin-fd", "PIN"], "--new-pin-file"),
    ],
)
def test_without_a_terminal_nobody_is_asked(
    enrolled: Enrolled, arguments: list[str], option: str
) -> None:
    with open(enrolled.secret(enrolled.pin), "rb") as secret:
        number = str(secret.fileno())
        result = enrolled.run(*(number if word == "PIN" else word for word in arguments))
    assert result.exit_code == 2
    assert option in result.stderr


def test_the_pin_is_in_no_argument_and_no_environment(enrolled: Enrolled) -> None:
    # The process that needs the PIN shows what the whole system can see of it.
    code = (
        "import sys, pathlib\n"
        "sys.argv[0] = 'ushield'\n"
        "from ushield.cli.application import application\n"
        "try:\n"
        "    application.main(sys.argv[1:])\n"
        "finally:\n"
        "    seen = pathlib.Path('/proc/self/cmdline').read_bytes()\n"
        "    seen += pathlib.Path('/proc/self/environ').read_bytes()\n"
        "    print(seen.decode(errors='replace'))\n"
    )
    arguments = ["--token", enrolled.spec, "pin", "verify", "--pin-file"]
    seen = subprocess.run(
        [sys.executable, "-c", code, *arguments, enrolled.secret(enrolled.pin)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "--pin-file" in seen
    assert enrolled.pin not in seen
