"""The rows of a batch that is signed for a bank: compared with what the bank issued."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from ushield.cli.files import FileFailed
from ushield.cli.output import reason_of

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
    from ushield.bank.issued_rows import read_issued_rows

    try:
        stream = open(path, "rb")  # noqa: SIM115 - closed below; errors of its use are others
    except OSError as error:
        raise FileFailed(f"{path}: {reason_of(error)}") from error
    with stream, read_issued_rows(bank, challenge_id, stream) as verified:
        yield verified
