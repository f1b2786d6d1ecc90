"""The page about a token's life tells every reason and state, and its story runs as it stands."""

from __future__ import annotations

import os
import subprocess
import sys
from enum import StrEnum
from pathlib import Path
from typing import get_args

import pytest

from tests.docs.quick_command import quick_ushield
from tests.docs.test_examples import REPOSITORY, blocks
from ushield.bank.lifecycle import (
    EnrolmentReason,
    EnrolmentState,
    Reminder,
    UnblockReason,
)

PAGE = REPOSITORY / "docs" / "lifecycle.md"


def test_the_story_leads_from_a_code_to_a_replacement(tmp_path: Path) -> None:
    quick, folder = tmp_path / "bin", tmp_path / "story"
    quick.mkdir()
    folder.mkdir()
    with quick_ushield(quick):
        path = os.pathsep.join((str(quick), os.environ["PATH"]))
        for command in (
            ["bash", "-euo", "pipefail", "-c", "".join(blocks(PAGE, "sh"))],
            [sys.executable, "-c", *blocks(PAGE, "python")],
        ):
            done = subprocess.run(
                command,
                cwd=folder,
                env=os.environ | {"PATH": path, "PYTHONUTF8": "1"},
                capture_output=True,
                text=True,
                stdin=subprocess.DEVNULL,
                check=False,
            )
            assert done.returncode == 0, done.stdout + done.stderr
    assert "registered" in done.stdout
    assert "[('V1', 'lost')]" in done.stdout


@pytest.mark.parametrize("names", [EnrolmentState, EnrolmentReason, UnblockReason])
def test_the_page_tells_every_one(names: type[StrEnum]) -> None:
    page = PAGE.read_text()
    for name in names:
        assert f"`{name.value}`" in page


def test_the_page_tells_every_reminder() -> None:
    page = PAGE.read_text()
    for kind in get_args(Reminder):
        assert f"`{kind.kind}`" in page
