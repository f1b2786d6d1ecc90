"""Policies from TOML: every entry is known and sensible, or the file is refused.

`schema` gives the JSON Schema (draft 2020-12) of the file's content, which ships beside this
module: editors complete and check policies by it.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Callable, Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any

from ushield.algorithms import KeyAlgorithm
from ushield.bank.policy.policy import Policy
from ushield.bank.policy.reading import (
    Path,
    PolicyInvalid,
    Read,
    Table,
    integer,
    list_of,
    member,
    name_of,
    named,
    refused,
    set_of,
    text,
)
from ushield.bank.policy.terms import (
    NOT_LIMITED,
    AmountTable,
    AttestationNeed,
    Blind,
    ControlTier,
    Hours,
    Terms,
)
from ushield.errors import TransactionInvalid
from ushield.transaction.forms import UNPAID, Kind
from ushield.transaction.model import MAX_BATCH_ROWS
from ushield.transaction.money import Currency, Money

__all__ = ["MAX_POLICY", "PolicyInvalid", "load_policy", "schema"]

MAX_POLICY = 1 << 20
"""Longest policy file, in bytes."""

_VERSION = 1
_ANY = "any"
_TOGETHER = "together"
_UNLIMITED = "unlimited"
_TIME = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")
_OFFSET = re.compile(r"([+-])(0[0-9]|1[0-4]):([0-5][0-9])")
_MOST = 1_000_000_000
_MOST_CHECKERS = 16
_MOST_HOURS = 24 * 366
_KINDS = set_of(member(Kind))
_ALGORITHMS = set_of(member(KeyAlgorithm))

_Amounts = Mapping[Currency, Decimal]


def load_policy(source: str | bytes) -> Policy:
    """Read a policy (TOML, UTF-8 if bytes); `PolicyInvalid` says which entry is at fault, and why.

    Amounts are texts, such as ``"20000.00"``: a TOML float would be rounded to binary.
    """
    data = source.encode("utf-8", "surrogatepass") if isinstance(source, str) else source
    if len(data) > MAX_POLICY:
        raise PolicyInvalid(f"longer than {MAX_POLICY} bytes")
    try:
        content = tomllib.loads(data.decode())
    except UnicodeDecodeError as error:
        raise PolicyInvalid(f"byte {error.start}: not UTF-8") from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise PolicyInvalid(f"not TOML: {error}") from error
    table = Table(content, ())
    if table.take("version", integer(1, _MOST)) != _VERSION:
        raise table.error("version", f"this program reads version {_VERSION}")
    policy = Policy(
        default=table.take("default", _terms, missing=Terms()),
        profiles=table.take("profile", named(_terms), missing={}),
        customers=table.take("customer", named(_terms), missing={}),
        digest=hashlib.sha256(data).hexdigest(),
    )
    table.finish()
    return policy


def schema() -> dict[str, Any]:
    """The JSON Schema of a policy's content, once it is read from TOML."""
    from importlib.resources import files

    file = files("ushield.bank.policy").joinpath("policy.schema.json")
    loaded: dict[str, Any] = json.loads(file.read_text("utf-8"))
    return loaded


def _limit(value: Any, path: Path, currency: Currency) -> Decimal:
    if value == _UNLIMITED:
        return NOT_LIMITED
    if not isinstance(value, str):
        raise refused(path, f'an amount is a text such as "20000.00", not {name_of(value)}')
    if value.strip("0.") == "":
        raise refused(path, "no payment is below it; to forbid a kind, leave it out of kinds")
    try:
        return Money.parse(value, currency).amount
    except TransactionInvalid as error:
        problem = str(error).removeprefix("amount: ")
        raise refused(path, f'{problem}; or "{_UNLIMITED}"') from error


def _by_currency(read: Callable[[Any, Path, Currency], Decimal]) -> Read[_Amounts]:
    def read_all(value: Any, path: Path) -> _Amounts:
        found: dict[Currency, Decimal] = {}
        for name, (given, place) in named(lambda *entry: entry)(value, path).items():
            currency = member(Currency)(name, place)
            found[currency] = read(given, place, currency)
        return found

    return read_all


