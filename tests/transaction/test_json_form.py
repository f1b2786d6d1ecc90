"""The JSON form, its schema, and the model say the same."""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from tests.transaction.strategies import BATCH_ROWS, EXAMPLES, TRANSFER, transactions
from ushield.errors import TransactionInvalid
from ushield.transaction import (
    BatchTally,
    Currency,
    Kind,
    Transaction,
    batch_from_json,
    from_json,
    schema,
    to_json,
    write_message,
)
from ushield.transaction.forms import FORMS, MONEY
from ushield.transaction.json_members import MAX_JSON

SCHEMA = schema()
VALIDATOR = Draft202012Validator(SCHEMA)
DOCUMENTED = {
    "kind": "transfer",
    "payer": {"name": "李四", "account": "6222020200001111222"},
    "payee": {
        "name": "张三",
        "account": "6222020200003333444",
        "bank": "中国工商银行北京分行",
    },
    "amount": "1234.56",
    "currency": "CNY",
    "order": "HQH000000000000",
    "memo": "货款",
    "challenge": "8d0e3f",
    "expires": "2024-12-08T11:26:07Z",
}


def test_a_transfer_is_written_as_documented() -> None:
    assert to_json(TRANSFER) == DOCUMENTED
    assert from_json(json.dumps(DOCUMENTED).encode()) == TRANSFER


@given(transactions())
@settings(max_examples=120)
def test_what_the_model_takes_reads_back_and_the_schema_takes_it(transaction: Transaction) -> None:
    form = to_json(transaction)
    assert from_json(form) == transaction
    assert from_json(json.dumps(form)) == transaction
    assert VALIDATOR.is_valid(form)


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("kind", Kind)
def test_schema_and_model_have_the_same_fields(kind: Kind) -> None:
    form = FORMS[kind]
    described = SCHEMA["$defs"][kind]
    required, known = {"kind"}, {"kind"}
    for entry in form.entries:
        names = {entry.path.partition(".")[0]} | ({"currency"} if entry.shape is MONEY else set())
        known |= names
        if entry.required:
            required |= names
    assert set(described["properties"]) == known
    assert set(described["required"]) == required
    fields = dataclasses.fields(form.model)
    assert {field.name for field in fields} | {"kind", "currency"} == known | {"currency"}
    optional = {field.name for field in fields if field.default is not dataclasses.MISSING}
    assert optional == known - required


def test_schema_and_model_have_the_same_kinds_and_currencies() -> None:
    assert SCHEMA["oneOf"] == [{"$ref": f"#/$defs/{kind}"} for kind in Kind]
    assert SCHEMA["$defs"]["currency"]["enum"] == list(Currency)


BAD_VALUES: tuple[Any, ...] = (
    None, 1, 1234.56, True, "", " ", " x", "x ", "x" * 101, "\u0001", [], {}, ["x"], "1e3", "-1"
)  # fmt: skip


