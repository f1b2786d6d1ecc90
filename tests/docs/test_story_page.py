"""The page with a bank's whole story runs as it stands."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.docs.quick_command import quick_ushield
from tests.docs.test_examples import REPOSITORY, blocks

PAGE = REPOSITORY / "docs" / "story.md"


@pytest.mark.timeout(300)
def test_the_story_runs_from_an_empty_folder_to_an_archive(tmp_path: Path) -> None:
    quick, folder = tmp_path / "bin", tmp_path / "story"
    quick.mkdir()
    folder.mkdir()
    script = "".join(block for block in blocks(PAGE, "sh") if not block.startswith("pip "))
    with quick_ushield(quick):
        path = os.pathsep.join((str(quick), os.environ["PATH"]))
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=folder,
            env=os.environ | {"PATH": path, "PYTHONUTF8": "1"},
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            check=False,
        )
    told = done.stdout + done.stderr
    assert done.returncode == 0, told
    for refusal in ("accepted before", "amount-over-limit", "approvals-missing", "reported lost"):
        assert refusal in told
    assert "The log holds" in told
    assert re.search(r"5 of 5 rows hold", told)