def _threshold(value: Any, path: Path, currency: Currency) -> Decimal:
    return Decimal(0) if value == "0" else _limit(value, path, currency)


_limits = _by_currency(_limit)
_above = _by_currency(_threshold)


def _amounts(others: str) -> Read[AmountTable]:
    """Limits by kind, those under ``others`` as `AmountTable` has them under ``None``."""

    def read(value: Any, path: Path) -> AmountTable:
        table = Table(value, path)
        found: dict[Kind | None, Mapping[Currency, Decimal]] = {}
        for name in (others, *(kind for kind in Kind if kind not in UNPAID)):
            limits = table.take(name, _limits, missing=None)
            if limits is not None:
                found[None if name == others else Kind(name)] = limits
        table.finish()
        return found

    return read


def _time(value: Any, path: Path) -> int:
    match = _TIME.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise refused(path, 'a time of day is a text such as "08:30"')
    return int(match[1]) * 60 + int(match[2])


def _offset(value: Any, path: Path) -> timedelta:
    match = _OFFSET.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise refused(path, 'an offset from UTC is a text such as "+08:00"')
    offset = timedelta(hours=int(match[2]), minutes=int(match[3]))
    return -offset if match[1] == "-" else offset


def _hours(value: Any, path: Path) -> Hours:
    table = Table(value, path)
    hours = Hours(
        start=table.take("from", _time),
        end=table.take("to", _time),
        offset=table.take("offset", _offset),
    )
    table.finish()
    if hours.start == hours.end:
        raise refused(path, "from and to are the same; without hours, payments are always taken")
    return hours


def _blind(value: Any, path: Path) -> Blind:
    table = Table(value, path)
    blind = Blind(
        kinds=table.take("kinds", _KINDS),
        amount=table.take("amount", _limits, missing={}),
        daily=table.take("daily", _limits, missing={}),
    )
    table.finish()
    return blind


def _tier(value: Any, path: Path) -> ControlTier:
    table = Table(value, path)
    tier = ControlTier(
        checkers=table.take("checkers", integer(1, _MOST_CHECKERS)),
        above=table.take("above", _above, missing={}),
    )
    table.finish()
    return tier


def _terms(value: Any, path: Path) -> Terms:
    table = Table(value, path)
    receipt = table.take("receipt", Table, missing=Table({}, path))
    batch = table.take("batch", Table, missing=Table({}, path))
    terms = Terms(
        kinds=table.take("kinds", _KINDS, missing=None),
        algorithms=table.take("algorithms", _ALGORITHMS, missing=None),
        attestation=table.take("attestation", member(AttestationNeed), missing=None),
        virtual_tokens=table.take("virtual_tokens", set_of(text), missing=None),
        milliseconds_per_page=receipt.take(
            "milliseconds_per_page", integer(0, 60_000), missing=None
        ),
        counter_gap=receipt.take("counter_gap", integer(0, _MOST), missing=None),
        payments_a_day=table.take("payments_a_day", integer(0, _MOST), missing=None),
        hours=table.take("hours", _hours, missing=None),
        blind=table.take("blind", _blind, missing=None),
        control=table.take("control", list_of(_tier), missing=None),
        proposal_hours=table.take("proposal_hours", integer(1, _MOST_HOURS), missing=None),
        batch_rows=batch.take("rows", integer(1, MAX_BATCH_ROWS), missing=None),
        row_amount=batch.take("row_amount", _limits, missing={}),
        amount=table.take("amount", _amounts(_ANY), missing={}),
        daily=table.take("daily", _amounts(_TOGETHER), missing={}),
        monthly=table.take("monthly", _amounts(_TOGETHER), missing={}),
    )
    for each in (receipt, batch, table):
        each.finish()
    return terms
