"""A policy's file, its schema, and the loader say the same; a wrong entry is named."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterator, Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from ushield.algorithms import KeyAlgorithm
from ushield.bank.policy import (
    NOT_LIMITED,
    AttestationNeed,
    Blind,
    ControlTier,
    CustomerFacts,
    Hours,
    Policy,
    PolicyInvalid,
    Terms,
    load_policy,
    schema,
)
from ushield.bank.policy.loading import MAX_POLICY
from ushield.bank.policy.review import review
from ushield.bank.policy.writing import to_table
from ushield.transaction import Currency, Kind

CNY, JPY = Currency.CNY, Currency.JPY
SCHEMA = schema()
VALIDATOR = Draft202012Validator(SCHEMA)
WHOLE = """
version = 1

[default]
kinds = ["login", "transfer"]
algorithms = ["rsa2048", "p256"]
attestation = "optional"
virtual_tokens = ["V1"]
payments_a_day = 20
hours = { from = "06:30", to = "23:00", offset = "-03:30" }
proposal_hours = 24

[default.receipt]
milliseconds_per_page = 300
counter_gap = 10

[default.blind]
kinds = ["login"]
amount = { CNY = "10.5" }
daily = { CNY = "20" }

[default.batch]
rows = 500
row_amount = { CNY = "1000", JPY = "unlimited" }

[default.amount]
any = { CNY = "100" }
transfer = { CNY = "50000.00", JPY = "1000000" }
[default.daily]
together = { CNY = "100000" }
bill = { CNY = "1" }
[default.monthly]
batch = { CNY = "unlimited" }

[profile.company]
[[profile.company.control]]
checkers = 1
[[profile.company.control]]
checkers = 2
above = { CNY = "1000000.00", JPY = "0" }

