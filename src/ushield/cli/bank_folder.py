"""Which bank a command is about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ushield.cli.invocation import Command

if TYPE_CHECKING:
    from ushield.bank.configuration import BankConfiguration

__all__ = ["BankCommand", "load_bank"]


class BankCommand(Command):
    """A command on a bank's folder: takes ``--bank``, which reaches the function as ``bank``."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.params.append(
            click.Option(
                ["--bank"],
                metavar="DIR",
                default=".",
                envvar="USHIELD_BANK",
                show_default=True,
                show_envvar=True,
                help="The bank's folder.",
            )
        )


def load_bank(folder: str) -> BankConfiguration:
    """What the bank's folder says."""
    from ushield.bank.configuration import BankConfiguration

    return BankConfiguration.load(folder)
