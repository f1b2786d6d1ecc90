"""Version and help are quick and light; every command says how it is used."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from ushield import __version__
from ushield.cli.application import application

HEAVY = ("cryptography", "asn1crypto", "usb", "usbip", "sqlite3", "sqlalchemy")
COMMANDS = ["list", "info", "pin", "key", "cert", "sign", "verify", "batch", "vouchers"]
COMMANDS += ["apdu", "trace", "virtual", "bank", "demo"]


@pytest.mark.parametrize("argument", ["--version", "--help"])
def test_version_and_help_load_nothing_heavy(argument: str) -> None:
    code = (
        "import sys\n"
        "before = set(sys.modules)\n"
        f"sys.argv = ['ushield', {argument!r}]\n"
        "from ushield.cli import main\n"
        "try:\n"
        "    main()\n"
        "except SystemExit as end:\n"
        f"    loaded = [name for name in {HEAVY!r} if name in set(sys.modules) - before]\n"
        "    sys.exit(loaded or end.code)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (0, "")


def test_the_version_is_the_packages() -> None:
    assert CliRunner().invoke(application, ["--version"]).output == f"ushield {__version__}\n"


def test_help_lists_the_commands_in_the_order_of_use() -> None:
    text = CliRunner().invoke(application, ["--help"]).output
    listed = [line.split()[0] for line in text.partition("Commands:")[2].splitlines() if line]
    assert listed == COMMANDS


def leaves(command: click.Command, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    if not isinstance(command, click.Group):
        return [path]
    context = click.Context(command)
    found = []
    for name in command.list_commands(context):
        child = command.get_command(context, name)
        assert child is not None
        found += leaves(child, (*path, name))
    return found


@pytest.mark.parametrize("path", leaves(application), ids=" ".join)
def test_every_command_explains_itself_with_an_example_and_takes_json(
    path: tuple[str, ...],
) -> None:
    run = CliRunner().invoke(application, [*path, "--help"])
    assert run.exit_code == 0
    assert "Example: ushield " in run.output
    assert "--json" in run.output


@pytest.mark.parametrize("path", leaves(application), ids=" ".join)
def test_what_tries_a_pin_can_be_allowed_the_last_try(path: tuple[str, ...]) -> None:
    text = CliRunner().invoke(application, [*path, "--help"]).output
    tries = ("--pin-file" in text or "--puk-file" in text) and path != ("virtual", "create")
    assert ("--allow-last-try" in text) == tries


@pytest.mark.parametrize("arguments", [["nonsense"], ["--nonsense"], ["pin", "nonsense"], ["sign"]])
def test_wrong_usage_is_one_line_a_pointer_to_help_and_code_2(arguments: list[str]) -> None:
    run = CliRunner().invoke(application, arguments)
    assert run.exit_code == 2
    assert run.stdout == ""
    assert run.stderr.startswith("ushield: ")
    assert "--help" in run.stderr
    assert len(run.stderr.splitlines()) == 2


@pytest.mark.parametrize("arguments", [["--json", "sign"], ["sign", "--json"]])
def test_wrong_usage_is_told_to_programs_too(arguments: list[str]) -> None:
    import json

    run = CliRunner().invoke(application, arguments)
    error = json.loads(run.stdout)["error"]
    assert (error["code"], error["exit"], run.exit_code) == ("usage", 2, 2)


def test_no_command_shows_the_help_and_is_wrong_usage() -> None:
    run = CliRunner().invoke(application, [])
    assert run.exit_code == 2
    assert "Commands:" in run.stderr
