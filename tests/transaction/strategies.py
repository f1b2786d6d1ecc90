"""Hypothesis strategies for every kind of transaction, and a plain example of each."""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, datetime
from decimal import Decimal

from hypothesis import strategies as st

from ushield.transaction import (
    Batch,
    BatchRow,
    BillPayment,
    CertificateRenewal,
    Currency,
    Login,
    Money,
    Party,
    ShopPayment,
    Transaction,
    Transfer,
)

DRAWABLE = (
    "ABCxyz 0189&<>\"'#;/-\uff08\uff09。\uff0c「」张三李四王五中国工商银行北京分行有限公司货款éАЖ☆"
)
_BLANK = "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0"
ANY_SCRIPT = st.characters(
    categories=("Lu", "Ll", "Lt", "Lo", "Nd", "Nl", "No", "Mn", "Pd", "Po", "Sc", "Sm", "So", "Zs"),
    exclude_characters=_BLANK,
).filter(
    lambda character: (
        (unicodedata.category(character) != "Zs" or character == " ")
        and "VARIATION SELECTOR" not in unicodedata.name(character, "")
    )
)


def _tidy(text: str) -> str:
    return re.sub(" +", " ", unicodedata.normalize("NFC", text)).strip(" ")


def texts(max_length: int, alphabet: st.SearchStrategy[str] | str) -> st.SearchStrategy[str]:
    return (
        st.text(alphabet, min_size=1, max_size=max_length)
        .map(_tidy)
        .filter(lambda text: 0 < len(text) <= max_length)
    )


accounts = st.from_regex(r"[0-9A-Za-z]([0-9A-Za-z-]{0,38}[0-9A-Za-z])?", fullmatch=True)
challenges = st.from_regex(r"[0-9A-Za-z._-]{1,64}", fullmatch=True)
instants = st.datetimes(
    min_value=datetime(1, 1, 1),
    timezones=st.just(UTC),
).map(lambda instant: instant.replace(microsecond=0))


@st.composite
def money(draw: st.DrawFn) -> Money:
    currency = draw(st.sampled_from(Currency))
    units = draw(st.integers(1, 10 ** (15 + currency.digits) - 1))
    return Money(Decimal(units).scaleb(-currency.digits), currency)


def transactions(
    alphabet: st.SearchStrategy[str] | str = ANY_SCRIPT,
) -> st.SearchStrategy[Transaction]:
    name, memo, order = texts(60, alphabet), texts(100, alphabet), texts(64, alphabet)
    payer = st.builds(Party, name, accounts)
    payee = st.builds(Party, name, accounts, name)
    signed = {"challenge": challenges, "expires": st.none() | instants}
    noted = {"order": st.none() | order, "memo": st.none() | memo}
    return st.one_of(
        st.builds(Transfer, payer=payer, payee=payee, amount=money(), **noted, **signed),
        st.builds(
            ShopPayment,
            payer=payer,
            merchant=name,
            order=order,
            goods=st.none() | memo,
            amount=money(),
            **signed,
        ),
        st.builds(
            BillPayment,
            payer=payer,
            biller=name,
            bill=order,
            period=st.none() | name,
            amount=money(),
            **noted,
            **signed,
        ),
        st.builds(Login, site=memo, customer=name, **signed),
        st.builds(
            CertificateRenewal,
            customer=name,
            key=st.binary(min_size=32, max_size=32),
            **signed,
        ),
        st.builds(
            Batch,
            payer=payer,
            count=st.integers(1, 100_000),
            total=money(),
            digest=st.binary(min_size=32, max_size=32),
            **noted,
            **signed,
        ),
    )


PAYER = Party("李四", "6222020200001111222")
PAYEE = Party("张三", "6222020200003333444", "中国工商银行北京分行")
EXPIRES = datetime(2024, 12, 8, 11, 26, 7, tzinfo=UTC)


def yuan(text: str) -> Money:
    return Money(Decimal(text), Currency.CNY)


TRANSFER = Transfer(
    payer=PAYER,
    payee=PAYEE,
    amount=yuan("1234.56"),
    order="HQH000000000000",
    memo="货款",
    challenge="8d0e3f",
    expires=EXPIRES,
)
BATCH_ROWS = (BatchRow(PAYEE, yuan("1"), "工资"), BatchRow(PAYEE, yuan("2.50")))
EXAMPLES: tuple[Transaction, ...] = (
    TRANSFER,
    ShopPayment(
        payer=PAYER,
        merchant="某某商城",
        order="20241208-0001",
        goods="保温杯 红色 500ml",
        amount=yuan("88.00"),
        challenge="c1",
        expires=EXPIRES,
    ),
    BillPayment(
        payer=PAYER,
        biller="市自来水公司",
        bill="0012345678",
        period="2024年11月",
        amount=yuan("63.2"),
        order="B1",
        memo="水费",
        challenge="c2",
        expires=EXPIRES,
    ),
    Login(site="mybank.example.com", customer="李四", challenge="c3", expires=EXPIRES),
    Batch.of_rows(
        BATCH_ROWS,
        payer=PAYER,
        challenge="c4",
        order="P7",
        memo="十二月工资",
        expires=EXPIRES,
    ),
    CertificateRenewal(customer="李四", key=bytes(range(32)), challenge="c5", expires=EXPIRES),
)
