"""A bank at work, for tests: customers with tokens that sign, and a clock that is moved."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from typing import Any, Self

import pytest
from sqlalchemy import create_engine

from tests.pki import NOW, Signer, authority, pem, receipt_for
from tests.transaction.strategies import TRANSFER
from ushield.algorithms import KeyAlgorithm
from ushield.bank import (
    Bank,
    Challenge,
    RejectionReason,
    TransactionRejected,
    TrustStore,
    Verifier,
)
from ushield.bank.store.engine import store_url
from ushield.bank.store.identity import claim_identity
from ushield.transaction import Transfer

TRUST = TrustStore.load(pem(authority()))
VERIFIER = Verifier(TRUST)


def confirm_copy(url: str) -> None:
    engine = create_engine(store_url(url))
    with engine.begin() as connection:
        claim_identity(connection)
    engine.dispose()


def order(number: str | None = None, **changes: Any) -> Transfer:
    """A transfer as a backend would draft it."""
    return dataclasses.replace(TRANSFER, order=number, expires=None, **changes)


@dataclass
class MovableClock:
    """Stands still until it is moved."""

    at: datetime = NOW

    def __call__(self) -> datetime:
        return self.at

    def move(self, **by: float) -> None:
        self.at += timedelta(**by)


@dataclass
class Holder:
    """A customer with a token that presses OK at once."""

    customer: str
    token: str
    signer: Signer
    counter: Any = field(default_factory=lambda: count(1))

    def sign(self, message: bytes, counter: int | None = None) -> bytes:
        number = next(self.counter) if counter is None else counter
        receipt = dataclasses.replace(receipt_for(message), serial=self.token, counter=number)
        return self.signer.sign(message, receipt)


@dataclass
class Bench:
    """A bank on a database, and its clock."""

    url: str
    bank: Bank
    clock: MovableClock

    @classmethod
    def open(cls, url: str, clock: MovableClock | None = None, **settings: Any) -> Self:
        clock = clock or MovableClock()
        settings = {"verifier": VERIFIER} | settings
        return cls(url, Bank.open(url, clock=clock, **settings), clock)

    def again(self, **settings: Any) -> Self:
        """Another process's bank, as far as the database can tell."""
        return type(self).open(self.url, self.clock, **settings)

    def customer(self, name: str = "alice", token: str | None = None) -> Holder:
        """Register a customer, with a token and a certificate of its own."""
        holder = Holder(name, token or f"US-{name}", Signer.issued(KeyAlgorithm.P256, subject=name))
        self.bank.add_customer(name, name.title())
        self.bank.enrol(name, holder.signer.der, token=holder.token)
        return holder

    def issue(self, holder: Holder, number: str | None = None, **settings: Any) -> Challenge:
        return self.bank.issue(order(number), customer=holder.customer, **settings)

    def refusal(self, challenge: str | Challenge, signature: bytes) -> RejectionReason:
        """Why the signature is not accepted."""
        identifier = challenge if isinstance(challenge, str) else challenge.id
        with pytest.raises(TransactionRejected) as caught:
            self.bank.accept(identifier, signature)
        assert caught.value.remedy
        return caught.value.reason

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.bank.close()
