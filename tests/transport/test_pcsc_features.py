"""What reader and card say about the length of APDUs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ushield.transport.pcsc.features import (
    GET_TLV_PROPERTIES,
    MAX_APDU_DATA_SIZE,
    card_takes_extended,
    feature_codes,
    limits_of,
    reader_properties,
)
from ushield.virtual.card import ATR

# As libccid 1.5.2 answers for a reader without keys or display, and for its properties.
LIBCCID_FEATURES = bytes.fromhex("120442330012")
LIBCCID_PROPERTIES = bytes.fromhex("01020000 030100 090100 0a0400000100 0b020912 0c020100")
YUBIKEY_5_ATR = bytes.fromhex("3BFD1300008131FE158073C021C057597562694B657940")
JCOP_ATR = bytes.fromhex("3B F8 13 00 00 81 31 FE 45 4A 43 4F 50 76 32 34 31 B7")


def test_features_are_big_endian_and_properties_little() -> None:
    assert feature_codes(LIBCCID_FEATURES) == {GET_TLV_PROPERTIES: 0x42330012}
    assert reader_properties(LIBCCID_PROPERTIES)[MAX_APDU_DATA_SIZE] == 0x10000
    assert reader_properties(LIBCCID_PROPERTIES)[0x0B] == 0x1209


@given(st.binary(max_size=300))
def test_any_answer_is_read_to_its_end(answer: bytes) -> None:
    assert all(0 <= code <= 0xFFFFFFFF for code in feature_codes(answer).values())
    assert all(tag < 256 for tag in reader_properties(answer))


@given(st.dictionaries(st.integers(0, 255), st.integers(0, 0xFFFFFFFF), max_size=20))
def test_what_a_reader_lists_is_read_back(codes: dict[int, int]) -> None:
    written = b"".join(bytes([tag, 4]) + code.to_bytes(4, "big") for tag, code in codes.items())
    assert feature_codes(written) == codes
    assert feature_codes(written + b"\x12\x04\x00") == codes


@pytest.mark.parametrize(
    ("atr", "extended"),
    [
        (ATR, True),
        (YUBIKEY_5_ATR, True),
        (JCOP_ATR, False),  # its historical bytes are a name
        (bytes.fromhex("3B00"), False),
        (b"", False),
        (bytes.fromhex("3B0400730000C0"), False),  # three status bytes, no object
        (bytes.fromhex("3B08007300004090009000"), False),  # cut in the wrong place
        (bytes.fromhex("3B080073000040009000"), True),
        (bytes.fromhex("3B0580730000BF"), False),
        (bytes.fromhex("3B0380737F"), False),  # ends inside the object
    ],
)
def test_the_card_s_word_is_in_its_historical_bytes(atr: bytes, extended: bool) -> None:
    assert card_takes_extended(atr) is extended


@given(st.binary(max_size=40))
def test_any_atr_is_read(atr: bytes) -> None:
    card_takes_extended(atr)


def test_a_reader_that_tells_is_believed_and_else_the_card_is_and_t0_has_no_extended_form() -> None:
    roomy, narrow = {MAX_APDU_DATA_SIZE: 0x10000}, {MAX_APDU_DATA_SIZE: 0}
    assert limits_of(1, roomy, JCOP_ATR).extended
    assert not limits_of(1, narrow, ATR).extended
    assert limits_of(1, {}, ATR).extended
    assert not limits_of(1, {}, JCOP_ATR).extended
    assert not limits_of(0, roomy, ATR).extended
    assert limits_of(0, roomy, ATR).max_command == 261
