"""A transaction that exists is one a person can read and mean."""

from __future__ import annotations

import dataclasses
import hashlib
from datetime import UTC, datetime, timedelta, timezone
from decimal import Context, Decimal, Inexact, localcontext
from typing import Any

import pytest

from tests.transaction.strategies import EXAMPLES, EXPIRES, PAYEE, PAYER, TRANSFER, yuan
from ushield.errors import TransactionInvalid
from ushield.transaction import (
    MAX_BATCH_ROWS,
    Batch,
    BatchRow,
    BatchTally,
    Currency,
    Money,
    Party,
    Transaction,
    batch_digest,
)

DECEIVING = {
    "control": "张\u0007三",
    "line feed": "张\n三",
    "delete": "张\u007f三",
    "bidi override": "张\u202e三",
    "bidi isolate": "张\u2066三",
    "right-to-left mark": "张\u200f三",
    "zero-width space": "张\u200b三",
    "zero-width joiner": "张\u200d三",
    "byte order mark": "张\ufeff三",
    "variation selector": "张\ufe0f三",
    "ideographic variation selector": "张\U000e0100三",
    "combining grapheme joiner": "张\u034f三",
    "Hangul filler": "张\u3164三",
    "half-width Hangul filler": "张\uffa0三",
    "blank Braille pattern": "张\u2800三",
    "soft hyphen": "张\u00ad三",
    "tag character": "张\U000e0041三",
    "surrogate": "张\ud842三",
    "private use": "张\ue000三",
    "unassigned": "张\u0378三",
    "line separator": "张\u2028三",
    "paragraph separator": "张\u2029三",
    "no-break space": "张\u00a0三",
    "space before": " 张三",
    "space after": "张三 ",
    "ideographic space after": "张三\u3000",
    "two spaces": "张  三",
    "two spaces in ASCII": "Zhang  San",
    "space before ASCII": " Zhang",
    "mixed spaces": "张 \u3000三",
    "decomposed": "Cafe\u0301",
    "compatibility ideograph": "\uf900",
    "empty": "",
    "bytes": b"Zhang",
    "none": None,
}


@pytest.mark.parametrize("text", DECEIVING.values(), ids=DECEIVING.keys())
def test_a_text_that_does_not_read_as_it_is_encoded_is_refused(text: Any) -> None:
    with pytest.raises(TransactionInvalid) as caught:
        Party(text, "6222")
    assert caught.value.field == "name"


@pytest.mark.parametrize(
    "text", ["张 三", "O'Neill & Søn", "\U00020bb7野家", "王\u3000五", "x" * 60]
)
def test_what_people_are_called_is_taken(text: str) -> None:
    assert Party(text, "6222").name == text


LIMITS = {
    "order": 64,
    "memo": 100,
    "merchant": 60,
    "goods": 100,
    "biller": 60,
    "bill": 64,
    "period": 60,
    "site": 100,
    "customer": 60,
}


@pytest.mark.parametrize("transaction", EXAMPLES, ids=lambda t: type(t).__name__)
def test_every_text_of_every_kind_has_its_limit(transaction: Transaction) -> None:
    for field in dataclasses.fields(transaction):
        limit = LIMITS.get(field.name)
        if limit is None:
            continue
        longest: dict[str, Any] = {field.name: "字" * limit}
        dataclasses.replace(transaction, **longest)
        with pytest.raises(TransactionInvalid) as caught:
            dataclasses.replace(transaction, **{field.name: longest[field.name] + "字"})
        assert caught.value.field == field.name


@pytest.mark.parametrize(
    "account", ["", "6222****1111", "6222 0202", "-1", "1-", "\uff11", "1" * 41, 6]
)
def test_an_account_is_whole_and_plain(account: Any) -> None:
    with pytest.raises(TransactionInvalid) as caught:
        Party("张三", account)
    assert caught.value.field == "account"


@pytest.mark.parametrize("challenge", ["", "a b", "é", "x" * 65, None, 7])
def test_a_challenge_is_an_id(challenge: Any) -> None:
    with pytest.raises(TransactionInvalid) as caught:
        dataclasses.replace(TRANSFER, challenge=challenge)
    assert caught.value.field == "challenge"


