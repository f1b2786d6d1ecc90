"""What a person can be asked to sign, as values: transfers, payments, logins, renewals, batches.

Every value is checked when it is made: `TransactionInvalid` names the field that cannot be what a
person means. Names and other texts keep the rules of `ushield.transaction.text`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from ushield.errors import TransactionInvalid
from ushield.transaction.money import Money
from ushield.transaction.tally import MAX_BATCH_ROWS, BatchTally
from ushield.transaction.text import check_account, check_challenge, check_text

__all__ = [
    "MAX_BATCH_ROWS",
    "Batch",
    "BatchRow",
    "BillPayment",
    "CertificateRenewal",
    "Login",
    "Party",
    "ShopPayment",
    "Transaction",
    "Transfer",
    "batch_digest",
]

_NAME = 60
_ORDER = 64
_MEMO = 100


@dataclass(frozen=True, slots=True)
class Party:
    """Who pays or is paid. ``bank`` is named for a payee; a payer's bank is the one that asks."""

    name: str
    account: str
    bank: str | None = None

    def __post_init__(self) -> None:
        check_text(self.name, "name", _NAME)
        check_account(self.account, "account")
        _check_optional(self.bank, "bank", _NAME)


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """Money from the customer's account to another one.

    ``order`` is the bank's number for it (signed, not shown); ``challenge`` is the id the bank
    issued for this one signature; ``expires`` is when the bank stops taking it, in UTC to the
    second.
    """

    payer: Party
    payee: Party
    amount: Money
    challenge: str
    order: str | None = None
    memo: str | None = None
    expires: datetime | None = None

    def __post_init__(self) -> None:
        _check_payer(self.payer)
        _check_payee(self.payee)
        _check_money(self.amount, "amount")
        _check_optional(self.order, "order", _ORDER)
        _check_optional(self.memo, "memo", _MEMO)
        _check_request(self.challenge, self.expires)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShopPayment:
    """Payment of an order at a shop; the order number is the shop's, and shown."""

    payer: Party
    merchant: str
    order: str
    amount: Money
    challenge: str
    goods: str | None = None
    expires: datetime | None = None

    def __post_init__(self) -> None:
        _check_payer(self.payer)
        check_text(self.merchant, "merchant", _NAME)
        check_text(self.order, "order", _ORDER)
        _check_money(self.amount, "amount")
        _check_optional(self.goods, "goods", _MEMO)
        _check_request(self.challenge, self.expires)


@dataclass(frozen=True, slots=True, kw_only=True)
class BillPayment:
    """Payment of a bill; ``bill`` is the customer's number at the biller, ``period`` what for."""

    payer: Party
    biller: str
    bill: str
    amount: Money
    challenge: str
    period: str | None = None
    order: str | None = None
    memo: str | None = None
    expires: datetime | None = None

    def __post_init__(self) -> None:
        _check_payer(self.payer)
        check_text(self.biller, "biller", _NAME)
        check_text(self.bill, "bill", _ORDER)
        _check_money(self.amount, "amount")
        _check_optional(self.period, "period", _NAME)
        _check_optional(self.order, "order", _ORDER)
        _check_optional(self.memo, "memo", _MEMO)
        _check_request(self.challenge, self.expires)


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """Entry to a site of the bank, as a named customer."""

    site: str
    customer: str
    challenge: str
    expires: datetime | None = None

    def __post_init__(self) -> None:
        check_text(self.site, "site", _MEMO)
        check_text(self.customer, "customer", _NAME)
        _check_request(self.challenge, self.expires)


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateRenewal:
    """A new certificate of the bank for the customer, which the key of the old one authorises.

    ``key`` is the SHA-256 (32 bytes) of the key to be certified, its SubjectPublicKeyInfo: the
    fingerprint that the token showed when it signed the certification request.
    """

    customer: str
    key: bytes
    challenge: str
    expires: datetime | None = None

    def __post_init__(self) -> None:
        check_text(self.customer, "customer", _NAME)
        _check_digest(self.key, "key")
        _check_request(self.challenge, self.expires)


