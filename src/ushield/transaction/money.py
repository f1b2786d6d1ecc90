"""Amounts of money: decimal, positive, with no more digits than their currency has."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from ushield.errors import TransactionInvalid

__all__ = ["MAX_INTEGER_DIGITS", "PLAIN_MONEY", "Currency", "Money"]

MAX_INTEGER_DIGITS = 15
_LIMIT = Decimal(10**MAX_INTEGER_DIGITS)
_PLAIN = re.compile(r"(?:0|[1-9][0-9]*)(?:\.[0-9]+)?")


class Currency(StrEnum):
    """Currencies by their alphabetic codes of ISO 4217."""

    AED = "AED"
    AUD = "AUD"
    BHD = "BHD"
    BRL = "BRL"
    CAD = "CAD"
    CHF = "CHF"
    CLP = "CLP"
    CNY = "CNY"
    CZK = "CZK"
    DKK = "DKK"
    EUR = "EUR"
    GBP = "GBP"
    HKD = "HKD"
    HUF = "HUF"
    IDR = "IDR"
    ILS = "ILS"
    INR = "INR"
    ISK = "ISK"
    JOD = "JOD"
    JPY = "JPY"
    KRW = "KRW"
    KWD = "KWD"
    KZT = "KZT"
    MOP = "MOP"
    MXN = "MXN"
    MYR = "MYR"
    NOK = "NOK"
    NZD = "NZD"
    OMR = "OMR"
    PHP = "PHP"
    PKR = "PKR"
    PLN = "PLN"
    QAR = "QAR"
    RUB = "RUB"
    SAR = "SAR"
    SEK = "SEK"
    SGD = "SGD"
    THB = "THB"
    TND = "TND"
    TRY = "TRY"
    TWD = "TWD"
    USD = "USD"
    VND = "VND"
    ZAR = "ZAR"

    @property
    def digits(self) -> int:
        """Decimal digits after the point: the minor unit of ISO 4217, table A.1."""
        return _DIGITS.get(self, 2)


_BY_CODE = {each.value: each for each in Currency}
_DIGITS = {
    Currency.CLP: 0,
    Currency.ISK: 0,
    Currency.JPY: 0,
    Currency.KRW: 0,
    Currency.VND: 0,
    Currency.BHD: 3,
    Currency.JOD: 3,
    Currency.KWD: 3,
    Currency.OMR: 3,
    Currency.TND: 3,
}


def _plain() -> str:
    by_digits: dict[int, list[str]] = {}
    for currency in Currency:
        by_digits.setdefault(currency.digits, []).append(currency.value)
    after_point = (
        f"{f'[.][0-9]{{{digits}}}' if digits else ''} (?:{'|'.join(codes)})"
        for digits, codes in by_digits.items()
    )
    return f"[1-9][0-9]{{0,2}}+(?:,[0-9]{{3}}){{0,4}}+(?:{'|'.join(after_point)})"


PLAIN_MONEY = _plain()
"""A regular expression for what `Money.display` gives of amounts that are not below one."""


@dataclass(frozen=True, slots=True)
class Money:
    """A positive amount below 10**15 in a currency.

    `TransactionInvalid` for a float, for what is not finite, not above zero, written with an
    exponent, or has more digits after the point than the currency.
    """

    amount: Decimal
    currency: Currency

    def __post_init__(self) -> None:
        amount, currency = self.amount, self.currency
        if not isinstance(currency, Currency):
            raise TransactionInvalid(f"currency: {currency!r} is not known", field="currency")
        if not isinstance(amount, Decimal):
            raise _refused(f"a decimal is due, not {type(amount).__name__}")
        exponent = amount.as_tuple().exponent
        if not isinstance(exponent, int):
            raise _refused(f"{amount} is not a number")
        if amount <= 0:
            raise _refused("must be above zero")
        if exponent > 0:
            raise _refused("written with an exponent")
        if -exponent > currency.digits:
            raise _refused(f"{currency} has {currency.digits} digits after the point")
        if amount >= _LIMIT:
            raise _refused(f"more than {MAX_INTEGER_DIGITS} digits before the point")

    @classmethod
    def parse(cls, text: str, currency: str) -> Money:
        """Read a plain decimal such as ``1234.56``, and the code of a currency."""
        if not isinstance(text, str):
            raise _refused(f'a text such as "1234.56" is due, not {type(text).__name__}')
        # The length is bounded first: Decimal would take a text of any size.
        if len(text) > MAX_INTEGER_DIGITS + 4 or _PLAIN.fullmatch(text) is None:
            raise _refused("a plain decimal such as 1234.56 is due")
        known = _BY_CODE.get(currency) if isinstance(currency, str) else None
        if known is None:
            raise TransactionInvalid(f"currency: {currency!r} is not known", field="currency")
        return cls(Decimal(text), known)

    @classmethod
    def parse_display(cls, text: str) -> Money:
        """Read what ``display`` gives, and nothing else."""
        number, _, currency = text.partition(" ")
        money = cls.parse(number.replace(",", ""), currency)
        if money.display != text:
            raise _refused(f"written {money.display!r}, not {text!r}")
        return money

    @property
    def text(self) -> str:
        """All digits of the currency, no separators: ``1234.50``."""
        return f"{self.amount:.{self.currency.digits}f}"

    @property
    def display(self) -> str:
        """As a screen shows it: ``1,234.50 CNY``."""
        return f"{self.amount:,.{self.currency.digits}f} {self.currency}"


def _refused(problem: str) -> TransactionInvalid:
    return TransactionInvalid(f"amount: {problem}", field="amount")