def _mutations(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every object with one member removed, added, renamed, or replaced by a bad value."""
    for name, member in value.items():
        rest = {key: kept for key, kept in value.items() if key != name}
        yield (*path, name), rest
        yield (*path, name), {**rest, name.upper(): member}
        for bad in BAD_VALUES:
            yield (*path, name), {**value, name: bad}
        if isinstance(member, dict):
            for where, changed in _mutations(member, (*path, name)):
                yield where, {**value, name: changed}
    yield path, {**value, "extra": "x"}


@pytest.mark.parametrize("transaction", EXAMPLES, ids=lambda t: type(t).__name__)
def test_what_the_schema_refuses_the_model_refuses(transaction: Transaction) -> None:
    refused = 0
    for path, changed in _mutations(to_json(transaction)):
        if VALIDATOR.is_valid(changed):
            continue
        refused += 1
        with pytest.raises(TransactionInvalid) as caught:
            from_json(copy.deepcopy(changed))
        assert caught.value.field is not None, path
    assert refused > 50


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        ("amount", 1234.56, "amount"),
        ("amount", 1234, "amount"),
        ("amount", "1234.567", "amount"),
        ("currency", "ABC", "currency"),
        ("currency", ["CNY"], "currency"),
        ("kind", "gift", "kind"),
        ("kind", ["transfer"], "kind"),
        ("payee", "张三", "payee"),
        ("payee", {"name": "张三", "account": "6222"}, "payee.bank"),
        ("payee", {"name": "张\u202e三", "account": "6222", "bank": "x"}, "payee.name"),
        ("payer", {"name": "李四", "account": "6222", "bank": "x"}, "payer.bank"),
        ("memo", None, "memo"),
        ("memo", "\ud800", "memo"),
        ("challenge", "a b", "challenge"),
        ("expires", "2024-02-30T00:00:00Z", "expires"),
        ("expires", "2024-12-08T11:26:07+00:00", "expires"),
        ("fee", "1", "fee"),
    ],
)
def test_a_refusal_names_the_field(path: str, value: Any, field: str) -> None:
    with pytest.raises(TransactionInvalid) as caught:
        from_json({**DOCUMENTED, path: value})
    assert caught.value.field == field


def test_the_total_of_a_batch_is_named_as_such() -> None:
    with pytest.raises(TransactionInvalid, match=r"^total: ") as caught:
        from_json({**to_json(EXAMPLES[4]), "total": "1.234"})
    assert caught.value.field == "total"


@pytest.mark.parametrize("digest", ["AB" * 32, "ab" * 31, "a b" * 21 + "a", "zz" * 32])
def test_the_digest_of_a_batch_has_one_form(digest: str) -> None:
    with pytest.raises(TransactionInvalid) as caught:
        from_json({**to_json(EXAMPLES[4]), "digest": digest})
    assert caught.value.field == "digest"


def test_a_member_that_stands_twice_is_refused() -> None:
    text = json.dumps(DOCUMENTED)[:-1] + ', "amount": "1.00"}'
    with pytest.raises(TransactionInvalid, match="amount: stands twice"):
        from_json(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '"transfer"',
        "null",
        b"\xff\xfe",
        "\ufeff{}",
        "[" * 60000,
        '{"kind": ' + "9" * 5000 + "}",
        " " * (MAX_JSON + 1),
    ],
    ids=lambda text: repr(text[:12]),
)
def test_text_that_is_no_json_object_is_refused(text: str | bytes) -> None:
    with pytest.raises(TransactionInvalid):
        from_json(text)


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists, max_leaves=4))
def test_any_json_value_in_any_place_is_taken_or_refused_by_type(value: Any) -> None:
    for name in DOCUMENTED:
        try:
            from_json({**DOCUMENTED, name: value})
        except TransactionInvalid:
            continue


BATCH = EXAMPLES[4]
COUNTED = ("count", "total", "currency", "digest")


def tally() -> BatchTally:
    found = BatchTally()
    for row in BATCH_ROWS:
        found.add(row)
    return found


def test_the_digest_of_a_batch_is_plain_in_json_and_in_groups_in_the_message() -> None:
    digest = to_json(BATCH)["digest"]
    assert len(digest) == 64
    groups = " ".join(digest[at : at + 4] for at in range(0, 64, 4))
    assert groups.encode() in write_message(BATCH)
    with pytest.raises(TransactionInvalid):
        from_json({**to_json(BATCH), "digest": groups})


def test_a_batch_may_leave_to_its_rows_what_they_give() -> None:
    whole = to_json(BATCH)
    short = {name: value for name, value in whole.items() if name not in COUNTED}
    assert batch_from_json(short, tally()) == BATCH
    assert batch_from_json(json.dumps(whole).encode(), tally()) == BATCH


@pytest.mark.parametrize(
    ("name", "value"),
    [("count", 3), ("total", "3.5"), ("currency", "USD"), ("digest", "0" * 64), ("kind", "shop")],
)
def test_a_batch_that_says_otherwise_than_its_rows_is_refused(name: str, value: Any) -> None:
    with pytest.raises(TransactionInvalid) as caught:
        batch_from_json({**to_json(BATCH), name: value}, tally())
    assert caught.value.field == name


def test_without_rows_there_is_no_batch() -> None:
    with pytest.raises(TransactionInvalid, match="there are none"):
        batch_from_json(to_json(BATCH), BatchTally())
