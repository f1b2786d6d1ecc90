"""Rows of batches in files: CSV or JSON lines, read one at a time.

CSV in UTF-8 (RFC 4180), as spreadsheets write it, with a first line that names the columns; JSON
lines, an object a line. The first character tells which it is. A row is checked when it is read, so
what is wrong is told with its line; no more than one row is in memory.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from typing import BinaryIO, ClassVar

from ushield.errors import InputInvalid, TransactionInvalid
from ushield.transaction.json_members import Members, load_json
from ushield.transaction.model import BatchRow
from ushield.transaction.tally import MAX_BATCH_ROWS

__all__ = ["COLUMNS", "MAX_LINE", "RowsInvalid", "read_rows"]

MAX_LINE = 8192
"""Longest line of a file of rows, in bytes; every row that may be fits."""

_BOM = b"\xef\xbb\xbf"
COLUMNS: Mapping[str, str] = {
    "payee": "payee", "收款人": "payee",
    "account": "account", "收款账号": "account",
    "bank": "bank", "收款行": "bank",
    "amount": "amount", "金额": "amount",
    "currency": "currency", "币种": "currency",
    "memo": "memo", "附言": "memo",
}  # fmt: skip
"""What a column may be called in CSV, and what it holds."""

_REQUIRED = ("payee", "account", "bank", "amount")


class RowsInvalid(InputInvalid):
    """A file of rows that cannot be read; ``line`` says where (from 1), ``field`` what is wrong."""

    code = "rows-invalid"
    default_remedy = "Correct the file; docs tell its columns."
    carries: ClassVar[tuple[str, ...]] = ("line", "field")

    def __init__(
        self, message: str, *, line: int, field: str | None = None, remedy: str | None = None
    ) -> None:
        super().__init__(f"line {line}: {message}", remedy=remedy)
        self.line = line
        self.field = field


def read_rows(stream: BinaryIO, *, currency: str | None = None) -> Iterator[BatchRow]:
    """The rows of a file, as they are read; ``currency`` is that of rows that name none.

    `RowsInvalid` names the line of what is no row, and of a row too many.
    """
    lines = _Lines(stream)
    first = lines.peek()
    rows = _read_json(lines, currency) if first.startswith("{") else _read_csv(lines, currency)
    for number, row in enumerate(rows, 1):
        if number > MAX_BATCH_ROWS:
            raise RowsInvalid(f"more than {MAX_BATCH_ROWS} rows", line=lines.number)
        yield row


class _Lines:
    """The lines of a file as texts, none longer than `MAX_LINE`, with the number of the last."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._ahead: str | None = None
        self.number = 0

    def peek(self) -> str:
        if self._ahead is None:
            self._ahead = next(self)
        return self._ahead

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if self._ahead is not None:
            line, self._ahead = self._ahead, None
            return line
        data = self._stream.readline(MAX_LINE + 1)
        if not data:
            if self.number == 0:
                raise RowsInvalid("the file is empty", line=1)
            raise StopIteration
        self.number += 1
        if len(data) > MAX_LINE:
            raise RowsInvalid(f"longer than {MAX_LINE} bytes", line=self.number)
        if self.number == 1:
            data = data.removeprefix(_BOM)
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            raise RowsInvalid(
                f"byte {error.start} is not UTF-8",
                line=self.number,
                remedy="Save the file as UTF-8; spreadsheets call that CSV UTF-8.",
            ) from error


def _read_json(lines: _Lines, currency: str | None) -> Iterator[BatchRow]:
    for line in lines:
        if line.isspace():
            continue
        try:
            yield BatchRow.from_texts(_read_object(line, currency))
        except TransactionInvalid as error:
            raise RowsInvalid(str(error), line=lines.number, field=error.field) from error


def _read_object(line: str, currency: str | None) -> list[str]:
    members = Members(load_json(line), "")
    payee = Members(members.take("payee"), "payee.")
    texts = [payee.take(name) for name in ("name", "account", "bank")]
    payee.finish()
    stated = members.has("currency") or currency is None
    memo = members.take("memo") if members.has("memo") else ""
    if not isinstance(memo, str):
        raise TransactionInvalid("memo: a text is due", field="memo")
    texts += (members.take("amount"), members.take("currency") if stated else currency, memo)
    members.finish()
    return texts


def _read_csv(lines: _Lines, currency: str | None) -> Iterator[BatchRow]:
    reader = csv.reader(lines, strict=True)
    try:
        columns = _read_header(next(reader), currency)
        for cells in reader:
            if not cells:
                continue
            if len(cells) != len(columns):
                raise RowsInvalid(
                    f"{len(cells)} cells, the first line names {len(columns)}", line=lines.number
                )
            row = dict(zip(columns, cells, strict=True))
            texts = [row[name] for name in _REQUIRED]
            texts += (row.get("currency") or currency or "", row.get("memo", ""))
            yield BatchRow.from_texts(texts)
    except csv.Error as error:
        raise RowsInvalid(f"not CSV: {error}", line=lines.number) from error
    except TransactionInvalid as error:
        raise RowsInvalid(str(error), line=lines.number, field=error.field) from error


def _read_header(names: list[str], currency: str | None) -> list[str]:
    columns: list[str] = []
    for name in names:
        column = COLUMNS.get(name)
        if column is None:
            raise RowsInvalid(
                f"no column is called {name!r}", line=1, remedy=f"Columns: {', '.join(COLUMNS)}."
            )
        if column in columns:
            raise RowsInvalid(f"two columns say {column}", line=1, field=column)
        columns.append(column)
    required = (*_REQUIRED, *(() if currency else ("currency",)))
    for column in required:
        if column not in columns:
            raise RowsInvalid(f"no column says {column}", line=1, field=column)
    return columns
