"""``ushield batch``: files of rows, before they are signed."""

from __future__ import annotations

import click

from ushield.cli.batches import summarise_rows
from ushield.cli.invocation import Command, Invocation, pass_invocation

__all__ = ["command"]


@click.group()
def command() -> None:
    """Files of rows for a batch of payments.

    Example: ushield batch show rows.csv --currency CNY
    """


@command.command(cls=Command)
@click.argument("rows", type=click.Path(exists=True, dir_okay=False))
@click.option("--currency", metavar="CODE", help="The currency of rows that name none.")
@pass_invocation
def show(invocation: Invocation, *, rows: str, currency: str | None) -> None:
    """Check the rows in ROWS (CSV or JSON lines), and tell their count, total and digest.

    Run it on another computer than the one that signs: what it tells is what the token must show.

    Example: ushield batch show rows.csv --currency CNY
    """
    summary = summarise_rows(rows, currency)
    tally = summary.tally
    facts = {
        "file": rows,
        "count": tally.count,
        "total": tally.total.text,
        "currency": tally.total.currency.value,
        "digest": tally.digest.hex(),
        "largest": tally.largest.text,
    }
    invocation.output.result(facts, summary.text)
