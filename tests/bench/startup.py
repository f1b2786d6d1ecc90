"""What starting costs, whole processes: beside bare Python, and beside ykman where it is there."""

from __future__ import annotations

import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

from tests.bench.measure import in_turn, line


def run() -> None:
    """Measure and print."""
    folder = Path(sys.executable).parent
    commands = {
        "bare": [sys.executable, "-c", "pass"],
        "import": [sys.executable, "-c", "import ushield"],
        "version": [str(folder / "ushield"), "--version"],
    }
    ykman = shutil.which("ykman") or shutil.which("ykman", path=str(folder))
    if ykman:
        commands["ykman"] = [ykman, "--version"]
    seconds = in_turn(
        {
            name: partial(subprocess.run, command, check=True, capture_output=True)
            for name, command in commands.items()
        },
        rounds=5,
        runs=5,
    )
    line("python -c pass (reference)", seconds["bare"])
    above = (seconds["import"] - seconds["bare"]) * 1e3
    line("python -c 'import ushield'", seconds["import"], f"{above:.1f} ms above (at most 40)")
    if ykman:
        line("ykman --version (reference)", seconds["ykman"])
        share = f"{seconds['version'] / seconds['ykman']:.2f} of ykman's (at most 0.5)"
    else:
        share = "no ykman here: pip install yubikey-manager"
    line("ushield --version", seconds["version"], share)
