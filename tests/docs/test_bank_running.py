"""The bank's page tells its reasons, and its example runs as it stands there."""

from __future__ import annotations

import configparser
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.docs.test_examples import REPOSITORY, blocks
from ushield.bank import RejectionReason
from ushield.bank.configuration import BankConfiguration
from ushield.cli.application import application

PAGE = REPOSITORY / "docs" / "bank.md"


@pytest.mark.timeout(300)
def test_the_example_leads_from_a_folder_to_an_accepted_payment(tmp_path: Path) -> None:
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    environment = os.environ | {"PATH": path, "PYTHONUTF8": "1"}
    story = [each for each in blocks(PAGE, "sh") if "pip install" not in each]
    (program,) = blocks(PAGE, "python")
    told: list[str] = []
    errors: list[str] = []
    for command in (
        ["bash", "-euo", "pipefail", "-c", "".join(story)],
        [sys.executable, "-c", program],
    ):
        done = subprocess.run(
            command,
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        errors.append(done.stderr)
        told.append(done.stdout)
    assert "amount-over-limit" in errors[0]
    assert "To be carried out, signed by li, wang" in told[0]
    assert "refused: challenge-mismatch" in told[1]


def test_the_settings_of_the_page_are_settings(tmp_path: Path) -> None:
    (text,) = blocks(PAGE, "toml")
    (tmp_path / "bank.toml").write_text(text)
    loaded = BankConfiguration.load(tmp_path)
    assert loaded.revocation is not None
    assert loaded.attestation is not None


def test_the_unit_of_the_page_starts_a_command_that_there_is() -> None:
    (text,) = blocks(PAGE, "ini")
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(text)
    program, *arguments = shlex.split(unit["Service"]["ExecStart"])
    assert Path(program).name == "ushield"
    helped = CliRunner().invoke(application, [*arguments, "--help"])
    assert helped.exit_code == 0
    assert "SIGTERM" in helped.stdout


@pytest.mark.parametrize(
    "reason",
    [
        each
        for each in RejectionReason
        if each.value.startswith(("challenge", "counter", "customer"))
    ],
)
def test_every_reason_of_the_store_s_own_is_told(reason: RejectionReason) -> None:
    section = PAGE.read_text().split("## Reasons\n", 1)[1].split("\n## ", 1)[0]
    assert re.search(rf"`{reason.value}`", section)
