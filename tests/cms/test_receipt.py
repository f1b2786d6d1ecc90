"""A receipt has one encoding, and no other bytes are a receipt."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.cms.changes import in_ber, with_indefinite_length
from ushield.cms import Receipt, ReceiptInvalid
from ushield.errors import InputInvalid

RECEIPT = Receipt(
    serial="US1",
    request_id=bytes.fromhex("0102030405060708"),
    counter=300,
    pages_digest=bytes(32),
    milliseconds=4200,
    lines=4,
    columns=16,
    repertoire="gbk",
    banner="虚拟",
    virtual=True,
)
ENCODED = bytes.fromhex(
    "3054 020101 0c03555331 04080102030405060708 0202012c"
    "0420 0000000000000000000000000000000000000000000000000000000000000000"
    "02021068 3013 020104 020110 0c0367626b 0c06e8999ae68b9f 0101ff"
)

receipts = st.builds(
    Receipt,
    serial=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=64),
    request_id=st.binary(min_size=8, max_size=8),
    counter=st.integers(1, (1 << 63) - 1),
    pages_digest=st.binary(min_size=32, max_size=32),
    milliseconds=st.integers(0, (1 << 31) - 1),
    lines=st.integers(1, 255),
    columns=st.integers(1, 255),
    repertoire=st.text("abcgk-0123456789", max_size=16),
    banner=st.text(st.characters(exclude_categories=["Cs"]), max_size=32),
    virtual=st.booleans(),
)


def test_the_encoding_by_hand() -> None:
    assert RECEIPT.encode() == ENCODED


@given(receipts)
@settings(max_examples=60)
def test_every_receipt_reads_back(receipt: Receipt) -> None:
    assert Receipt.decode(receipt.encode()) == receipt


@pytest.mark.parametrize("mask", [0x01, 0x80, 0xFF])
def test_a_receipt_with_a_byte_changed_is_refused_or_another(mask: int) -> None:
    for position in range(len(ENCODED)):
        data = bytearray(ENCODED)
        data[position] ^= mask
        try:
            found = Receipt.decode(bytes(data))
        except ReceiptInvalid:
            continue
        assert found != RECEIPT
        assert found.encode() == data


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x30\x00",
        ENCODED[:-1],
        ENCODED + b"\0",
        in_ber(ENCODED),
        with_indefinite_length(ENCODED),
        ENCODED.replace(b"\x02\x01\x01", b"\x02\x01\x02", 1),
        ENCODED.replace(b"\x01\x01\xff", b"\x01\x01\x01"),
        ENCODED.replace(b"\x0c\x03US1", b"\x13\x03US1"),
        ENCODED.replace(b"\x0c\x03US1", b"\x0c\x03U\xff1"),
        b"\x04\x02ab",
    ],
)
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(ReceiptInvalid):
        Receipt.decode(data)


@given(st.binary(max_size=60))
def test_garbage_is_refused(data: bytes) -> None:
    with pytest.raises(ReceiptInvalid):
        Receipt.decode(data)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("serial", ""),
        ("serial", "x" * 65),
        ("request_id", bytes(7)),
        ("counter", 0),
        ("counter", 1 << 63),
        ("pages_digest", bytes(31)),
        ("milliseconds", -1),
        ("milliseconds", 1 << 31),
        ("lines", 0),
        ("columns", 256),
        ("repertoire", "x" * 17),
        ("banner", "x" * 33),
    ],
)
def test_a_value_out_of_range_makes_no_receipt(field: str, value: Any) -> None:
    with pytest.raises(InputInvalid):
        dataclasses.replace(RECEIPT, **{field: value})
