"""T=0 TPDUs for the four cases of APDUs (ISO/IEC 7816-3, clause 12.2)."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ushield.ccid.t0 import exchange
from ushield.errors import ApduInvalid, ProtocolViolation, UShieldError

Card = Callable[[bytes], bytes]


def h(text: str) -> bytes:
    return bytes.fromhex(text)


def drive(command: bytes, card: Card) -> bytes:
    program = exchange(command)
    try:
        tpdu = next(program)
        while True:
            tpdu = program.send(card(tpdu))
    except StopIteration as finished:
        response: bytes = finished.value
        return response


def script(command: str, *exchanges: tuple[str, str]) -> str:
    """Hold the TPDUs against the script; the response APDU."""
    rest = list(exchanges)

    def card(tpdu: bytes) -> bytes:
        expected, answer = rest.pop(0)
        assert tpdu == h(expected)
        return h(answer)

    response = drive(h(command), card).hex().upper()
    assert not rest
    return response


def test_case_1_gets_p3_0() -> None:
    assert script("00AA0102", ("00AA010200", "9000")) == "9000"


def test_case_2s_1_goes_as_it_is() -> None:
    assert script("00B0000003", ("00B0000003", "0102039000")) == "0102039000"


def test_case_2s_2_a_wrong_length_is_passed_on() -> None:
    assert script("00B0000003", ("00B0000003", "6700")) == "6700"


def test_case_2s_3_is_repeated_with_the_length_the_card_names() -> None:
    exchanges = [("00B0000000", "6C02"), ("00B0000002", "01029000")]
    assert script("00B0000000", *exchanges) == "01029000"


def test_case_2s_3_keeps_no_more_than_was_asked_for() -> None:
    exchanges = [("00B0000001", "6C03"), ("00B0000003", "0102039000")]
    assert script("00B0000001", *exchanges) == "019000"


def test_a_card_that_names_another_length_each_time_is_asked_once() -> None:
    exchanges = [("00B0000001", "6C02"), ("00B0000002", "6C03")]
    assert script("00B0000001", *exchanges) == "6C03"


def test_case_3_goes_as_it_is() -> None:
    assert script("00D60000020102", ("00D60000020102", "9000")) == "9000"


def test_case_3_leaves_61xx_to_the_caller() -> None:
    assert script("00A40000023F00", ("00A40000023F00", "610A")) == "610A"


def test_case_4s_1_a_refusal_is_passed_on() -> None:
    assert script("00A40000023F0000", ("00A40000023F00", "6A82")) == "6A82"


def test_case_4s_2_fetches_the_length_that_was_asked_for() -> None:
    exchanges = [("00A40000023F00", "9000"), ("00C0000004", "010203049000")]
    assert script("00A40000023F0004", *exchanges) == "010203049000"


@pytest.mark.parametrize("refusal", ["6D00", "6985", "6F00"])
def test_case_4s_2_with_nothing_to_fetch_is_a_success_all_the_same(refusal: str) -> None:
    exchanges = [("00A40000023F00", "9000"), ("00C0000000", refusal)]
    assert script("00A40000023F0000", *exchanges) == "9000"


def test_case_4s_3_fetches_what_the_card_names() -> None:
    exchanges = [("00A40000023F00", "6102"), ("00C0000002", "6F009000")]
    assert script("00A40000023F0000", *exchanges) == "6F009000"


def test_case_4s_3_fetches_no_more_than_was_asked_for() -> None:
    exchanges = [("00A40000023F00", "6110"), ("00C0000001", "6F610F")]
    assert script("00A40000023F0001", *exchanges) == "6F610F"


def test_a_long_answer_is_fetched_piece_by_piece() -> None:
    exchanges = [
        ("00A40000023F00", "6102"),
        ("00C0000002", "01026101"),
        ("00C0000001", "039000"),
    ]
    assert script("00A40000023F0000", *exchanges) == "0102039000"


def test_get_response_takes_the_length_the_card_corrects_to() -> None:
    exchanges = [
        ("00A40000023F00", "6104"),
        ("00C0000004", "6C02"),
        ("00C0000002", "01029000"),
    ]
    assert script("00A40000023F0000", *exchanges) == "01029000"


@pytest.mark.parametrize(
    ("cla", "get_response"),
    [
        ("00", "00"),
        ("02", "02"),
        ("10", "00"),
        ("0C", "00"),
        ("43", "43"),
        ("81", "00"),
        ("C3", "00"),
    ],
)
def test_get_response_stays_on_the_logical_channel(cla: str, get_response: str) -> None:
    exchanges = [(f"{cla}500000010A", "6101"), (f"{get_response}C0000001", "019000")]
    assert script(f"{cla}500000010A00", *exchanges) == "019000"


def test_data_at_once_instead_of_61xx_is_taken() -> None:
    assert script("00A40000023F0000", ("00A40000023F00", "6F009000")) == "6F009000"


def test_61xx_for_ever_without_a_byte_is_refused() -> None:
    with pytest.raises(ProtocolViolation, match="no data"):
        drive(h("00A40000023F0000"), lambda _: h("6110"))


def test_61xx_for_ever_with_a_byte_each_ends_when_all_is_there_that_was_asked_for() -> None:
    calls = 0

    def card(tpdu: bytes) -> bytes:
        nonlocal calls
        calls += 1
        return h("6110") if tpdu[1] == 0xA4 else h("AA6110")

    assert drive(h("00A40000023F0010"), card) == b"\xaa" * 16 + h("6110")
    assert calls == 17


@pytest.mark.parametrize("answer", [b"", b"\x90", bytes(259)])
def test_a_response_of_impossible_length_is_refused(answer: bytes) -> None:
    with pytest.raises(ProtocolViolation, match="2 to 258"):
        drive(h("00B0000000"), lambda _: answer)


@pytest.mark.parametrize(
    "command", ["", "00A400", "00A40000000001AA", "00A4000002AA", "00A4000002AABB0000"]
)
def test_what_is_no_short_command_is_refused_before_anything_is_sent(command: str) -> None:
    with pytest.raises(ApduInvalid):
        next(exchange(h(command)))


@given(
    st.binary(min_size=4, max_size=4),
    st.binary(max_size=255),
    st.none() | st.integers(1, 256),
    st.binary(max_size=256),
)
def test_a_card_of_the_standard_is_understood_in_every_case(
    header: bytes, data: bytes, ne: int | None, available: bytes
) -> None:
    waiting = b""

    def card(tpdu: bytes) -> bytes:
        nonlocal waiting
        p3 = tpdu[4] or 256
        if tpdu[1] == 0xC0 and tpdu[:4] != header:
            assert p3 <= len(waiting)
            part, waiting = waiting[:p3], waiting[p3:]
            return part + (bytes([0x61, len(waiting) & 0xFF]) if waiting else h("9000"))
        assert tpdu[:4] == header
        if data:
            assert tpdu[4:] == bytes([len(data)]) + data
            waiting = available
            return bytes([0x61, len(available) & 0xFF]) if available and ne else h("9000")
        if ne is None:
            return h("9000")
        if p3 != (len(available) or p3):
            return bytes([0x6C, len(available) & 0xFF])
        return available + h("9000")

    command = header
    command += bytes([len(data)]) + data if data else b""
    command += bytes([ne & 0xFF]) if ne else b""
    if data and ne and not available:
        return
    response = drive(command, card)
    assert response[:-2] == (available[:ne] if ne else b"")


@given(st.binary(max_size=270), st.lists(st.binary(max_size=260), max_size=10))
def test_garbage_gives_bytes_or_a_typed_error(command: bytes, answers: list[bytes]) -> None:
    supply = iter(answers)
    try:
        response = drive(command, lambda _: next(supply, h("9000")))
    except UShieldError:
        return
    assert len(response) >= 2
