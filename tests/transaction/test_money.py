"""Amounts are decimals with their currency's digits, or they are refused."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given

from tests.transaction.strategies import money
from ushield.errors import TransactionInvalid
from ushield.transaction import Currency, Money


@given(money())
def test_every_amount_reads_back_from_both_its_texts(amount: Money) -> None:
    assert Money.parse(amount.text, amount.currency) == amount
    assert Money.parse_display(amount.display) == amount


@pytest.mark.parametrize(
    ("amount", "currency", "text", "display"),
    [
        ("1234.5", Currency.CNY, "1234.50", "1,234.50 CNY"),
        ("1000000", Currency.JPY, "1000000", "1,000,000 JPY"),
        ("0.001", Currency.KWD, "0.001", "0.001 KWD"),
        ("999999999999999.99", Currency.USD, "999999999999999.99", "999,999,999,999,999.99 USD"),
    ],
)
def test_an_amount_is_written_with_all_digits_of_its_currency(
    amount: str, currency: Currency, text: str, display: str
) -> None:
    money = Money(Decimal(amount), currency)
    assert (money.text, money.display) == (text, display)


@pytest.mark.parametrize(
    "amount",
    [
        1.5,
        1,
        "1.50",
        True,
        None,
        Decimal("NaN"),
        Decimal("sNaN"),
        Decimal("Infinity"),
        Decimal("-Infinity"),
        Decimal("0"),
        Decimal("-0.00"),
        Decimal("-1"),
        Decimal("1E+3"),
        Decimal("1E-3"),
        Decimal("1.234"),
        Decimal("1.000"),
        Decimal("1000000000000000"),
    ],
)
def test_what_is_no_plain_positive_amount_is_refused(amount: Any) -> None:
    with pytest.raises(TransactionInvalid) as caught:
        Money(amount, Currency.CNY)
    assert caught.value.field == "amount"


def test_a_currency_without_minor_unit_has_no_digits_after_the_point() -> None:
    with pytest.raises(TransactionInvalid):
        Money(Decimal("1.0"), Currency.JPY)


@pytest.mark.parametrize("currency", ["cny", "XXX", "", 156, None, []])
def test_an_unknown_currency_is_refused_by_its_field(currency: Any) -> None:
    with pytest.raises(TransactionInvalid) as parsed:
        Money.parse("1", currency)
    with pytest.raises(TransactionInvalid) as made:
        Money(Decimal(1), currency)
    assert parsed.value.field == made.value.field == "currency"


@pytest.mark.parametrize(
    "text",
    [
        *("", "01", "+1", "-1", " 1", "1 ", "1.", ".5", "1e3", "1,000", "1_0"),
        *("\u0661", "\uff11", "NaN", 1, 1.5, "9" * 5000),
    ],
)
def test_only_a_plain_decimal_text_is_an_amount(text: Any) -> None:
    with pytest.raises(TransactionInvalid) as caught:
        Money.parse(text, "CNY")
    assert caught.value.field == "amount"


@pytest.mark.parametrize("text", ["1234.50 CNY", "1,234.5 CNY", "12,34.50 CNY", "1,234.50CNY"])
def test_a_displayed_amount_has_one_form(text: str) -> None:
    with pytest.raises(TransactionInvalid):
        Money.parse_display(text)
