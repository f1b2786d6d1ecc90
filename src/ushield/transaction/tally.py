"""Counting the rows of a batch as they come: how many, how much, and the digest that binds them.

The digest is SHA-256 over: ``ushield batch 1`` and a zero byte; for each row, in their order, its
texts by `ushield.transaction.digest.encode_texts`; the number of rows (four bytes, big-endian). The
number comes last, so that rows need not be counted, nor kept, before they are hashed.
"""

from __future__ import annotations

import hashlib
from decimal import Context, Decimal, Inexact
from struct import pack
from typing import TYPE_CHECKING

from ushield.errors import TransactionInvalid
from ushield.transaction.digest import encode_texts
from ushield.transaction.money import Currency, Money

if TYPE_CHECKING:
    from ushield.transaction.model import BatchRow

__all__ = ["MAX_BATCH_ROWS", "BatchTally"]

MAX_BATCH_ROWS = 100_000
# The caller's context may round sums to fewer digits than these have.
_EXACT = Context(prec=28, traps=[Inexact])


class BatchTally:
    """Count, total, largest amount and digest of the rows added so far; it keeps none of them."""

    __slots__ = ("_currency", "_hash", "_largest", "_total", "count")

    def __init__(self) -> None:
        self.count = 0
        self._currency: Currency | None = None
        self._total = self._largest = Decimal(0)
        self._hash = hashlib.sha256(b"ushield batch 1\0")

    def add(self, row: BatchRow) -> bytes:
        """Count one more row; what was hashed for it.

        `TransactionInvalid` if it is in another currency than those before, or one row too many.
        """
        amount = row.amount
        if self._currency is None:
            self._currency = amount.currency
        elif amount.currency is not self._currency:
            raise TransactionInvalid(
                f"rows: {amount.currency} after {self._currency}; a batch has one currency",
                field="rows",
            )
        if self.count == MAX_BATCH_ROWS:
            raise TransactionInvalid(f"rows: more than {MAX_BATCH_ROWS}", field="rows")
        self.count += 1
        self._total = _EXACT.add(self._total, amount.amount)
        self._largest = max(self._largest, amount.amount)
        encoded = encode_texts(row.texts)
        self._hash.update(encoded)
        return encoded

    @property
    def total(self) -> Money:
        """The sum of all rows; `TransactionInvalid` if there are none, or it is too large."""
        return self._money(self._total)

    @property
    def largest(self) -> Money:
        """The largest amount of a row; `TransactionInvalid` if there are none."""
        return self._money(self._largest)

    @property
    def digest(self) -> bytes:
        """The digest of the rows added so far (32 bytes)."""
        whole = self._hash.copy()
        whole.update(pack(">I", self.count))
        return whole.digest()

    def _money(self, amount: Decimal) -> Money:
        if self._currency is None:
            raise TransactionInvalid("rows: there are none", field="rows")
        return Money(amount, self._currency)
