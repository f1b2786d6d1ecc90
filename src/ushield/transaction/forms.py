"""The kinds of transaction as tables: which fields, under which labels, shown or hidden.

One table serves the message that is signed and the JSON that comes in, so a field cannot be in
one and be forgotten in the other.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from operator import attrgetter
from typing import Any

from ushield.errors import TransactionInvalid
from ushield.transaction.model import (
    Batch,
    BillPayment,
    CertificateRenewal,
    Login,
    Party,
    ShopPayment,
    Transaction,
    Transfer,
)
from ushield.transaction.money import PLAIN_MONEY, Money
from ushield.transaction.text import PLAIN_TEXT

__all__ = [
    "CHALLENGE_LABEL",
    "COUNT",
    "DIGEST",
    "DIGEST_GROUP",
    "FORMS",
    "GROUPED_LABELS",
    "HIDDEN_LABELS",
    "KIND_LABEL",
    "MONEY",
    "UNPAID",
    "WHOLE_LABELS",
    "Entry",
    "Form",
    "Kind",
    "Shape",
    "build",
    "form_of",
]

KIND_LABEL = "业务"
CHALLENGE_LABEL = "挑战码"
DIGEST_GROUP = 4
"""How many hexadecimal digits of a digest stand together, with a space after them."""
# `datetime` checks the numbers. It reads an hour of 24, too, which is 0 of the next day.
_INSTANT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T(?!24)[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
# All days but those of a February that some years have.
_PLAIN_INSTANT = (
    "[1-9][0-9]{3}-"
    "(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31)"
    "T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]Z"
)


class Kind(StrEnum):
    """Kinds of transaction, as the JSON form names them."""

    TRANSFER = "transfer"
    SHOP = "shop"
    BILL = "bill"
    LOGIN = "login"
    RENEWAL = "renewal"
    BATCH = "batch"


@dataclass(frozen=True, slots=True)
class Shape:
    """How a field's value is written as one text, and read back (`ValueError` if it is none).

    ``plain`` is a regular expression for most such texts, and for no other: what it matches, every
    model takes, and writes again as it was. ``is_exact``: nothing is read that would be written
    otherwise.
    """

    write: Callable[[Any], str]
    read: Callable[[str], Any]
    plain: str
    is_exact: bool = False


def _write_instant(instant: datetime) -> str:
    return instant.replace(tzinfo=None).isoformat() + "Z"


def _read_instant(text: str) -> datetime:
    if _INSTANT.fullmatch(text) is None:
        raise ValueError("a time such as 2026-11-21T08:00:00Z is due")
    return datetime.fromisoformat(text)


def _write_digest(digest: bytes) -> str:
    return digest.hex(" ", -DIGEST_GROUP // 2)


TEXT = Shape(str, str, PLAIN_TEXT, is_exact=True)
ACCOUNT = Shape(str, str, "[0-9A-Za-z]{1,40}+", is_exact=True)
CHALLENGE = Shape(str, str, "[0-9A-Za-z._-]{1,64}+", is_exact=True)
MONEY = Shape(attrgetter("display"), Money.parse_display, PLAIN_MONEY, is_exact=True)
COUNT = Shape(str, int, "[1-9][0-9]{0,4}+")
DIGEST = Shape(_write_digest, bytes.fromhex, "[0-9a-f]{4}(?: [0-9a-f]{4}){15}")
INSTANT = Shape(_write_instant, _read_instant, _PLAIN_INSTANT, is_exact=True)


@dataclass(frozen=True, slots=True)
class Entry:
    """One field: where it is in the model (``payee.name``), and its label in the message."""

    path: str
    label: str
    shape: Shape = TEXT
    required: bool = True
    shown: bool = True

    def text(self, transaction: Transaction) -> str | None:
        """The field's value as a text; ``None`` where the transaction has none."""
        value = attrgetter(self.path)(transaction)
        return None if value is None else self.shape.write(value)


@dataclass(frozen=True, slots=True)
class Form:
    """A kind of transaction: its name on the screen, its class, its fields in their order."""

    kind: Kind
    title: str
    model: type[Transaction]
    entries: tuple[Entry, ...]