[customer."李四 1"]
kinds = []
"""
TERMS = Terms(
    kinds=frozenset((Kind.LOGIN, Kind.TRANSFER)),
    algorithms=frozenset((KeyAlgorithm.RSA_2048, KeyAlgorithm.P256)),
    attestation=AttestationNeed.OPTIONAL,
    virtual_tokens=frozenset(("V1",)),
    milliseconds_per_page=300,
    counter_gap=10,
    payments_a_day=20,
    hours=Hours(390, 1380, -timedelta(hours=3, minutes=30)),
    blind=Blind(frozenset((Kind.LOGIN,)), {CNY: Decimal("10.5")}, {CNY: Decimal(20)}),
    proposal_hours=24,
    batch_rows=500,
    row_amount={CNY: Decimal(1000), JPY: NOT_LIMITED},
    amount={None: {CNY: Decimal(100)}, Kind.TRANSFER: {CNY: Decimal(50000), JPY: Decimal(10**6)}},
    daily={None: {CNY: Decimal(100000)}, Kind.BILL: {CNY: Decimal(1)}},
    monthly={Kind.BATCH: {CNY: NOT_LIMITED}},
)


def test_every_entry_is_read() -> None:
    policy = load_policy(WHOLE)
    assert policy.default == TERMS
    tiers = (ControlTier(1), ControlTier(2, {CNY: Decimal(10**6), JPY: Decimal(0)}))
    assert policy.profiles == {"company": Terms(control=tiers)}
    assert policy.customers == {"李四 1": Terms(kinds=frozenset())}
    assert policy.digest == hashlib.sha256(WHOLE.encode()).hexdigest()
    assert load_policy(WHOLE.encode()) == policy


def test_a_file_that_states_nothing_allows_nothing() -> None:
    policy = load_policy("version = 1")
    assert policy.terms_for(CustomerFacts("c")) == Terms()
    assert review(policy) == ("default: no kinds are stated, so every transaction is refused",)


@pytest.mark.parametrize(
    ("change", "path", "words"),
    [
        (("version = 1", "version = 2"), "version", "reads version 1"),
        (("version = 1", ""), "version", "missing"),
        (("[default.daily]", "[default.dayly]"), "default.dayly", "did you mean daily?"),
        (("proposal_hours", "proposal"), "default.proposal", "did you mean proposal_hours?"),
        (("[profile.company]", "[profil.company]"), "profil", "did you mean profile?"),
        (('"transfer"]', '"tranfer"]'), "default.kinds[1]", "did you mean transfer?"),
        (('"transfer"]', '"login"]'), "default.kinds[1]", "stands twice"),
        (('["login", "transfer"]', '"login"'), "default.kinds", "a list is due, not a text"),
        (('"p256"', "256"), "default.algorithms[1]", "a text is due, not an integer"),
        (('"optional"', '"never"'), "default.attestation", "one of required, optional"),
        (('["V1"]', '[""]'), "default.virtual_tokens[0]", "1 to 64 characters"),
        (("= 20\n", "= -1\n"), "default.payments_a_day", "an integer from 0"),
        (("= 20\n", "= true\n"), "default.payments_a_day", "an integer from 0"),
        (("= 20\n", "= 20.0\n"), "default.payments_a_day", "an integer from 0"),
        (('"06:30"', '"6:30"'), "default.hours.from", 'such as "08:30"'),
        (('"06:30"', "06:30:00"), "default.hours.from", 'such as "08:30"'),
        (('"06:30"', '"23:00"'), "default.hours", "are the same"),
        (('"-03:30"', '"Z"'), "default.hours.offset", 'such as "+08:00"'),
        (('"10.5"', "10.5"), "default.blind.amount.CNY", "is a text"),
        (('"10.5"', '"0.00"'), "default.blind.amount.CNY", "leave it out of kinds"),
        (('"10.5"', '"1e3"'), "default.blind.amount.CNY", "plain decimal"),
        (('"10.5"', '"10.555"'), "default.blind.amount.CNY", "2 digits after the point"),
        (('JPY = "1000000"', 'JPY = "1.5"'), "default.amount.transfer.JPY", "0 digits"),
        (('JPY = "1000000"', 'JYP = "1"'), "default.amount.transfer.JYP", "did you mean"),
        (("any = {", "together = {"), "default.amount.together", "unknown"),
        (("bill = {", "login = {"), "default.daily.login", "unknown"),
        (("checkers = 2", "checkers = 0"), "profile.company.control[1].checkers", "from 1 to 16"),
        (("checkers = 2\n", ""), "profile.company.control[1].checkers", "missing"),
        (('"李四 1"]', '"李四 1".x]'), 'customer."李四 1".x', "unknown"),
        (("kinds = []", "kinds = 2026-01-01"), 'customer."李四 1".kinds', "not a date or time"),
    ],
)
def test_a_wrong_entry_is_named_with_what_is_due(
    change: tuple[str, str], path: str, words: str
) -> None:
    assert change[0] in WHOLE
    with pytest.raises(PolicyInvalid) as caught:
        load_policy(WHOLE.replace(*change, 1))
    assert caught.value.path == path
    assert str(caught.value).startswith(f"{path}: ")
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "text",
    ["", "[", b"\xff", "version = 1\nversion = 1", "a = " + "[" * 5000, " " * (MAX_POLICY + 1)],
    ids=lambda text: repr(text[:12]),
)
def test_what_is_no_toml_or_too_long_is_refused(text: str | bytes) -> None:
    with pytest.raises(PolicyInvalid):
        load_policy(text)


@given(st.binary(max_size=60) | st.text("version=1\n[].\"'{}#de李\ud800", max_size=40))
@settings(max_examples=60)
def test_any_bytes_are_read_or_refused_by_type(data: str | bytes) -> None:
    try:
        load_policy(data)
    except PolicyInvalid:
        return


def as_toml(content: Mapping[str, Any]) -> str:
    """The content as TOML with inline tables, for any strings, integers, floats, lists, tables."""
    return "\n".join(f"{_key(name)} = {_value(value)}" for name, value in content.items())


def _key(name: str) -> str:
    return json.dumps(name, ensure_ascii=True)


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(k)} = {_value(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    return json.dumps(value, ensure_ascii=True)


names = st.text("abc李 .\"'", min_size=1, max_size=4)
some_limits = st.dictionaries(
    st.sampled_from((CNY, Currency.USD, Currency.EUR)),
    st.integers(1, 10**17 - 1).map(lambda units: Decimal(units).scaleb(-2)) | st.just(NOT_LIMITED),
    max_size=2,
)
payment_kinds: st.SearchStrategy[Kind | None] = st.sampled_from(
    (None, Kind.TRANSFER, Kind.SHOP, Kind.BILL, Kind.BATCH)
)
tables = st.dictionaries(payment_kinds, some_limits, max_size=3)
maybe = st.none()
terms = st.builds(
    Terms,
    kinds=maybe | st.frozensets(st.sampled_from(Kind)),
    algorithms=maybe | st.frozensets(st.sampled_from(KeyAlgorithm)),
    attestation=maybe | st.sampled_from(AttestationNeed),
    virtual_tokens=maybe | st.frozensets(names),
    milliseconds_per_page=maybe | st.integers(0, 60_000),
    counter_gap=maybe | st.integers(0, 10**9),
    payments_a_day=maybe | st.integers(0, 10**9),
    hours=maybe
    | st.builds(
        Hours,
        st.integers(0, 700),
        st.integers(701, 1439),
        st.integers(-899, 899).map(lambda minutes: timedelta(minutes=minutes)),
    ),
    blind=maybe | st.builds(Blind, st.frozensets(st.sampled_from(Kind)), some_limits, some_limits),
    control=maybe
    | st.lists(st.builds(ControlTier, st.integers(1, 16), some_limits), max_size=3).map(tuple),
    proposal_hours=maybe | st.integers(1, 24 * 366),
    batch_rows=maybe | st.integers(1, 100_000),
    row_amount=some_limits,
    amount=tables,
    daily=tables,
    monthly=tables,
)


@given(terms, st.dictionaries(names, terms, max_size=1))
@settings(max_examples=60)
def test_terms_are_written_as_they_are_read_and_the_schema_takes_them(
    default: Terms, profiles: dict[str, Terms]
) -> None:
    content = {
        "version": 1,
        "default": to_table(default),
        "profile": {name: to_table(each) for name, each in profiles.items()},
    }
    policy = load_policy(as_toml(content))
    assert (policy.default, policy.profiles) == (default, profiles)
    assert VALIDATOR.is_valid(content)
    review(policy)


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert VALIDATOR.is_valid(whole())


def test_schema_and_code_have_the_same_names() -> None:
    definitions = SCHEMA["$defs"]
    properties = definitions["terms"]["properties"]
    kinds = {kind.value for kind in Kind}
    assert set(properties["kinds"]["items"]["enum"]) == kinds
    assert set(properties["blind"]["properties"]["kinds"]["items"]["enum"]) == kinds
    assert set(properties["amount"]["properties"]) == kinds - {"login", "renewal"} | {"any"}
    for name in ("daily", "monthly"):
        assert set(properties[name]["properties"]) == kinds - {"login", "renewal"} | {"together"}
    assert set(properties["algorithms"]["items"]["enum"]) == set(KeyAlgorithm)
    assert properties["attestation"]["enum"] == list(AttestationNeed)
    assert definitions["currency"]["enum"] == list(Currency)
    whole_terms = to_table(TERMS) | to_table(Terms(control=()))
    assert set(properties) == set(whole_terms)


def whole() -> dict[str, Any]:
    import tomllib

    return tomllib.loads(WHOLE)


BAD_VALUES: tuple[Any, ...] = (
    1.5, -1, True, "", "x" * 65, "1.2345", "0.0", "25:00", [], ["x"], {"x": "1"}, {"CNY": 1},
)  # fmt: skip


def _mutations(value: Any) -> Iterator[Any]:
    """Every content with one entry removed, added, or replaced by a bad value."""
    if isinstance(value, dict):
        for name, member in value.items():
            rest = {key: kept for key, kept in value.items() if key != name}
            yield rest
            yield {**rest, f"{name}x": member}
            for changed in (*BAD_VALUES, *_mutations(member)):
                yield {**value, name: changed}
        yield {**value, "extra": "x"}
    elif isinstance(value, list):
        yield value + value
        for position, member in enumerate(value):
            for changed in (*BAD_VALUES, *_mutations(member)):
                yield [*value[:position], changed, *value[position + 1 :]]


def test_what_the_schema_refuses_the_loader_refuses_and_names() -> None:
    refused = 0
    for content in _mutations(whole()):
        if VALIDATOR.is_valid(content):
            continue
        refused += 1
        with pytest.raises(PolicyInvalid) as caught:
            load_policy(as_toml(copy.deepcopy(content)))
        assert caught.value.path is not None, content
    assert refused > 500


def test_remarks_are_on_what_is_let_through_and_on_what_can_never_pass() -> None:
    assert review(load_policy(WHOLE)) == (
        "default: virtual tokens may sign: V1",
        "default: keys may sign that no token attested",
        "default: no screen is wanted for: login",
    )
    policy = Policy(
        default=Terms(kinds=frozenset((Kind.BATCH,)), amount={Kind.BATCH: {CNY: NOT_LIMITED}}),
        profiles={"shop": Terms(kinds=frozenset((Kind.SHOP,)))},
        customers={"c": Terms(virtual_tokens=frozenset(("V2",)))},
    )
    assert review(policy) == (
        "default: batch may be of any amount in CNY",
        "customer c: virtual tokens may sign: V2",
        "default: a batch wants no checker",
        "profile shop: no amount is stated for shop, so every one is refused",
    )
