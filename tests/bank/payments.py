"""A payment that an ordinary policy allows, and its parts to change."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from tests.pki import Signer, receipt_for
from tests.transaction.strategies import PAYEE, PAYER, TRANSFER, yuan
from ushield.algorithms import KeyAlgorithm
from ushield.bank.policy import (
    BatchFacts,
    ControlTier,
    CustomerFacts,
    PaymentFacts,
    Policy,
    SignatureFacts,
    Sums,
    Terms,
)
from ushield.cms import BlindStatement
from ushield.cms.attestation import Attestation
from ushield.cms.receipt import Receipt
from ushield.transaction import Batch, BatchRow, Currency, Kind, Transaction, write_message

AT = datetime(2024, 12, 8, 3, 0, tzinfo=UTC)
CNY = Currency.CNY
MAKER, CHECKER, THIRD = (
    Signer.issued(subject="李四"),
    Signer.issued(KeyAlgorithm.P384, subject="王五"),
    Signer.issued(KeyAlgorithm.RSA_2048, subject="赵六"),
)
BATCH = Batch.of_rows(
    [BatchRow(PAYEE, yuan("1")), BatchRow(PAYEE, yuan("2.50"))], payer=PAYER, challenge="c4"
)
POLICY = Policy(
    default=Terms(
        kinds=frozenset(Kind),
        amount={None: {CNY: Decimal(5000)}},
        daily={None: {CNY: Decimal(10_000)}},
        monthly={None: {CNY: Decimal(50_000)}},
    ),
    profiles={
        "company": Terms(
            control=(ControlTier(1), ControlTier(2, {CNY: Decimal(2000)})),
            batch_rows=1000,
            row_amount={CNY: Decimal(1000)},
        )
    },
)


def receipt(serial: str, transaction: Transaction = TRANSFER, **changes: Any) -> Receipt:
    return replace(receipt_for(write_message(transaction)), serial=serial, **changes)


def attestation(serial: str, **changes: Any) -> Attestation:
    return replace(Attestation(serial, "US-1", "1.0.0", 1, True, False), **changes)


def signature(
    transaction: Transaction = TRANSFER,
    *,
    person: str = "li",
    token: str = "US00000001",
    signer: Signer = MAKER,
    **changes: Any,
) -> SignatureFacts:
    facts = SignatureFacts(
        message=write_message(transaction),
        person=person,
        token=token,
        certificate=signer.der,
        evidence=receipt(token, transaction),
        algorithm=signer.algorithm,
        pages=5,
        attestation=attestation(token),
        last_counter=6,
    )
    return replace(facts, **changes)


def blind(transaction: Transaction = TRANSFER, **changes: Any) -> SignatureFacts:
    settings: dict[str, Any] = {"evidence": BlindStatement("1234", "PIV card", "piv")}
    return signature(transaction, token="1234", **(settings | changes))


def checker(transaction: Transaction = TRANSFER, **changes: Any) -> SignatureFacts:
    settings: dict[str, Any] = {"person": "wang", "token": "US00000002", "signer": CHECKER}
    return signature(transaction, **(settings | changes))


def third(transaction: Transaction = TRANSFER, **changes: Any) -> SignatureFacts:
    settings: dict[str, Any] = {"person": "zhao", "token": "US00000003", "signer": THIRD}
    return signature(transaction, **(settings | changes))


def payment(transaction: Transaction = TRANSFER, **changes: Any) -> PaymentFacts:
    facts = PaymentFacts(
        customer=CustomerFacts("C1"),
        transaction=transaction,
        at=AT,
        signatures=(signature(transaction),),
        today=Sums(),
        month=Sums(),
        payments_today=0,
        blind_today=Sums(),
        batch=BatchFacts(Decimal("2.50")) if isinstance(transaction, Batch) else None,
    )
    return replace(facts, **changes)


def company_payment(
    *checkers: SignatureFacts, transaction: Transaction = TRANSFER, **changes: Any
) -> PaymentFacts:
    return payment(
        transaction,
        customer=CustomerFacts("F1", "company"),
        signatures=(signature(transaction), *checkers),
        **changes,
    )


def later(**time: float) -> datetime:
    return AT + timedelta(**time)
