"""The file of a batch's rows, compared with what the bank issued."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

from ushield.bank.batch import VerifiedRows, verify_rows
from ushield.bank.errors import ChallengeUnknown
from ushield.transaction.message import parse_message
from ushield.transaction.model import Batch
from ushield.transaction.row_files import read_rows

if TYPE_CHECKING:
    from ushield.bank.facade import Bank

__all__ = ["read_issued_rows"]


def read_issued_rows(bank: Bank, challenge_id: str, stream: BinaryIO) -> VerifiedRows:
    """The rows in a file (CSV or JSON lines), if they are those of the batch that was issued.

    `ChallengeUnknown`, also where the message was erased; `RowsInvalid`, and what `verify_rows`
    raises. Close what returns.
    """
    encoded = bank.challenge(challenge_id).message
    if encoded is None:
        raise ChallengeUnknown("what was issued has been erased")
    message = parse_message(encoded)
    batch = message.transaction
    currency = batch.total.currency if isinstance(batch, Batch) else None
    return verify_rows(message, read_rows(stream, currency=currency))
