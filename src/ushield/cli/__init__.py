"""The command ``ushield``: its frame here, one module for each command in `ushield.cli.commands`.

Nothing heavy is imported before a command needs it, so that ``--version`` and ``--help`` are quick.
"""

from __future__ import annotations

from typing import NoReturn

__all__ = ["main"]


def main() -> NoReturn:
    """What the script ``ushield`` runs: its arguments from ``sys.argv``, ends with an exit code."""
    from ushield.cli.application import application

    application.main(prog_name="ushield")
