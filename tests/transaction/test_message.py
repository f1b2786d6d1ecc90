"""One transaction, one message; one message, one transaction."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.transaction.strategies import EXAMPLES, TRANSFER, transactions
from ushield.errors import MessageInvalid
from ushield.transaction import (
    HIDDEN_LABELS,
    KIND_LABEL,
    MAX_MESSAGE,
    Login,
    Transaction,
    parse_message,
    write_message,
)

GOOD = write_message(TRANSFER).decode()
XML = '<?xml version="1.0" encoding="UTF-8"?>'


def test_a_transfer_is_written_as_documented() -> None:
    expected = (
        f"{XML}<T><D>"
        "<M><k>业务</k><v>转账汇款</v></M>"
        "<M><k>收款人</k><v>张三</v></M>"
        "<M><k>收款账号</k><v>6222020200003333444</v></M>"
        "<M><k>收款行</k><v>中国工商银行北京分行</v></M>"
        "<M><k>金额</k><v>1,234.56 CNY</v></M>"
        "<M><k>付款人</k><v>李四</v></M>"
        "<M><k>付款账号</k><v>6222020200001111222</v></M>"
        "<M><k>附言</k><v>货款</v></M>"
        "</D><E>"
        "<M><k>银行订单号</k><v>HQH000000000000</v></M>"
        "<M><k>挑战码</k><v>8d0e3f</v></M>"
        "<M><k>有效期</k><v>2024-12-08T11:26:07Z</v></M>"
        "</E></T>"
    )
    assert write_message(TRANSFER) == expected.encode()


@given(transactions())
@settings(max_examples=150)
def test_every_transaction_reads_back_from_its_message(transaction: Transaction) -> None:
    data = write_message(transaction)
    assert len(data) <= MAX_MESSAGE
    assert parse_message(data).transaction == transaction


@given(transactions())
@settings(max_examples=80)
def test_an_xml_parser_reads_the_same_fields(transaction: Transaction) -> None:
    data = write_message(transaction)
    message = parse_message(data)
    root = ET.fromstring(data.decode())
    assert [child.tag for child in root] == ["D", "E"]
    for part, fields in zip(root, (message.shown, message.hidden), strict=True):
        assert [[(e.tag, e.text) for e in m] for m in part] == [
            [("k", label), ("v", value)] for label, value in fields
        ]


@pytest.mark.parametrize("transaction", EXAMPLES, ids=lambda t: type(t).__name__)
def test_every_kind_says_first_what_it_is_and_hides_only_what_is_listed(
    transaction: Transaction,
) -> None:
    message = parse_message(write_message(transaction))
    assert message.shown[0].label == KIND_LABEL
    assert [field.label for field in message.hidden if field.label not in HIDDEN_LABELS] == []
    labels = [field.label for field in message.shown + message.hidden]
    assert len(set(labels)) == len(labels)


def test_a_shop_payment_shows_its_order_and_its_amount() -> None:
    shown = dict(parse_message(write_message(EXAMPLES[1])).shown)
    assert (shown["订单号"], shown["金额"]) == ("20241208-0001", "88.00 CNY")


def _changed(old: str, new: str) -> str:
    assert GOOD.count(old) >= 1
    return GOOD.replace(old, new, 1)


PAYEE_FIELD = "<M><k>收款人</k><v>张三</v></M>"
BANK_FIELD = "<M><k>收款行</k><v>中国工商银行北京分行</v></M>"
CHALLENGE_FIELD = "<M><k>挑战码</k><v>8d0e3f</v></M>"
REFUSED = {
    "empty": "",
    "no declaration": GOOD.removeprefix(XML),
    "byte order mark": "\ufeff" + GOOD,
    "other encoding named": _changed("UTF-8", "GBK"),
    "standalone": _changed('"UTF-8"', '"UTF-8" standalone="yes"'),
    "doctype": _changed("<T>", "<!DOCTYPE T><T>"),
    "doctype with entity": _changed("<T>", '<!DOCTYPE T [<!ENTITY x "y">]><T>'),
    "own entity": _changed("张三", "&x;"),
    "character reference": _changed("张三", "&#24352;三"),
    "hexadecimal reference": _changed("张三", "&#x5F20;三"),
    "quot, which need not be escaped": _changed("张三", "张&quot;三"),
    "apos, which need not be escaped": _changed("张三", "张&apos;三"),
    "bare ampersand": _changed("张三", "张&三"),
    "ampersand without semicolon": _changed("张三", "张&amp三"),
    "bare greater-than": _changed("张三", "张>三"),
    "attribute": _changed("<k>", '<k a="b">'),
    "attribute on the root": _changed("<T>", '<T xmlns="x">'),
    "comment between": _changed("<D>", "<D><!-- -->"),
    "comment inside": _changed("张三", "张<!-- -->三"),
    "cdata": _changed("张三", "<![CDATA[张三]]>"),
    "processing instruction": _changed("<D>", "<D><?x y?>"),
    "unknown element": _changed("<D>", "<D><X></X>"),
    "nested element": _changed("张三", "<b>张三</b>"),
    "empty-element tag": _changed("<v>张三</v>", "<v/>"),
    "space in a tag": _changed("<k>", "<k >"),
    "space between": _changed("</M><M>", "</M> <M>"),
    "line feed at the end": GOOD + "\n",
    "second root": GOOD + "<T></T>",
    "value before label": _changed("<k>收款人</k><v>张三</v>", "<v>张三</v><k>收款人</k>"),
    "second value": _changed("<v>张三</v>", "<v>张三</v><v>李四</v>"),
    "no value": _changed("<v>张三</v>", ""),
    "empty value": _changed("张三", ""),
    "second D": _changed("<E>", "<D></D><E>"),
    "no E": GOOD[: GOOD.index("<E>")] + "</T>",
    "unknown field": _changed("收款人", "受益人"),
    "field twice": _changed(PAYEE_FIELD, PAYEE_FIELD * 2),
    "field out of order": _changed(PAYEE_FIELD, "").replace(BANK_FIELD, BANK_FIELD + PAYEE_FIELD),
    "field missing": _changed(PAYEE_FIELD, ""),
    "challenge missing": _changed(CHALLENGE_FIELD, ""),
    "challenge shown": _changed(CHALLENGE_FIELD, "").replace("</D>", CHALLENGE_FIELD + "</D>"),
    "amount hidden": _changed("<M><k>金额</k><v>1,234.56 CNY</v></M>", "").replace(
        "<E>", "<E><M><k>金额</k><v>1,234.56 CNY</v></M>"
    ),
    "kind missing": _changed("<M><k>业务</k><v>转账汇款</v></M>", ""),
    "kind not first": _changed("<M><k>业务</k><v>转账汇款</v></M>", "").replace(
        "</D>", "<M><k>业务</k><v>转账汇款</v></M></D>"
    ),
    "kind unknown": _changed("转账汇款", "赠与"),
    "other kind's fields": _changed("转账汇款", "登录"),
    "too many fields": _changed("</D>", PAYEE_FIELD * 20 + "</D>"),
    "amount without separators": _changed("1,234.56 CNY", "1234.56 CNY"),
    "amount with too many digits": _changed("1,234.56 CNY", "1,234.567 CNY"),
    "amount with too few digits": _changed("1,234.56 CNY", "1,234.5 CNY"),
    "amount of zero": _changed("1,234.56 CNY", "0.00 CNY"),
    "negative amount": _changed("1,234.56 CNY", "-1,234.56 CNY"),
    "amount in full-width digits": _changed("1,234.56 CNY", "\uff11,234.56 CNY"),
    "amount without currency": _changed("1,234.56 CNY", "1,234.56"),
    "control": _changed("张三", "张\u0001三"),
    "line feed in a value": _changed("张三", "张\n三"),
    "bidi": _changed("张三", "张\u202e三"),
    "zero-width": _changed("张三", "张\u200b三"),
    "decomposed": _changed("张三", "Cafe\u0301"),
    "space at the end of a value": _changed("张三", "张三 "),
    "expiry on no day": _changed("2024-12-08", "2024-02-30"),
    "expiry at an hour of 24": _changed("T11:26:07Z", "T24:00:00Z"),
    "count with a zero in front": write_message(EXAMPLES[4])
    .decode()
    .replace("<k>笔数</k><v>2</v>", "<k>笔数</k><v>02</v>"),
    "expiry in basic form": _changed("2024-12-08T11:26:07Z", "20241208T112607Z"),
    "expiry not padded": _changed("2024-12-08", "2024-12-8"),
    "expiry with an offset": _changed("11:26:07Z", "11:26:07+00:00"),
    "text too long": _changed("货款", "货" * 101),
    "cut short": GOOD[:-1],
}


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED.keys())
def test_any_other_form_is_refused(text: str) -> None:
    with pytest.raises(MessageInvalid):
        parse_message(text.encode())


@pytest.mark.parametrize(
    ("form", "reason"),
    [
        ("unknown field", "field '受益人' does not belong here"),
        ("challenge shown", "field '挑战码' does not belong here"),
        ("field twice", "field 收款人 stands twice"),
        ("field out of order", "field 收款人 is out of order"),
        ("field missing", "field 收款人 is missing"),
        ("kind not first", "the first field must be 业务"),
        ("kind unknown", "no such kind of transaction"),
        ("too many fields", "more than 16 fields"),
        ("expiry at an hour of 24", "a time such as"),
        ("count with a zero in front", "a value is not written in its one form"),
    ],
)
def test_a_refusal_says_what_is_wrong_with_the_fields(form: str, reason: str) -> None:
    with pytest.raises(MessageInvalid, match=reason):
        parse_message(REFUSED[form].encode())


def test_a_refusal_names_the_byte_where_reading_stopped() -> None:
    text = _changed("李四", "李&四")
    at = text.encode().index(b"&\xe5")
    with pytest.raises(MessageInvalid, match=re.escape(f"byte {at}: only &amp;")):
        parse_message(text.encode())


def test_bytes_that_are_not_utf_8_are_refused_at_their_place() -> None:
    data = GOOD.encode().replace("张".encode(), b"\xc0\x80")
    with pytest.raises(MessageInvalid, match=f"byte {data.index(0xC0)}: not UTF-8"):
        parse_message(data)


def test_an_encoded_surrogate_is_refused() -> None:
    with pytest.raises(MessageInvalid, match="not UTF-8"):
        parse_message(GOOD.encode().replace("张".encode(), b"\xed\xa1\x82"))


def test_a_message_above_the_limit_is_refused_unread() -> None:
    with pytest.raises(MessageInvalid, match="4097 bytes"):
        parse_message(b"<" * (MAX_MESSAGE + 1))


def test_every_prefix_is_refused() -> None:
    data = GOOD.encode()
    for length in range(len(data)):
        with pytest.raises(MessageInvalid):
            parse_message(data[:length])


@given(st.data())
@settings(max_examples=300)
def test_what_is_read_at_all_is_what_would_be_written(data: st.DataObject) -> None:
    good = write_message(data.draw(st.sampled_from(EXAMPLES)))
    at = data.draw(st.integers(0, len(good) - 1))
    replaced = data.draw(st.integers(0, 4))
    changed = good[:at] + data.draw(st.binary(max_size=4)) + good[at + replaced :]
    try:
        message = parse_message(changed)
    except MessageInvalid:
        return
    assert write_message(message.transaction) == changed


@given(st.binary(max_size=200))
@example(XML.encode() + b"<T><D><M>")
@example(XML.encode() + b"<T><D></D><E></E></T>")
def test_garbage_is_refused_and_nothing_else_happens(data: bytes) -> None:
    with pytest.raises(MessageInvalid):
        parse_message(data)


def test_the_three_escaped_characters_come_back() -> None:
    login = Login(site="a&b<c>d&amp;", customer="\"'", challenge="c")
    data = write_message(login)
    assert b"a&amp;b&lt;c&gt;d&amp;amp;" in data
    assert parse_message(data).transaction == login
