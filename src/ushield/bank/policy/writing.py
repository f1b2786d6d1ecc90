"""Terms as they stand in a policy's file: what `load_policy` makes of it is these terms again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any

from ushield.bank.policy.terms import NOT_LIMITED, AmountTable, Hours, Terms
from ushield.transaction.forms import Kind
from ushield.transaction.money import Currency

__all__ = ["to_table"]


def to_table(terms: Terms) -> dict[str, Any]:
    """The table of these terms, of texts, integers, lists and tables; what is open is left out."""
    blind = terms.blind
    table: dict[str, Any] = {
        "kinds": _names(terms.kinds),
        "algorithms": _names(terms.algorithms),
        "attestation": terms.attestation and terms.attestation.value,
        "virtual_tokens": _names(terms.virtual_tokens),
        "payments_a_day": terms.payments_a_day,
        "hours": terms.hours and _hours(terms.hours),
        "blind": blind
        and {
            "kinds": _names(blind.kinds),
            "amount": _limits(blind.amount),
            "daily": _limits(blind.daily),
        },
        "control": None
        if terms.control is None
        else [{"checkers": tier.checkers, "above": _limits(tier.above)} for tier in terms.control],
        "proposal_hours": terms.proposal_hours,
        "receipt": _stated(
            milliseconds_per_page=terms.milliseconds_per_page, counter_gap=terms.counter_gap
        ),
        "batch": _stated(rows=terms.batch_rows, row_amount=_limits(terms.row_amount) or None),
        "amount": _amounts(terms.amount, "any"),
        "daily": _amounts(terms.daily, "together"),
        "monthly": _amounts(terms.monthly, "together"),
    }
    return {name: value for name, value in table.items() if value is not None}


def _stated(**entries: Any) -> dict[str, Any] | None:
    return {name: value for name, value in entries.items() if value is not None} or None


def _names(names: Iterable[str] | None) -> list[str] | None:
    return None if names is None else sorted(map(str, names))


def _limits(limits: Mapping[Currency, Decimal]) -> dict[str, str]:
    return {currency.value: _limit(limit, currency) for currency, limit in sorted(limits.items())}


def _limit(limit: Decimal, currency: Currency) -> str:
    if limit == NOT_LIMITED:
        return "unlimited"
    return f"{limit:.{currency.digits}f}" if limit else "0"


def _amounts(table: AmountTable, others: str) -> dict[str, dict[str, str]] | None:
    order: tuple[Kind | None, ...] = (None, *Kind)
    found = {kind or others: _limits(table[kind]) for kind in order if kind in table}
    return {str(name): limits for name, limits in found.items()} or None


def _hours(hours: Hours) -> dict[str, str]:
    sign, offset = ("-", -hours.offset) if hours.offset < timedelta(0) else ("+", hours.offset)
    minutes = offset // timedelta(minutes=1)
    return {
        "from": f"{hours.start // 60:02}:{hours.start % 60:02}",
        "to": f"{hours.end // 60:02}:{hours.end % 60:02}",
        "offset": f"{sign}{minutes // 60:02}:{minutes % 60:02}",
    }
