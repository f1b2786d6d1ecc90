"""``ushield bank``: the bank's side."""

from __future__ import annotations

import click

from ushield.cli.commands import bank_policy_command

__all__ = ["command"]


@click.group()
def command() -> None:
    """The bank's side: what it allows.

    Example: ushield bank policy check policy.toml
    """


command.add_command(bank_policy_command.command, "policy")