@dataclass(frozen=True, slots=True)
class BatchRow:
    """One transfer of a batch."""

    payee: Party
    amount: Money
    memo: str | None = None

    def __post_init__(self) -> None:
        _check_payee(self.payee)
        _check_money(self.amount, "amount")
        _check_optional(self.memo, "memo", _MEMO)

    @property
    def texts(self) -> tuple[str, ...]:
        """What stands for the row in the digest of its batch: the payee's name, account and bank,
        the amount's digits, the currency, and the memo, which is empty where there is none.
        """
        payee, amount = self.payee, self.amount
        bank, memo = payee.bank or "", self.memo or ""
        return payee.name, payee.account, bank, amount.text, amount.currency.value, memo

    @classmethod
    def from_texts(cls, texts: Sequence[str]) -> BatchRow:
        """The row that `texts` are of; `TransactionInvalid` names the field at fault."""
        name, account, bank, amount, currency, memo = texts
        try:
            payee = Party(name, account, bank)
        except TransactionInvalid as error:
            raise TransactionInvalid(f"payee.{error}", field=f"payee.{error.field}") from error
        return cls(payee, Money.parse(amount, currency), memo or None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Many transfers signed as one: their count, their total, and the digest that binds the rows.

    ``digest`` is `batch_digest` of the rows, 32 bytes; `Batch.of_rows` computes all three.
    """

    payer: Party
    count: int
    total: Money
    digest: bytes
    challenge: str
    order: str | None = None
    memo: str | None = None
    expires: datetime | None = None

    def __post_init__(self) -> None:
        _check_payer(self.payer)
        if type(self.count) is not int or not 1 <= self.count <= MAX_BATCH_ROWS:
            raise TransactionInvalid(f"count: 1 to {MAX_BATCH_ROWS} rows", field="count")
        _check_money(self.total, "total")
        _check_digest(self.digest, "digest")
        _check_optional(self.order, "order", _ORDER)
        _check_optional(self.memo, "memo", _MEMO)
        _check_request(self.challenge, self.expires)

    @classmethod
    def of_rows(
        cls,
        rows: Iterable[BatchRow],
        *,
        payer: Party,
        challenge: str,
        order: str | None = None,
        memo: str | None = None,
        expires: datetime | None = None,
    ) -> Batch:
        """The batch that stands for ``rows``; they must share one currency."""
        tally = BatchTally()
        for row in rows:
            tally.add(row)
        return cls(
            payer=payer,
            count=tally.count,
            total=tally.total,
            digest=tally.digest,
            challenge=challenge,
            order=order,
            memo=memo,
            expires=expires,
        )


Transaction = Transfer | ShopPayment | BillPayment | Login | CertificateRenewal | Batch


def batch_digest(rows: Iterable[BatchRow]) -> bytes:
    """SHA-256 (32 bytes) over the rows in their order, by `BatchTally`."""
    tally = BatchTally()
    for row in rows:
        tally.add(row)
    return tally.digest


def _check_payer(payer: Party) -> None:
    if not isinstance(payer, Party):
        raise TransactionInvalid("payer: a party is due", field="payer")
    if payer.bank is not None:
        raise TransactionInvalid("payer.bank: only a payee's bank is named", field="payer.bank")


def _check_payee(payee: Party) -> None:
    if not isinstance(payee, Party):
        raise TransactionInvalid("payee: a party is due", field="payee")
    if payee.bank is None:
        raise TransactionInvalid("payee.bank: missing", field="payee.bank")


def _check_money(money: Money, field: str) -> None:
    if not isinstance(money, Money):
        raise TransactionInvalid(f"{field}: an amount of money is due", field=field)


def _check_digest(digest: bytes, field: str) -> None:
    if not isinstance(digest, bytes) or len(digest) != 32:
        raise TransactionInvalid(f"{field}: 32 bytes of SHA-256", field=field)


def _check_optional(value: str | None, field: str, max_length: int) -> None:
    if value is not None:
        check_text(value, field, max_length)


def _check_request(challenge: str, expires: datetime | None) -> None:
    check_challenge(challenge)
    if expires is not None and (
        not isinstance(expires, datetime)
        or expires.utcoffset() != timedelta(0)
        or expires.microsecond
    ):
        raise TransactionInvalid("expires: a time in UTC, to the second", field="expires")
