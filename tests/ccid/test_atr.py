"""Answers to reset (ISO/IEC 7816-3, clause 8)."""

from __future__ import annotations

from functools import reduce
from operator import xor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ushield.ccid import Atr
from ushield.ccid.errors import AtrInvalid


def parse(text: str) -> Atr:
    return Atr.parse(bytes.fromhex(text))


def test_yubikey_4() -> None:
    # database.mysmartlogon.com, card 316, with its analysis.
    atr = parse("3BF81300008131FE15597562696B657934D4")
    assert atr.protocols == (1,)
    assert not atr.inverse_convention
    assert atr.ta1 == 0x13
    assert atr.extra_guard_time == 0
    assert atr.ifsc == 254
    assert atr.waiting_integers == 0x15
    assert not atr.uses_crc
    assert atr.historical == b"Yubikey4"
    assert atr.checksum_ok


def test_openpgp_card_3() -> None:
    # database.mysmartlogon.com, card 335; TA4 belongs to T=15: clock stop and voltage classes.
    atr = parse("3BDA18FF81B1FE751F030031F573C001600090001C")
    assert atr.protocols == (1,)
    assert atr.ta1 == 0x18
    assert atr.extra_guard_time == 255
    assert atr.ifsc == 254
    assert atr.waiting_integers == 0x75
    assert atr.clock_stop == 0
    assert atr.historical == bytes.fromhex("0031F573C00160009000")
    assert atr.checksum_ok


def test_belgian_eid_speaks_t_0_without_tck() -> None:
    # pcsc-tools, smartcard_list.txt.
    atr = parse("3B9813400AA503010101AD1311")
    assert atr.protocols == (0,)
    assert atr.ta1 == 0x13
    assert atr.specific_protocol is None
    assert atr.waiting_integer == 10
    assert atr.checksum_ok


def test_the_shortest_atr_means_all_defaults() -> None:
    atr = parse("3B00")
    assert atr.protocols == (0,)
    assert atr.ta1 is None
    assert atr.ifsc == 32
    assert atr.waiting_integers == 0x4D
    assert atr.historical == b""


def test_inverse_convention() -> None:
    assert parse("3F00").inverse_convention


def test_ta2_is_the_specific_mode() -> None:
    # TA1 11, TD1 11, TA2 11, TCK.
    atr = parse("3B9011111181")
    assert atr.specific_protocol == 1
    assert atr.implicit_parameters
    assert not parse("3B9011110191").implicit_parameters


def test_tc2_is_the_waiting_integer_of_t_0() -> None:
    assert parse("3B80403C").waiting_integer == 0x3C


def test_the_first_tc_of_t_1_chooses_the_crc() -> None:
    # TD1 81, TD2 41, TC3 01.
    assert parse("3B8081410141").uses_crc


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "empty"),
        ("3B", "TS alone"),
        ("3C00", "TS"),
        ("3BF0", "interface bytes"),
        ("3B8081", "a TD that announces another"),
        ("3B0541", "historical bytes"),
        ("3B0000", "a byte after the end"),
        ("3B" + "00" * 33, "34 bytes"),
    ],
)
def test_what_is_no_atr_is_refused(text: str, why: str) -> None:
    with pytest.raises(AtrInvalid):
        parse(text)


@pytest.mark.parametrize("text", ["3B800180", "3B8001"])
def test_a_wrong_or_missing_checksum_is_told(text: str) -> None:
    assert not parse(text).checksum_ok


@pytest.mark.parametrize(
    ("interface", "name"),
    [
        ("80 81 11 00", "ifsc"),
        ("80 81 11 FF", "ifsc"),
        ("80 81 21 A5", "waiting_integers"),
        ("80 40 00", "waiting_integer"),
    ],
)
def test_reserved_values_are_refused_where_they_are_used(interface: str, name: str) -> None:
    body = bytes.fromhex(interface)
    if body[1] & 0x0F:
        body += bytes([reduce(xor, body)])
    atr = Atr.parse(b"\x3b" + body)
    with pytest.raises(AtrInvalid, match="reserved"):
        getattr(atr, name)


@given(
    st.lists(st.tuples(*[st.none() | st.integers(0, 255)] * 3, st.integers(0, 15)), max_size=4),
    st.binary(max_size=15),
)
def test_every_atr_is_taken_apart_as_it_was_built(
    levels: list[tuple[int | None, int | None, int | None, int]], historical: bytes
) -> None:
    levels.append((None, None, None, 0))
    body, offered, protocol = b"", [], len(historical)
    for position, (ta, tb, tc, following) in enumerate(levels):
        indicator = (ta is not None) | (tb is not None) << 1 | (tc is not None) << 2
        if position < len(levels) - 1:
            indicator |= 8
        body += bytes([indicator << 4 | protocol])
        body += bytes(value for value in (ta, tb, tc) if value is not None)
        protocol = following
        if indicator & 8:
            offered.append(following)
    body += historical
    if any(offered):
        body += bytes([reduce(xor, body)])
    if len(body) > 32:
        return
    atr = Atr.parse(b"\x3b" + body)
    assert atr.historical == historical
    assert atr.checksum_ok
    assert atr.raw == b"\x3b" + body
    assert list(atr.protocols) == (list(dict.fromkeys(t for t in offered if t != 15)) or [0])
    assert atr.ta1 == levels[0][0]


@given(st.binary(max_size=40))
def test_any_bytes_are_an_atr_or_a_typed_error(data: bytes) -> None:
    try:
        atr = Atr.parse(b"\x3b" + data)
    except AtrInvalid:
        return
    assert atr.protocols
