"""Files of rows on the command line: what is in them, told before it is signed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ushield.cli.files import FileFailed
from ushield.cli.output import reason_of
from ushield.cli.presentation import table

if TYPE_CHECKING:
    from ushield.transaction import BatchRow, BatchTally, Message

__all__ = [
    "CheckedRows",
    "RowsSummary",
    "check_rows",
    "currency_of",
    "opened_rows",
    "summarise_rows",
]


@dataclass(frozen=True, slots=True)
class RowsSummary:
    """What a file of rows holds, for the signature and for people."""

    tally: BatchTally
    text: str


@dataclass(frozen=True, slots=True)
class CheckedRows:
    """What came of comparing rows with what was signed, if there were any."""

    facts: dict[str, Any] = field(default_factory=dict)
    text: str = ""


def currency_of(source: bytes) -> str | None:
    """The currency that a transaction in JSON names; whatever else is in it is looked at later."""
    try:
        found = json.loads(source)
    except (ValueError, RecursionError):
        return None
    currency = found.get("currency") if isinstance(found, dict) else None
    return currency if isinstance(currency, str) else None


def summarise_rows(path: str, currency: str | None) -> RowsSummary:
    """Read all rows of a file; `RowsInvalid`, `FileFailed`, `TransactionInvalid` if they make no
    batch.
    """
    from ushield.transaction import BatchTally
    from ushield.transaction.forms import DIGEST

    tally = BatchTally()
    seen: dict[bytes, int] = {}
    again: list[tuple[int, int]] = []
    largest: BatchRow | None = None
    with opened_rows(path, currency) as rows:
        for row in rows:
            encoded = tally.add(row)
            first = seen.setdefault(_short(encoded), tally.count)
            if first != tally.count:
                again.append((first, tally.count))
            if largest is None or row.amount.amount > largest.amount.amount:
                largest = row
    told = [
        ("rows", f"{tally.count:,}"),
        ("total", tally.total.display),
        ("digest", DIGEST.write(tally.digest)),
    ]
    if largest is not None:
        payee = largest.payee
        told.append(("largest", f"{largest.amount.display} to {payee.name}, {payee.account}"))
    if again:
        one, other = again[0]
        told.append(("alike", f"{len(again):,} rows repeat another, such as {other} repeats {one}"))
    return RowsSummary(tally, f"{path} holds:\n{table(told)}\nCompare with the token's screen.")


def check_rows(message: Message, path: str | None) -> CheckedRows:
    """Compare the rows of a file, if one is given, with what was signed; `BatchMismatch`."""
    from ushield.transaction import Batch

    batch = message.transaction
    if path is None:
        unchecked = "\nIts rows were not looked at: give them with --batch ROWS."
        return CheckedRows(text=unchecked if isinstance(batch, Batch) else "")
    from ushield.bank.batch import verify_rows

    currency = batch.total.currency if isinstance(batch, Batch) else None
    with opened_rows(path, currency) as rows, verify_rows(message, rows) as verified:
        facts = {"file": path, "count": len(verified), "largest": verified.largest.text}
    return CheckedRows({"rows": facts}, f"\nThe rows of {path} are those that were signed.")


@contextmanager
def opened_rows(path: str, currency: str | None) -> Iterator[Iterator[BatchRow]]:
    """The rows of a file, one at a time; `FileFailed`."""
    from ushield.transaction.row_files import read_rows

    try:
        with open(path, "rb") as stream:
            yield read_rows(stream, currency=currency)
    except OSError as error:
        raise FileFailed(f"{path}: {reason_of(error)}") from error


def _short(encoded: bytes) -> bytes:
    import hashlib

    return hashlib.blake2b(encoded, digest_size=16).digest()
