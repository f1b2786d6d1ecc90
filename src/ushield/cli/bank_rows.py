"""The rows of a batch that is signed for a bank: compared with what the bank issued."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from ushield.cli.batches import opened_rows

if TYPE_CHECKING:
    from ushield.bank import Bank
    from ushield.bank.batch import VerifiedRows

__all__ = ["rows_for", "rows_option"]

rows_option = click.option(
    "--batch",
    "rows",
    metavar="ROWS",
    type=click.Path(exists=True, dir_okay=False),
    help="The rows of a batch, CSV or JSON lines: a policy wants to see them.",
)


@contextmanager
def rows_for(bank: Bank, challenge_id: str, path: str | None) -> Iterator[VerifiedRows | None]:
    """The rows in a file, if one is named; `BatchMismatch` if they are not what was issued."""
    if path is None:
        yield None
        return
    from ushield.bank.batch import verify_rows
    from ushield.bank.errors import ChallengeUnknown
    from ushield.transaction import Batch, parse_message

    encoded = bank.challenge(challenge_id).message
    if encoded is None:
        raise ChallengeUnknown("what was issued has been erased")
    message = parse_message(encoded)
    batch = message.transaction
    currency = batch.total.currency if isinstance(batch, Batch) else None
    with opened_rows(path, currency) as found, verify_rows(message, found) as verified:
        yield verified
