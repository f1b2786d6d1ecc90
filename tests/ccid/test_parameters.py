"""Protocol parameters and PPS (ISO/IEC 7816-3, clauses 8 to 11; CCID Rev 1.1, section 6.1.7)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.ccid.simulation import descriptor
from ushield.ccid import Atr, ClassDescriptor, Feature
from ushield.ccid.errors import FrameInvalid
from ushield.ccid.parameters import (
    ProtocolParameters,
    T0Parameters,
    T1Parameters,
    card_waiting_time,
    choose_fi_di,
    choose_protocol,
    decode_parameters,
    parameters_for,
    pps_request,
    pps_result,
)
from ushield.errors import CapabilityMissing, InputInvalid, ProtocolViolation

byte = st.integers(0, 255)

YUBIKEY_4 = Atr.parse(bytes.fromhex("3BF81300008131FE15597562696B657934D4"))
BELGIAN_EID = Atr.parse(bytes.fromhex("3B9813400AA503010101AD1311"))
BOTH = Atr.parse(bytes.fromhex("3B80800101"))
PLAIN = Atr.parse(bytes.fromhex("3B00"))


@given(
    st.one_of(
        st.builds(T0Parameters, byte, byte, byte, byte, byte),
        st.builds(T1Parameters, byte, byte, byte, byte, byte, byte, byte),
    )
)
def test_parameters_decode_to_themselves(parameters: ProtocolParameters) -> None:
    assert decode_parameters(parameters.protocol, parameters.encode()) == parameters


@pytest.mark.parametrize(("protocol", "length"), [(0, 7), (1, 5), (0, 0), (2, 5)])
def test_parameters_of_another_length_or_protocol_are_refused(protocol: int, length: int) -> None:
    with pytest.raises(FrameInvalid):
        decode_parameters(protocol, bytes(length))


def test_a_parameter_that_is_no_byte_is_refused() -> None:
    with pytest.raises(InputInvalid):
        T0Parameters(guard_time=256).encode()


def test_what_the_reader_is_told_of_a_t_1_card() -> None:
    assert parameters_for(YUBIKEY_4, 1, 0x13).encode() == bytes.fromhex("13100015 00FE00")


def test_what_the_reader_is_told_of_a_t_0_card() -> None:
    assert parameters_for(BELGIAN_EID, 0, 0x13).encode() == bytes.fromhex("1300000A00")


def test_the_reader_is_told_of_the_inverse_convention_and_a_crc() -> None:
    assert parameters_for(Atr.parse(b"\x3f\x00"), 0, 0x11).encode()[1] == 0x02
    with_crc = Atr.parse(bytes.fromhex("3B8081410141"))
    assert parameters_for(with_crc, 1, 0x11).encode()[1] == 0x11


@pytest.mark.parametrize(
    ("protocol", "fi_di", "request_"),
    [(0, 0x11, "FF00FF"), (1, 0x11, "FF01FE"), (0, 0x13, "FF1013FC"), (1, 0x18, "FF1118F6")],
)
def test_a_pps_request_is_coded_as_clause_9_2_says(
    protocol: int, fi_di: int, request_: str
) -> None:
    assert pps_request(protocol, fi_di).hex().upper() == request_


def test_a_pps_echo_sets_what_was_asked_for() -> None:
    request = pps_request(1, 0x18)
    assert pps_result(request, request) == 0x18


def test_a_card_may_keep_the_default_speed() -> None:
    assert pps_result(pps_request(1, 0x18), bytes.fromhex("FF01FE")) == 0x11
    assert pps_result(pps_request(1, 0x11), bytes.fromhex("FF01FE")) == 0x11


@given(st.binary(max_size=6))
def test_any_other_answer_to_pps_is_refused(response: bytes) -> None:
    request = pps_request(1, 0x18)
    if response in {request, bytes.fromhex("FF01FE")}:
        return
    with pytest.raises(ProtocolViolation):
        pps_result(request, response)


def test_the_first_protocol_that_both_speak_is_chosen() -> None:
    assert choose_protocol(BOTH, descriptor(protocols=3)) == 0
    assert choose_protocol(BOTH, descriptor(protocols=2)) == 1
    assert choose_protocol(YUBIKEY_4, descriptor(protocols=3)) == 1


def test_a_card_in_specific_mode_leaves_no_choice() -> None:
    specific = Atr.parse(bytes.fromhex("3B9011110191"))
    assert choose_protocol(specific, descriptor(protocols=3)) == 1
    with pytest.raises(CapabilityMissing, match="T=1"):
        choose_protocol(specific, descriptor(protocols=1))


def test_a_card_of_another_protocol_is_named() -> None:
    with pytest.raises(CapabilityMissing, match="T=14"):
        choose_protocol(Atr.parse(bytes.fromhex("3B800E8E")), descriptor(protocols=3))


def reader(max_data_rate: int) -> ClassDescriptor:
    return ClassDescriptor(
        0, 7, 3, Feature.TPDU, 271, default_clock=4000, max_data_rate=max_data_rate
    )


@pytest.mark.parametrize(
    ("max_data_rate", "rates", "fi_di"),
    [
        (344086, (), 0x13),
        (43010, (), 0x13),
        (43009, (), 0x12),
        (10752, (), 0x11),
        (9600, (), 0x11),
        (344086, (10752, 43011), 0x13),
        (344086, (10752, 21505), 0x12),
        (344086, (9600,), 0x11),
    ],
)
def test_the_speed_is_the_fastest_that_card_and_reader_can_do(
    max_data_rate: int, rates: tuple[int, ...], fi_di: int
) -> None:
    # At 4 MHz, F=372: D=1, 2, 4 are 10752, 21505, 43010 bit/s.
    assert choose_fi_di(YUBIKEY_4, reader(max_data_rate), rates) == fi_di


def test_a_card_without_ta1_or_with_reserved_values_runs_at_the_default_speed() -> None:
    assert choose_fi_di(PLAIN, reader(344086)) == 0x11
    assert choose_fi_di(Atr.parse(bytes.fromhex("3B107F")), reader(344086)) == 0x11


def test_waiting_times_follow_the_atr() -> None:
    # Clause 10.2: WT = WI x 960 x Fi / f; clause 11.4.3: BWT = 11 etu + 2^BWI x 960 x 372 / f.
    at_4_mhz = reader(344086)
    assert card_waiting_time(PLAIN, 0, 0x11, at_4_mhz) == pytest.approx(0.8928)
    assert card_waiting_time(YUBIKEY_4, 1, 0x13, at_4_mhz) == pytest.approx(0.179583)
