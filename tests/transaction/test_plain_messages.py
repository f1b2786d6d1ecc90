"""A plain message is told by one look, and says what it says when it is read field by field."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.transaction.strategies import EXAMPLES, TRANSFER, transactions
from ushield.errors import MessageInvalid
from ushield.transaction import Transaction, parse_message, write_message
from ushield.transaction.fields import Field, write_fields
from ushield.transaction.forms import FORMS, KIND_LABEL, Form
from ushield.transaction.message import Message, examine_message
from ushield.transaction.plain_messages import read_plain

_ODD = " <>&;0,.-Z\u3000é\u0301\u200b\u9fa6\U00020bb7\n"


@st.composite
def plain_messages(draw: st.DrawFn) -> bytes:
    form: Form = draw(st.sampled_from([*FORMS.values()]))
    parts: dict[bool, list[Field]] = {True: [Field(KIND_LABEL, form.title)], False: []}
    for entry in form.entries:
        if entry.required or draw(st.booleans()):
            value = draw(st.from_regex(entry.shape.plain, fullmatch=True))
            parts[entry.shown].append(Field(entry.label, value))
    return write_fields(parts[True], parts[False])


def _facts(message: Message) -> tuple[object, ...]:
    return message.labels, message.values, message.shown_count, message.transaction


@given(plain_messages())
@settings(max_examples=300)
def test_whatever_the_shapes_of_a_form_match_is_a_message(data: bytes) -> None:
    assert read_plain(data.decode()) is not None
    examined = examine_message(data)
    assert _facts(parse_message(data)) == _facts(examined)
    assert write_message(examined.transaction) == data


@given(transactions(), st.data())
@settings(max_examples=300)
def test_a_changed_message_is_plain_only_if_it_is_a_message(
    transaction: Transaction, data: st.DataObject
) -> None:
    text = write_message(transaction).decode()
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 3)))
    changed = text[:start] + data.draw(st.text(_ODD, max_size=3)) + text[end:]
    encoded = changed.encode()
    if read_plain(changed) is not None:
        assert _facts(parse_message(encoded)) == _facts(examine_message(encoded))


@pytest.mark.parametrize("transaction", EXAMPLES, ids=lambda each: type(each).__name__)
def test_ordinary_messages_of_every_kind_are_plain(transaction: Transaction) -> None:
    assert read_plain(write_message(transaction).decode()) is not None


@pytest.mark.parametrize(
    ("form", "other"),
    [
        ("张三", "张 三 "),
        ("张三", "张  三"),
        pytest.param("张三", "张" * 61, id="a name of 61 characters"),
        ("张三", "e\u0301"),
        ("1,234.56 CNY", "0.00 CNY"),
        ("1,234.56 CNY", "1,234.567 CNY"),
        ("1,234.56 CNY", "1,234.56 JPY"),
        ("1,234.56 CNY", "1234.56 CNY"),
        ("1,234.56 CNY", "1,000,000,000,000,000.00 CNY"),
        pytest.param("6222020200003333444", "6" * 41, id="an account of 41 digits"),
        pytest.param("8d0e3f", "8" * 65, id="a challenge of 65 digits"),
        ("2024-12-08", "2023-02-29"),
        ("2024-12-08", "2024-06-31"),
        ("T11:26:07Z", "T24:00:00Z"),
        ("T11:26:07Z", "T11:26:60Z"),
        ("<k>附言", "<k>附 言"),
    ],
)
def test_what_is_no_message_is_not_plain(form: str, other: str) -> None:
    text = write_message(TRANSFER).decode().replace(form, other)
    assert read_plain(text) is None
    with pytest.raises(MessageInvalid):
        parse_message(text.encode())
