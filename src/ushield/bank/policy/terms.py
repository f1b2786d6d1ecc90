"""The parameters of a policy: what the bank allows a customer, stated in up to three layers.

What a layer leaves open (``None``, or a slot that is not in a table) is up to the layer below:
customer, profile, default. What no layer states is refused wherever that is the safe side.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from enum import StrEnum

from ushield.algorithms import KeyAlgorithm
from ushield.transaction.forms import Kind
from ushield.transaction.money import Currency, Money

__all__ = [
    "NOT_LIMITED",
    "AmountTable",
    "AttestationNeed",
    "Blind",
    "ControlTier",
    "Hours",
    "Terms",
]

NOT_LIMITED = Decimal("Infinity")
"""The limit of what may be of any size."""

AmountTable = Mapping[Kind | None, Mapping[Currency, Decimal]]
"""Limits by kind and currency. Under ``None``: for what no kind names, where payments are looked at
one by one; for all kinds together, where they are summed."""


class AttestationNeed(StrEnum):
    """Whether a key that signs what a screen showed must have been attested by its token."""

    REQUIRED = "required"
    OPTIONAL = "optional"


@dataclass(frozen=True, slots=True)
class Hours:
    """A part of the day, ``start`` included and ``end`` not, in minutes since midnight.

    ``offset`` is the bank's time from UTC. One that ends before it starts goes over midnight.
    """

    start: int
    end: int
    offset: timedelta

    def include(self, at: datetime) -> bool:
        """Whether ``at`` is in it."""
        local = at.astimezone(timezone(self.offset))
        minute = local.hour * 60 + local.minute
        if self.start <= self.end:
            return self.start <= minute < self.end
        return minute >= self.start or minute < self.end


@dataclass(frozen=True, slots=True)
class Blind:
    """What a signature may do that no screen stands behind: kinds, and limits by currency.

    ``amount`` is for a payment, ``daily`` for a customer's blind payments of a day.
    """

    kinds: frozenset[Kind]
    amount: Mapping[Currency, Decimal] = field(default_factory=dict)
    daily: Mapping[Currency, Decimal] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ControlTier:
    """How many checkers beside the maker a payment ``above`` an amount wants.

    A currency that ``above`` does not name is above it: nothing escapes by its currency.
    """

    checkers: int
    above: Mapping[Currency, Decimal] = field(default_factory=dict)

    def applies(self, amount: Money) -> bool:
        """Whether a payment of ``amount`` is in this tier."""
        return amount.amount > self.above.get(amount.currency, Decimal(-1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """One layer, or all of them merged. ``None`` is what is not stated.

    ``amount`` limits single payments, ``daily`` and ``monthly`` sums, ``payments_a_day`` their
    number, ``row_amount`` each row of a batch. ``counter_gap`` is how many signatures a token may
    have made that the bank did not see. ``proposal_hours`` is how long a payment waits for its
    checkers. ``profile`` is the name of the profile that was merged.
    """

    kinds: frozenset[Kind] | None = None
    algorithms: frozenset[KeyAlgorithm] | None = None
    attestation: AttestationNeed | None = None
    virtual_tokens: frozenset[str] | None = None
    milliseconds_per_page: int | None = None
    counter_gap: int | None = None
    payments_a_day: int | None = None
    hours: Hours | None = None
    blind: Blind | None = None
    control: tuple[ControlTier, ...] | None = None
    proposal_hours: int | None = None
    batch_rows: int | None = None
    row_amount: Mapping[Currency, Decimal] = field(default_factory=dict)
    amount: AmountTable = field(default_factory=dict)
    daily: AmountTable = field(default_factory=dict)
    monthly: AmountTable = field(default_factory=dict)
    profile: str | None = None

    def over(self, below: Terms) -> Terms:
        """These terms, and those of ``below`` where these say nothing."""
        stated = {
            each.name: getattr(self, each.name)
            for each in fields(self)
            if each.name not in _TABLES and getattr(self, each.name) is not None
        }
        return replace(
            below,
            **stated,
            row_amount={**below.row_amount, **self.row_amount},
            amount=_merge(self.amount, below.amount),
            daily=_merge(self.daily, below.daily),
            monthly=_merge(self.monthly, below.monthly),
        )

    def checkers(self, amount: Money | None) -> int:
        """How many checkers a payment of ``amount`` wants; a login wants none."""
        if amount is None or self.control is None:
            return 0
        return max((tier.checkers for tier in self.control if tier.applies(amount)), default=0)


_TABLES = frozenset(("row_amount", "amount", "daily", "monthly"))


def _merge(one: AmountTable, below: AmountTable) -> AmountTable:
    return {kind: {**below.get(kind, {}), **one.get(kind, {})} for kind in {*below, *one}}
