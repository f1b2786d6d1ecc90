"""pcscd as a process beside this one: whether it runs, and what to do where it holds a token."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from ushield.transport.holder import PROCFS
from ushield.transport.pcsc.errors import INSTALL

__all__ = ["PROGRAM", "remedy_for_holding", "service_runs"]

PROGRAM: Final = "pcscd"
"""The service's name as a process."""


def service_runs(proc: Path = PROCFS) -> bool:
    """Whether a process of that name runs. The service itself is not asked: that may start it.

    Where procfs cannot tell, it is taken to run.
    """
    try:
        names = [name for name in os.listdir(proc) if name.isascii() and name.isdigit()]
    except OSError:
        return True
    return any(_command(proc / name) == PROGRAM for name in names)


def remedy_for_holding() -> str:
    """What a person does about a token that pcscd holds."""
    through = "name it as pcsc:READER (`ushield list`)"
    if find_spec("smartcard") is None:
        through = f"{INSTALL}, then {through}"
    return (
        f"Use the token through pcscd: {through};"
        " or stop pcscd: systemctl stop pcscd.socket pcscd.service."
    )


def _command(folder: Path) -> str:
    try:
        return (folder / "comm").read_text("utf-8", "replace").strip()
    except OSError:
        return ""