@pytest.mark.parametrize(
    "expires",
    [
        EXPIRES.replace(tzinfo=None),
        EXPIRES.astimezone(timezone(timedelta(hours=8))),
        datetime(2024, 12, 8, 11, 26, 7, 1, tzinfo=UTC),
        "2024-12-08T11:26:07Z",
    ],
)
def test_an_expiry_is_in_utc_and_whole_seconds(expires: Any) -> None:
    with pytest.raises(TransactionInvalid) as caught:
        dataclasses.replace(TRANSFER, expires=expires)
    assert caught.value.field == "expires"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"payer": PAYEE}, "payer.bank"),
        ({"payee": PAYER}, "payee.bank"),
        ({"payer": "李四"}, "payer"),
        ({"payee": None}, "payee"),
        ({"amount": 12}, "amount"),
    ],
)
def test_the_parties_and_the_amount_are_what_their_place_wants(
    change: dict[str, Any], field: str
) -> None:
    with pytest.raises(TransactionInvalid) as caught:
        dataclasses.replace(TRANSFER, **change)
    assert caught.value.field == field


ROWS = [BatchRow(PAYEE, yuan("1.10"), "工资"), BatchRow(PAYEE, yuan("2.20"))]


@pytest.mark.parametrize("precision", [1, 6, 12])
def test_a_batch_totals_its_rows_exactly_whatever_the_callers_context(precision: int) -> None:
    rows = [
        BatchRow(ROWS[0].payee, Money(Decimal(amount), Currency.CNY))
        for amount in ("12345678901.23", "0.02")
    ]
    with localcontext(Context(prec=precision, traps=[Inexact])):
        batch = Batch.of_rows(rows, payer=PAYER, challenge="c")
    assert batch.total.display == "12,345,678,901.25 CNY"


def test_a_batch_counts_and_sums_its_rows_and_binds_them() -> None:
    batch = Batch.of_rows(ROWS, payer=PAYER, challenge="c")
    assert (batch.count, batch.total, batch.digest) == (2, yuan("3.30"), batch_digest(ROWS))


def test_the_digest_of_a_batch_is_over_its_documented_bytes() -> None:
    texts = ["张三", "6222020200003333444", "中国工商银行北京分行", "2.20", "CNY", ""]
    encoded = b"".join(len(t.encode()).to_bytes(4, "big") + t.encode() for t in texts)
    hashed = b"ushield batch 1\0" + bytes((0, 0, 0, 6)) + encoded + bytes((0, 0, 0, 1))
    assert batch_digest(ROWS[1:]) == hashlib.sha256(hashed).digest()


def test_a_row_is_its_texts() -> None:
    for row in ROWS:
        assert BatchRow.from_texts(row.texts) == row


def test_more_rows_than_a_batch_may_have_are_refused() -> None:
    tally = BatchTally()
    tally.count = MAX_BATCH_ROWS
    with pytest.raises(TransactionInvalid) as caught:
        tally.add(ROWS[0])
    assert caught.value.field == "rows"


@pytest.mark.parametrize(
    "rows",
    [
        ROWS[::-1],
        ROWS[:1],
        [*ROWS, ROWS[0]],
        [ROWS[0], BatchRow(PAYEE, yuan("2.21"))],
        [ROWS[0], BatchRow(PAYEE, yuan("2.20"), "x")],
        [ROWS[0], BatchRow(dataclasses.replace(PAYEE, account="6"), yuan("2.20"))],
    ],
)
def test_any_other_rows_have_another_digest(rows: list[BatchRow]) -> None:
    assert batch_digest(rows) != batch_digest(ROWS)


def test_rows_that_cannot_be_summed_make_no_batch() -> None:
    mixed = [ROWS[0], BatchRow(PAYEE, Money(yuan("1").amount, Currency.USD))]
    for rows in ([], mixed):
        with pytest.raises(TransactionInvalid) as caught:
            Batch.of_rows(rows, payer=PAYER, challenge="c")
        assert caught.value.field == "rows"


def test_a_row_names_the_bank_of_its_payee() -> None:
    with pytest.raises(TransactionInvalid):
        BatchRow(PAYER, yuan("1"))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("count", 0),
        ("count", 100_001),
        ("count", True),
        ("count", 2.0),
        ("digest", b"short"),
        ("digest", "00" * 32),
        ("total", 1),
    ],
)
def test_a_batch_with_a_wrong_sum_field_is_refused(field: str, value: Any) -> None:
    batch = Batch.of_rows(ROWS, payer=PAYER, challenge="c")
    with pytest.raises(TransactionInvalid) as caught:
        dataclasses.replace(batch, **{field: value})
    assert caught.value.field == field
