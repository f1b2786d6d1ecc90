"""A payment, and factories of real virtual tokens to sign it."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import TypeAlias

import pytest

from ushield.testing.token import VirtualTokenUnderTest
from ushield.transaction import Currency, Money, Party, Transaction, Transfer

MakeToken: TypeAlias = Callable[..., VirtualTokenUnderTest]


def payment(memo: str | None = None, amount: str = "1234.56") -> Transaction:
    return Transfer(
        payer=Party("李四", "6222020200112233445"),
        payee=Party("张三", "6222021001098765432", "中国工商银行北京分行"),
        amount=Money(Decimal(amount), Currency.CNY),
        memo=memo,
        challenge="9f3c5b8e21d74a06",
    )


@pytest.fixture
def transfer() -> Transaction:
    return payment()
