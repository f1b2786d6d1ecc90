"""What customers have paid, by day: read under a lock, and added to by what is accepted under it.

Two payments decided on the same sums could pass one limit twice. So a customer's row stays locked
from the reading to the end of the transaction; on SQLite a transaction that writes is alone anyway.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, select
from sqlalchemy.dialects import postgresql, sqlite

from ushield.bank.policy.facts import CustomerFacts, Sums, amount_of
from ushield.bank.store.statements import Query, Statement
from ushield.bank.store.tables import customer, spending
from ushield.transaction.forms import Kind, form_of
from ushield.transaction.model import Transaction
from ushield.transaction.money import Currency, Money

__all__ = ["Paid", "Spending"]

# What a column of the database holds: sums stand still there, far above what there is of money.
_MOST = (1 << 63) - 1

_CUSTOMER = Query(
    select(customer.c.id, customer.c.profile)
    .where(customer.c.id == bindparam("customer"))
    .with_for_update(key_share=True)
)
_PAID = Query(
    select(
        spending.c.day,
        spending.c.kind,
        spending.c.currency,
        spending.c.blind,
        spending.c.amount,
        spending.c.payments,
    ).where(
        spending.c.customer_id == bindparam("customer"),
        spending.c.day >= bindparam("first"),
        spending.c.day <= bindparam("last"),
    )
)
_COLUMNS = ("customer_id", "day", "kind", "currency", "blind", "amount", "payments")
_KEY = [spending.c.customer_id, spending.c.day, spending.c.kind, spending.c.currency]


def _upsert(dialect: str) -> Statement:
    insert = sqlite.insert if dialect == "sqlite" else postgresql.insert
    statement = insert(spending).values({name: bindparam(name) for name in _COLUMNS})
    return Statement(
        statement.on_conflict_do_update(
            index_elements=[*_KEY, spending.c.blind],
            set_={
                "amount": statement.excluded.amount,
                "payments": statement.excluded.payments,
            },
        )
    )


_UPSERT = {name: _upsert(name) for name in ("sqlite", "postgresql")}


class _Slot(NamedTuple):
    customer: str
    day: int
    kind: Kind
    currency: Currency
    is_blind: bool


@dataclass(frozen=True, slots=True)
class Paid:
    """What a customer has paid before: today and this month, and what of today's was blind."""

    today: Sums
    month: Sums
    payments_today: int
    blind_today: Sums


class Spending:
    """The sums of some customers on one day, of whom no other process can pay meanwhile.

    For one transaction of the database. `lock` makes one.
    """

    def __init__(self, day: date) -> None:
        self._day = day
        self._customers: dict[str, CustomerFacts] = {}
        self._paid: dict[_Slot, tuple[int, int]] = {}
        self._changed: set[_Slot] = set()

    @classmethod
    def lock(cls, connection: Connection, customers: Iterable[str], day: date) -> Spending:
        """Read what ``customers`` have paid in the month up to ``day``, and keep it from changing.

        They are locked in the order of their ids, so that no two transactions wait for each other.
        """
        found = cls(day)
        last = day.toordinal()
        for each in sorted(set(customers)):
            for identifier, profile in _CUSTOMER.rows(connection, customer=each):
                found._customers[identifier] = CustomerFacts(identifier, profile)
            for on, kind, currency, blind, amount, payments in _PAID.rows(
                connection, customer=each, first=day.replace(day=1).toordinal(), last=last
            ):
                slot = _Slot(each, on, Kind(kind), Currency(currency), bool(blind))
                found._paid[slot] = amount, payments
        return found

    def customer(self, identifier: str) -> CustomerFacts:
        """Who pays, and by which profile."""
        return self._customers[identifier]

    def paid(self, identifier: str) -> Paid:
        """What the customer has paid, this transaction included."""
        mine = {slot: paid for slot, paid in self._paid.items() if slot.customer == identifier}
        today = {slot: paid for slot, paid in mine.items() if slot.day == self._day.toordinal()}
        return Paid(
            today=_sums(today),
            month=_sums(mine),
            payments_today=sum(payments for _, payments in today.values()),
            blind_today=_sums({slot: paid for slot, paid in today.items() if slot.is_blind}),
        )

    def add(self, identifier: str, transaction: Transaction, *, is_blind: bool) -> None:
        """Count a payment that is accepted; a login is none."""
        money = amount_of(transaction)
        if money is None:
            return
        kind = form_of(transaction).kind
        slot = _Slot(identifier, self._day.toordinal(), kind, money.currency, is_blind)
        amount, payments = self._paid.get(slot, (0, 0))
        self._paid[slot] = min(amount + _minor_units(money), _MOST), payments + 1
        self._changed.add(slot)

    def write(self, connection: Connection) -> None:
        """Write what was added."""
        rows = [
            {
                "customer_id": slot.customer,
                "day": slot.day,
                "kind": slot.kind.value,
                "currency": slot.currency.value,
                "blind": int(slot.is_blind),
                "amount": self._paid[slot][0],
                "payments": self._paid[slot][1],
            }
            for slot in sorted(self._changed)
        ]
        if rows:
            _UPSERT[connection.dialect.name].run_many(connection, rows)


def _sums(paid: dict[_Slot, tuple[int, int]]) -> Sums:
    found: dict[Kind, dict[Currency, int]] = {}
    for slot, (amount, _) in paid.items():
        of_kind = found.setdefault(slot.kind, {})
        of_kind[slot.currency] = of_kind.get(slot.currency, 0) + amount
    return Sums(
        {
            # From a text, so that no decimal context of the caller's rounds it.
            kind: {each: Decimal(f"{amount}E-{each.digits}") for each, amount in by.items()}
            for kind, by in found.items()
        }
    )


def _minor_units(money: Money) -> int:
    return int(Decimal(f"{money.amount}E{money.currency.digits}"))
