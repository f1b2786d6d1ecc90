"""Rules on what is paid: kinds, amounts, sums of a day and a month, hours."""

from __future__ import annotations

from decimal import Decimal

from ushield.bank.policy.facts import PaymentFacts, Sums, exact_sum
from ushield.bank.policy.refusal import rule
from ushield.bank.policy.terms import AmountTable, Terms
from ushield.transaction.money import Currency

__all__ = ["AMOUNT_RULES", "display"]


def display(amount: Decimal, currency: Currency) -> str:
    """An amount of money as people read it; unlike `Money`, it may be zero."""
    return f"{amount:,.{currency.digits}f} {currency}"


@rule("profile-unknown")
def profile_unknown(facts: PaymentFacts, terms: Terms) -> str | None:
    """the customer has a profile that the policy does not know"""
    if facts.customer.profile == terms.profile:
        return None
    return f"no profile is called {facts.customer.profile!r}"


@rule("kind-not-allowed")
def kind_not_allowed(facts: PaymentFacts, terms: Terms) -> str | None:
    """the customer may not do this kind of transaction"""
    if terms.kinds is not None and facts.kind in terms.kinds:
        return None
    return f"the customer may not do a {facts.kind}"


@rule("currency-not-allowed")
def currency_not_allowed(facts: PaymentFacts, terms: Terms) -> str | None:
    """no limit is stated for this kind in this currency"""
    if facts.amount is None or _limit(facts, terms.amount) is not None:
        return None
    return f"no amount of {facts.amount.currency} is allowed for a {facts.kind}"


@rule("amount-over-limit")
def amount_over_limit(facts: PaymentFacts, terms: Terms) -> str | None:
    """the amount is over the limit for one payment of its kind"""
    limit = _limit(facts, terms.amount)
    if facts.amount is None or limit is None or facts.amount.amount <= limit:
        return None
    limit_text = display(limit, facts.amount.currency)
    return f"{facts.amount.display} is over the limit of {limit_text} for a {facts.kind}"


@rule("sums-unknown")
def sums_unknown(facts: PaymentFacts, terms: Terms) -> str | None:
    """a sum or a number of payments is limited, and nobody said what has been paid"""
    if facts.amount is None:
        return None
    currency = facts.amount.currency
    tables = (("today", terms.daily, facts.today), ("this month", terms.monthly, facts.month))
    for when, table, paid in tables:
        limited = any(currency in table.get(kind, {}) for kind in (facts.kind, None))
        if limited and paid is None:
            return f"nobody said what the customer has paid {when}"
    if terms.payments_a_day is not None and facts.payments_today is None:
        return "nobody said how often the customer has paid today"
    if facts.is_blind and terms.blind is not None and facts.blind_today is None:
        return "nobody said what the customer has paid today without a screen"
    return None


@rule("daily-total-over-limit")
def daily_total_over_limit(facts: PaymentFacts, terms: Terms) -> str | None:
    """with it, the day's sum is over the limit, for its kind or for all kinds together"""
    return _over_total(facts, terms.daily, facts.today, "today")


@rule("monthly-total-over-limit")
def monthly_total_over_limit(facts: PaymentFacts, terms: Terms) -> str | None:
    """with it, the month's sum is over the limit, for its kind or for all kinds together"""
    return _over_total(facts, terms.monthly, facts.month, "this month")


@rule("daily-count-over-limit")
def daily_count_over_limit(facts: PaymentFacts, terms: Terms) -> str | None:
    """the customer has paid as often today as is allowed"""
    if facts.amount is None or terms.payments_a_day is None:
        return None
    before = facts.payments_today or 0
    if before < terms.payments_a_day:
        return None
    return f"{before} payments today, {terms.payments_a_day} are allowed"


@rule("outside-hours")
def outside_hours(facts: PaymentFacts, terms: Terms) -> str | None:
    """it comes at a time of day at which the bank takes no payments"""
    if facts.amount is None or terms.hours is None or terms.hours.include(facts.at):
        return None
    return "no payments are taken at this time of day"


@rule("transaction-expired")
def transaction_expired(facts: PaymentFacts, terms: Terms) -> str | None:
    """the expiry that was signed has passed"""
    expires = facts.transaction.expires
    if expires is None or facts.at < expires:
        return None
    return f"it was to be taken before {expires:%Y-%m-%d %H:%M:%S} UTC"


AMOUNT_RULES = (
    profile_unknown,
    kind_not_allowed,
    currency_not_allowed,
    amount_over_limit,
    sums_unknown,
    daily_total_over_limit,
    monthly_total_over_limit,
    daily_count_over_limit,
    outside_hours,
    transaction_expired,
)


def _limit(facts: PaymentFacts, table: AmountTable) -> Decimal | None:
    if facts.amount is None:
        return None
    currency = facts.amount.currency
    return table.get(facts.kind, {}).get(currency, table.get(None, {}).get(currency))


def _over_total(
    facts: PaymentFacts, table: AmountTable, paid: Sums | None, when: str
) -> str | None:
    if facts.amount is None:
        return None
    paid = paid or Sums()
    currency = facts.amount.currency
    for kind, what in ((facts.kind, f" for a {facts.kind}"), (None, "")):
        limit = table.get(kind, {}).get(currency)
        total = exact_sum(paid.of(currency, kind), facts.amount.amount)
        if limit is not None and total > limit:
            return (
                f"{display(total, currency)} {when} is over the limit of"
                f" {display(limit, currency)}{what}"
            )
    return None