_PAYER = (Entry("payer.name", "付款人"), Entry("payer.account", "付款账号", ACCOUNT))
_AMOUNT = Entry("amount", "金额", MONEY)
_MEMO = Entry("memo", "附言", required=False)
_ORDER = Entry("order", "银行订单号", required=False, shown=False)
_CHALLENGE = Entry("challenge", CHALLENGE_LABEL, CHALLENGE, shown=False)
_EXPIRES = Entry("expires", "有效期", INSTANT, required=False, shown=False)
_TOTAL = Entry("total", "总金额", MONEY)
_DIGEST = Entry("digest", "明细摘要", DIGEST)
_KEY = Entry("key", "公钥指纹", DIGEST)

HIDDEN_LABELS = (_ORDER.label, _CHALLENGE.label, _EXPIRES.label)
"""All that may be signed and not shown: none of it says who is paid, how much, or what for."""

WHOLE_LABELS = frozenset((_AMOUNT.label, _TOTAL.label))
"""Fields that must be seen on one page: half an amount is another amount."""

GROUPED_LABELS = frozenset((_DIGEST.label, _KEY.label))
"""Fields whose lines end where a group of digits ends: people compare them group by group."""

FORMS: Mapping[str, Form] = {
    form.kind: form
    for form in (
        Form(
            Kind.TRANSFER,
            "转账汇款",
            Transfer,
            (
                Entry("payee.name", "收款人"),
                Entry("payee.account", "收款账号", ACCOUNT),
                Entry("payee.bank", "收款行"),
                _AMOUNT,
                *_PAYER,
                _MEMO,
                _ORDER,
                _CHALLENGE,
                _EXPIRES,
            ),
        ),
        Form(
            Kind.SHOP,
            "网上购物",
            ShopPayment,
            (
                Entry("merchant", "商户"),
                Entry("order", "订单号"),
                Entry("goods", "商品", required=False),
                _AMOUNT,
                *_PAYER,
                _CHALLENGE,
                _EXPIRES,
            ),
        ),
        Form(
            Kind.BILL,
            "缴费",
            BillPayment,
            (
                Entry("biller", "收费单位"),
                Entry("bill", "缴费号码"),
                Entry("period", "账期", required=False),
                _AMOUNT,
                *_PAYER,
                _MEMO,
                _ORDER,
                _CHALLENGE,
                _EXPIRES,
            ),
        ),
        Form(
            Kind.LOGIN,
            "登录",
            Login,
            (Entry("site", "登录网站"), Entry("customer", "用户"), _CHALLENGE, _EXPIRES),
        ),
        Form(
            Kind.RENEWAL,
            "证书更新",
            CertificateRenewal,
            (Entry("customer", "用户"), _KEY, _CHALLENGE, _EXPIRES),
        ),
        Form(
            Kind.BATCH,
            "批量转账",
            Batch,
            (
                Entry("count", "笔数", COUNT),
                _TOTAL,
                _DIGEST,
                *_PAYER,
                _MEMO,
                _ORDER,
                _CHALLENGE,
                _EXPIRES,
            ),
        ),
    )
}
UNPAID = frozenset((Kind.LOGIN, Kind.RENEWAL))
"""Kinds by which nothing is paid."""
_FORM_OF_MODEL = {form.model: form for form in FORMS.values()}


def form_of(transaction: Transaction) -> Form:
    """The form of a transaction's kind."""
    return _FORM_OF_MODEL[type(transaction)]


def build(form: Form, values: Mapping[str, Any]) -> Transaction:
    """Make the transaction from its values by path; `TransactionInvalid` names the path at fault.

    Every required path must be there.
    """
    arguments: dict[str, Any] = {}
    parties: dict[str, dict[str, Any]] = {}
    for path, value in values.items():
        head, _, tail = path.partition(".")
        if tail:
            parties.setdefault(head, {})[tail] = value
        else:
            arguments[head] = value
    for head, party in parties.items():
        try:
            arguments[head] = Party(**party)
        except TransactionInvalid as error:
            raise TransactionInvalid(f"{head}.{error}", field=f"{head}.{error.field}") from error
    return form.model(**arguments)
