"""BER-TLV data objects (ISO/IEC 7816-4, clause 6.3): what is written is read, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ushield.errors import TlvInvalid
from ushield.iso7816.tlv import MAX_DEPTH, Template, Tlv, encode, parse, parse_one, read_template

primitive_tags = st.one_of(
    st.integers(1, 0xFF).filter(lambda tag: tag & 0x1F != 0x1F and not tag & 0x20),
    st.builds(
        lambda first, last: first << 8 | last,
        st.sampled_from([0x1F, 0x5F, 0x9F, 0xDF]),
        st.integers(0x1F, 0x7F),
    ),
    st.builds(
        lambda first, middle, last: first << 16 | middle << 8 | last,
        st.sampled_from([0x1F, 0x5F, 0x9F, 0xDF]),
        st.integers(0x81, 0xFF),
        st.integers(0, 0x7F),
    ),
)
constructed_tags = st.sampled_from([0x20, 0x61, 0x6F, 0x7F49, 0xA5, 0xE2, 0xFF8120])
primitive = st.builds(Tlv, primitive_tags, st.binary(max_size=300))
objects = st.recursive(
    primitive,
    lambda inner: st.builds(
        lambda tag, items: Tlv(tag, b"".join(item.encode() for item in items)),
        constructed_tags,
        st.lists(inner, max_size=4),
    ),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("tag", "value", "encoded"),
    [
        (0x84, b"", "8400"),
        (0x84, b"\x01", "840101"),
        (0x5F2D, b"zh", "5f2d027a68"),  # clause 6.3, a tag of two bytes
        (0xDF8101, b"", "df810100"),
    ],
)
def test_tag_and_length_come_in_their_shortest_form(tag: int, value: bytes, encoded: str) -> None:
    assert encode(tag, value).hex() == encoded


@pytest.mark.parametrize(
    ("size", "length"),
    [
        (0x7F, "7f"),
        (0x80, "8180"),
        (0xFF, "81ff"),
        (0x100, "820100"),
        (0xFFFF, "82ffff"),
        (0x10000, "83010000"),
    ],
)
def test_the_length_field_grows_with_the_value(size: int, length: str) -> None:
    encoded = encode(0x04, bytes(size))
    assert encoded[1:-size].hex() == length
    assert parse_one(encoded) == Tlv(0x04, bytes(size))


@given(st.lists(objects, max_size=5))
def test_objects_are_read_as_they_were_written(items: list[Tlv]) -> None:
    assert parse(b"".join(item.encode() for item in items)) == tuple(items)


@given(st.binary(max_size=60))
def test_bytes_are_objects_in_one_way_or_none(data: bytes) -> None:
    try:
        items = parse(data)
    except TlvInvalid:
        return
    assert b"".join(item.encode() for item in items) == data


@given(objects, st.data())
def test_a_truncated_object_is_refused(item: Tlv, data: st.DataObject) -> None:
    encoded = item.encode()
    cut = data.draw(st.integers(1, len(encoded) - 1))
    with pytest.raises(TlvInvalid):
        parse(encoded[:cut])


@pytest.mark.parametrize(
    ("encoded", "why"),
    [
        ("0000", "padding"),
        ("84010100", "padding"),
        ("84", "no length"),
        ("8480", "indefinite"),
        ("a0800000", "indefinite"),
        ("848101ff", "shortest"),
        ("84820001ff", "shortest"),
        ("84820080" + "00" * 128, "shortest"),
        ("8484000000010a", "length of 4 bytes"),
        ("8482", "cut short"),
        ("8402ff", "should have 2 bytes"),
        ("9f", "tag cut short"),
        ("9f1e00", "shortest"),
        ("9f808100", "shortest"),
        ("9f81818100", "longer than 3"),
        ("a003840200", "should have 2 bytes"),  # broken inside
        ("a003840001", "no length"),
    ],
)
def test_what_breaks_the_form_is_refused_with_a_reason(encoded: str, why: str) -> None:
    with pytest.raises(TlvInvalid, match=why):
        parse(bytes.fromhex(encoded))


def _nested(depth: int) -> bytes:
    data = b""
    for _ in range(depth):
        data = encode(0xA0, data)
    return data


def test_nesting_has_a_bound() -> None:
    parse(_nested(MAX_DEPTH))
    parse(encode(0xA0, _nested(MAX_DEPTH - 2) + encode(0x80, b"")))
    with pytest.raises(TlvInvalid, match="deeper"):
        parse(_nested(MAX_DEPTH + 1))


def test_a_bomb_of_nested_objects_is_refused_quickly() -> None:
    with pytest.raises(TlvInvalid, match="deeper"):
        parse(_nested(5000))


@pytest.mark.parametrize(
    "tag", [0, -1, 0x1F, 0x9F, 0x8080, 0x9F1E, 0x9F80, 0x9F8080, 0x9F81, 0x9F7F01, 0x1000000]
)
def test_a_number_that_is_no_tag_is_not_written(tag: int) -> None:
    with pytest.raises(ValueError, match="tag"):
        encode(tag, b"")


def test_a_value_too_long_for_any_reader_is_not_written() -> None:
    with pytest.raises(ValueError, match="16 MiB"):
        encode(0x04, bytes(0x1000000))


@pytest.mark.parametrize("data", ["", "8400" * 2])
def test_one_object_is_neither_none_nor_two(data: str) -> None:
    with pytest.raises(TlvInvalid, match="where one is due"):
        parse_one(bytes.fromhex(data))


@pytest.mark.parametrize(("tag", "constructed"), [(0x84, False), (0xA5, True), (0x7F49, True)])
def test_the_tag_says_whether_a_value_is_made_of_objects(tag: int, constructed: bool) -> None:
    assert Tlv(tag, b"").constructed is constructed


class TestTemplate:
    def template(self) -> Template:
        return read_template(
            encode(0x80, b"\x01\x02") + encode(0x81, "招".encode()) + encode(0x82, b"a") * 2,
            "thing",
        )

    def test_objects_are_taken_by_tag_in_any_order(self) -> None:
        template = self.template()
        assert list(template.all(0x82)) == [b"a", b"a"]
        assert template.take_text(0x81) == "招"
        assert template.take_int(0x80, 2) == 0x0102
        template.finish()

    def test_an_object_nobody_asked_for_is_refused(self) -> None:
        template = self.template()
        template.take(0x80)
        with pytest.raises(TlvInvalid, match="thing: unexpected 81, 82"):
            template.finish()

    def test_a_missing_object_is_refused_unless_optional(self) -> None:
        template = self.template()
        assert template.take_optional(0x83) is None
        with pytest.raises(TlvInvalid, match="thing: no object 83"):
            template.take(0x83)

    def test_an_object_is_taken_once(self) -> None:
        template = self.template()
        template.take(0x80)
        with pytest.raises(TlvInvalid, match="no object 80"):
            template.take(0x80)

    def test_a_repeated_object_is_refused_where_one_is_due(self) -> None:
        with pytest.raises(TlvInvalid, match="82 stands 2 times"):
            self.template().take(0x82)

    def test_a_number_has_its_size(self) -> None:
        with pytest.raises(TlvInvalid, match="2 bytes, not 1"):
            self.template().take_int(0x80, 1)

    def test_text_is_utf_8(self) -> None:
        with pytest.raises(TlvInvalid, match="not UTF-8"):
            read_template(encode(0x80, b"\xff")).take_text(0x80)


def test_plain_bytes_under_a_constructed_tag_are_read_where_a_format_has_them() -> None:
    policy = bytes.fromhex("AA0102")
    with pytest.raises(TlvInvalid):
        parse_one(policy)
    assert parse_one(policy, nested=False) == Tlv(0xAA, b"\x02")
    assert read_template(policy, nested=False).take(0xAA) == b"\x02"
