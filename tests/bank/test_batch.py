"""Rows are those that were signed, to the last character and in their order, or none counts."""

from __future__ import annotations

import tempfile
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.transaction.strategies import BATCH_ROWS, EXAMPLES, PAYEE, PAYER, TRANSFER, yuan
from ushield.bank import RejectionReason, TransactionRejected
from ushield.bank.batch import BatchMismatch, BatchRule, RowsNotKept, verify_rows
from ushield.cli.exit_codes import ExitCode, exit_code
from ushield.errors import InputInvalid
from ushield.transaction import (
    Batch,
    BatchRow,
    Currency,
    Message,
    Money,
    parse_message,
    write_message,
)

ROWS = [
    BatchRow(replace(PAYEE, account=f"62220202{number}"), yuan(f"{number}.50"), memo)
    for number, memo in ((1, None), (2, "工资"), (3, "工资"), (2, None))
]


def signed(rows: list[BatchRow]) -> Message:
    batch = Batch.of_rows(rows, payer=PAYER, challenge="c4")
    return parse_message(write_message(batch))


MESSAGE = signed(ROWS)


def mismatch(rows: list[BatchRow], message: Message = MESSAGE) -> BatchRule:
    with pytest.raises(BatchMismatch) as caught:
        verify_rows(message, iter(rows))
    error = caught.value
    assert isinstance(error, TransactionRejected)
    assert error.facts == {"reason": RejectionReason.BATCH_MISMATCH, "rule": error.rule}
    assert exit_code(error) is ExitCode.NOT_VALID
    return error.rule


def test_the_rows_that_were_signed_come_back_in_their_order_as_often_as_asked() -> None:
    with verify_rows(MESSAGE, iter(ROWS)) as rows:
        assert list(rows) == list(rows) == ROWS
        assert len(rows) == 4
        assert rows.largest == yuan("3.50")
        assert rows.facts.largest == rows.largest.amount
        assert [one == other for one, other in zip(rows, rows, strict=True)] == [True] * 4
    with pytest.raises(ValueError, match="closed"):
        list(rows)


ODD = BatchRow(PAYEE, yuan("0.01"))


@pytest.mark.parametrize(
    ("rows", "rule"),
    [
        ([], BatchRule.COUNT),
        (ROWS[:-1], BatchRule.COUNT),
        (ROWS[1:], BatchRule.COUNT),
        ([*ROWS, ODD], BatchRule.COUNT),
        ([ODD, *ROWS], BatchRule.COUNT),
        ([*ROWS, ROWS[0]], BatchRule.COUNT),
        ([*ROWS[:3], replace(ROWS[3], amount=yuan("2.51"))], BatchRule.TOTAL),
        ([*ROWS[:3], replace(ROWS[3], amount=yuan("0.01"))], BatchRule.TOTAL),
        ([*ROWS[:3], replace(ROWS[3], amount=Money(yuan("2").amount, Currency.USD))],
         BatchRule.CURRENCY),
        ([*ROWS[:3], replace(ROWS[3], memo="工资")], BatchRule.DIGEST),
        ([*ROWS[:3], replace(ROWS[3], payee=replace(PAYEE, account="6222"))], BatchRule.DIGEST),
        ([*ROWS[:3], replace(ROWS[3], payee=replace(ROWS[3].payee, name="张四"))],
         BatchRule.DIGEST),
        ([*ROWS[:3], replace(ROWS[3], payee=replace(ROWS[3].payee, bank="工商银行"))],
         BatchRule.DIGEST),
        ([ROWS[1], ROWS[0], *ROWS[2:]], BatchRule.DIGEST),
        ([replace(ROWS[0], amount=yuan("2.50")), replace(ROWS[1], amount=yuan("1.50")), *ROWS[2:]],
         BatchRule.DIGEST),
    ],
)  # fmt: skip
def test_other_rows_are_refused_by_what_differs(rows: list[BatchRow], rule: BatchRule) -> None:
    assert mismatch(rows) is rule


def test_sums_that_no_batch_has_are_refused_by_the_total() -> None:
    most = yuan("999999999999999.99")
    assert mismatch([*ROWS[:3], replace(ROWS[3], amount=most)]) is BatchRule.TOTAL


some_rows = st.lists(st.sampled_from((*ROWS, ODD, *BATCH_ROWS)), min_size=1, max_size=6)


@given(some_rows, some_rows)
def test_no_other_rows_stand_for_a_batch(one: list[BatchRow], other: list[BatchRow]) -> None:
    assume(one != other)
    mismatch(other, signed(one))
    with verify_rows(signed(one), one) as rows:
        assert list(rows) == one


def test_reading_ends_at_the_first_row_too_many() -> None:
    taken = 0

    def endless() -> Iterator[BatchRow]:
        nonlocal taken
        while True:
            taken += 1
            yield ODD

    with pytest.raises(BatchMismatch):
        verify_rows(MESSAGE, endless())
    assert taken == len(ROWS) + 1


def test_what_is_no_batch_has_no_rows() -> None:
    for transaction in (TRANSFER, *EXAMPLES[1:4]):
        with pytest.raises(InputInvalid):
            verify_rows(parse_message(write_message(transaction)), [])


def test_what_the_source_of_rows_raises_comes_through() -> None:
    def broken() -> Iterator[BatchRow]:
        yield ROWS[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        verify_rows(MESSAGE, broken())


def test_a_full_disk_is_told_and_no_row_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(tempfile.SpooledTemporaryFile[bytes]):
        def write(self, data: Any) -> int:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "SpooledTemporaryFile", Full)
    with pytest.raises(RowsNotKept, match="No space left"):
        verify_rows(MESSAGE, ROWS)


def test_ten_thousand_rows_are_verified_in_little_memory() -> None:
    count = 10_000

    def many() -> Iterator[BatchRow]:
        for number in range(count):
            yield replace(ROWS[0], memo=f"No. {number}")

    batch = Batch.of_rows(many(), payer=PAYER, challenge="c")
    message = parse_message(write_message(batch))
    tracemalloc.start()
    try:
        with verify_rows(message, many()) as rows:
            assert sum(1 for _ in rows) == count
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 << 20
