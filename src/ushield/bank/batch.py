"""The rows of a batch: whether they are those whose count, total and digest were signed."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from enum import StrEnum
from struct import unpack
from types import TracebackType
from typing import BinaryIO, ClassVar, Self, cast

from ushield.bank.policy.facts import BatchFacts
from ushield.bank.rejection import RejectionReason, TransactionRejected
from ushield.errors import InputInvalid, TransactionInvalid, UShieldError
from ushield.transaction.message import Message
from ushield.transaction.model import Batch, BatchRow
from ushield.transaction.tally import BatchTally

__all__ = ["BatchMismatch", "BatchRule", "RowsNotKept", "VerifiedRows", "verify_rows"]

_IN_MEMORY = 1 << 20


class BatchRule(StrEnum):
    """In what rows can differ from those that were signed."""

    COUNT = "batch-count"
    CURRENCY = "batch-currency"
    TOTAL = "batch-total"
    DIGEST = "batch-digest"


class BatchMismatch(TransactionRejected):
    """The rows are not those that were signed; ``rule`` says in what. None may be carried out."""

    code = "batch-mismatch"
    carries: ClassVar[tuple[str, ...]] = ("reason", "rule")

    def __init__(self, message: str, *, rule: BatchRule) -> None:
        super().__init__(f"{rule}: {message}", reason=RejectionReason.BATCH_MISMATCH)
        self.rule = rule


class RowsNotKept(UShieldError):
    """There is no room to keep the rows while they are verified; nothing was carried out."""

    code = "rows-not-kept"
    default_remedy = "Make room in the directory for temporary files, then verify again."


class VerifiedRows:
    """The rows that were signed, in their order. Only `verify_rows` makes them.

    They are read from a copy that was kept while they were verified, so they cannot differ from
    what was. Each `iter` begins anew. Close it, or use it in a ``with`` block.
    """

    def __init__(self, batch: Batch, tally: BatchTally, copy: BinaryIO) -> None:
        self.batch = batch
        self.largest = tally.largest
        self._copy = copy

    @property
    def facts(self) -> BatchFacts:
        """What a policy wants to know of them."""
        return BatchFacts(self.largest.amount)

    def __len__(self) -> int:
        return self.batch.count

    def __iter__(self) -> Iterator[BatchRow]:
        at = 0
        for _ in range(len(self)):
            # Another iteration may have moved on in the same file.
            self._copy.seek(at)
            texts = _read_texts(self._copy)
            at = self._copy.tell()
            yield BatchRow.from_texts(texts)

    def close(self) -> None:
        """Let go of the copy."""
        self._copy.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def verify_rows(message: Message, rows: Iterable[BatchRow]) -> VerifiedRows:
    """Take ``rows`` if they are those that ``message``, which was signed, stands for.

    They may come from a generator, such as `ushield.transaction.row_files.read_rows`: one is in
    memory at a time, and a copy of all goes to a temporary file. `BatchMismatch` says in what they
    differ: rows added or removed, another currency, another total, a row changed or moved. Reading
    ends at the first row too many. `InputInvalid` if no batch was signed, `RowsNotKept` if the disk
    is full. What ``rows`` raises comes through.
    """
    batch = message.transaction
    if not isinstance(batch, Batch):
        raise InputInvalid(
            "what was signed is no batch of rows", remedy="Give no rows with this signature."
        )
    tally = BatchTally()
    # Closed by whoever gets it.
    copy = cast(BinaryIO, tempfile.SpooledTemporaryFile(_IN_MEMORY))  # noqa: SIM115
    try:
        for row in rows:
            _write(copy, _count(tally, batch, row))
        _compare(tally, batch)
        return VerifiedRows(batch, tally, copy)
    except BaseException:
        copy.close()
        raise


def _count(tally: BatchTally, batch: Batch, row: BatchRow) -> bytes:
    if tally.count == batch.count:
        raise BatchMismatch(
            f"more rows than the {batch.count} that were signed", rule=BatchRule.COUNT
        )
    if row.amount.currency is not batch.total.currency:
        raise BatchMismatch(
            f"row {tally.count + 1} is in {row.amount.currency}, {batch.total.currency} was signed",
            rule=BatchRule.CURRENCY,
        )
    return tally.add(row)


def _compare(tally: BatchTally, batch: Batch) -> None:
    if tally.count != batch.count:
        raise BatchMismatch(f"{tally.count} rows, {batch.count} were signed", rule=BatchRule.COUNT)
    try:
        total = tally.total
    except TransactionInvalid as error:
        raise BatchMismatch(
            f"their total is none that could be signed ({error})", rule=BatchRule.TOTAL
        ) from error
    if total != batch.total:
        raise BatchMismatch(
            f"the total is {total.display}, {batch.total.display} was signed", rule=BatchRule.TOTAL
        )
    if tally.digest != batch.digest:
        raise BatchMismatch(
            "a row was changed, or the rows are in another order", rule=BatchRule.DIGEST
        )


def _write(copy: BinaryIO, data: bytes) -> None:
    try:
        copy.write(data)
    except OSError as error:
        raise RowsNotKept(f"the rows cannot be kept: {error.strerror}") from error


def _read_texts(copy: BinaryIO) -> list[str]:
    return [copy.read(_read_number(copy)).decode() for _ in range(_read_number(copy))]


def _read_number(copy: BinaryIO) -> int:
    (number,) = unpack(">I", copy.read(4))
    return int(number)
