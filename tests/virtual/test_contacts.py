"""A virtual card behind contacts: T=0 and T=1 as ISO/IEC 7816-3 has a card speak them."""

from __future__ import annotations

from typing import TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.ccid.card_t1 import frame
from tests.transport.cards import OK, EchoCard, echo, long_answer
from ushield.ccid.atr import Atr
from ushield.ccid.block import Edc
from ushield.ccid.t0 import exchange
from ushield.ccid.t1 import BlockProgram, T1Host
from ushield.virtual.contacts import T0Contacts, T1Contacts

T = TypeVar("T")
h = bytes.fromhex


def powered_t0(card: EchoCard | None = None, fi_di: int = 0x11) -> T0Contacts:
    contacts = T0Contacts(card or EchoCard(), fi_di=fi_di)
    contacts.power_on()
    return contacts


def by_t0(contacts: T0Contacts, command: bytes) -> bytes:
    program = exchange(command)
    try:
        tpdu = next(program)
        while True:
            tpdu = program.send(contacts.transmit(tpdu))
    except StopIteration as finished:
        response: bytes = finished.value
        return response


def by_t1(contacts: T1Contacts, program: BlockProgram[T]) -> T:
    try:
        block = next(program)
        while True:
            block = program.send(contacts.transmit(block.data))
    except StopIteration as finished:
        result: T = finished.value
        return result


# Answers to reset


@pytest.mark.parametrize(
    ("contacts", "atr"),
    [
        (T0Contacts(EchoCard()), "3B00"),
        (T0Contacts(EchoCard(), fi_di=0x95), "3B1095"),
        (T1Contacts(EchoCard()), "3B808131FE458B"),
        (T1Contacts(EchoCard(), crc=True, ifsc=32, fi_di=0x95), "3B9095817120450191"),
    ],
)
def test_the_atr_says_protocol_speed_block_size_and_code(
    contacts: T0Contacts | T1Contacts, atr: str
) -> None:
    assert contacts.power_on() == h(atr)
    assert Atr.parse(h(atr)).checksum_ok


def test_the_card_keeps_its_historical_bytes() -> None:
    class Named(EchoCard):
        def power_on(self) -> bytes:
            super().power_on()
            return h("3B02ABCD")

    assert Atr.parse(T0Contacts(Named()).power_on()).historical == h("ABCD")
    assert Atr.parse(T1Contacts(Named()).power_on()).historical == h("ABCD")


@pytest.mark.parametrize("protocol", [0, 1])
def test_pps_is_agreed_to_before_the_first_command_only(protocol: int) -> None:
    contacts: T0Contacts | T1Contacts
    contacts = powered_t0(fi_di=0x95) if not protocol else T1Contacts(EchoCard(), fi_di=0x95)
    contacts.power_on()
    body = bytes([0xFF, 0x10 | protocol, 0x95])
    request = body + bytes([body[0] ^ body[1] ^ body[2]])
    assert contacts.transmit(request) == request
    wrong = bytes([0xFF, 0x10 | protocol, 0x18])
    assert contacts.transmit(wrong + bytes([wrong[0] ^ wrong[1] ^ wrong[2]])) == b""
    contacts.transmit(h("0088000000") if not protocol else frame(0xC1, b"\xfe"))
    assert contacts.transmit(request) != request


# T=0


@given(st.binary(max_size=255), st.integers(1, 256))
def test_any_short_command_gets_its_answer_at_t_0(data: bytes, ne: int) -> None:
    contacts = powered_t0()
    le = bytes([ne & 0xFF])
    command = echo(data) + le if data else h("00880000") + le
    answer = by_t0(contacts, command)
    assert answer[:-2] == data[:ne]
    assert answer[-2:] == (OK if ne >= len(data) else bytes([0x61, len(data) - ne]))


@given(st.integers(0, 256), st.integers(1, 256))
def test_an_answer_comes_only_with_the_right_length_at_t_0(length: int, ne: int) -> None:
    card = EchoCard()
    answer = by_t0(powered_t0(card), long_answer(length) + bytes([ne & 0xFF]))
    expected = bytes(index & 0xFF for index in range(length))
    assert answer[:-2] == expected[:ne]
    # A wrong length is corrected from memory: the card must not do the command twice.
    assert len(card.seen) == 1


def test_case_2_with_a_wrong_length_is_corrected_as_clause_12_2_says() -> None:
    card = EchoCard()
    contacts = powered_t0(card)
    assert contacts.transmit(h("00B0000310")) == h("6C03")
    assert contacts.transmit(h("00B0000303")) == h("0001029000")
    # What was held is for the same command, and once.
    assert contacts.transmit(h("00B0000310")) == h("6C03")
    assert contacts.transmit(h("0088000000")) == OK
    assert contacts.transmit(h("00B0000303")) == h("0001029000")
    assert len(card.seen) == 4


def test_data_that_came_in_is_answered_by_61xx_and_get_response() -> None:
    contacts = powered_t0()
    assert contacts.transmit(echo(b"abc")) == h("6103")
    assert contacts.transmit(h("00C0000005")) == h("6C03")
    assert contacts.transmit(h("00C0000002")) == b"ab" + h("6101")
    assert contacts.transmit(h("00C0000001")) == b"c" + OK
    # Nothing is left, and so it is the card's to answer.
    assert contacts.transmit(h("00C0000001")) == OK


def test_another_command_ends_what_get_response_could_fetch() -> None:
    contacts = powered_t0()
    contacts.transmit(echo(b"abc"))
    assert contacts.transmit(h("0088000000")) == OK
    assert contacts.transmit(h("00C0000003")) == OK


@pytest.mark.parametrize("tpdu", ["", "00", "00880000", "0088000003AABB", "0088000002AABBCC"])
def test_a_t_0_card_stays_mute_to_what_is_no_tpdu(tpdu: str) -> None:
    card = EchoCard()
    assert powered_t0(card).transmit(h(tpdu)) == b""
    assert card.seen == []


@given(st.lists(st.binary(max_size=12), max_size=8))
def test_whatever_comes_a_t_0_card_lives_on(tpdus: list[bytes]) -> None:
    card = EchoCard()
    card.release.set()
    contacts = powered_t0(card)
    for tpdu in tpdus:
        assert len(contacts.transmit(tpdu)) != 1
    assert by_t0(contacts, echo(b"x") + b"\x00") == b"x" + OK


# T=1


@settings(deadline=None)
@given(st.binary(max_size=700), st.booleans(), st.sampled_from([1, 8, 32, 254]), st.booleans())
def test_any_command_gets_its_answer_at_t_1(data: bytes, crc: bool, ifsc: int, offer: bool) -> None:
    contacts = T1Contacts(EchoCard(), crc=crc, ifsc=ifsc)
    atr = Atr.parse(contacts.power_on())
    host = T1Host(Edc.CRC if atr.uses_crc else Edc.LRC, atr.ifsc)
    if offer:
        by_t1(contacts, host.negotiate_ifsd(254))
        assert host.ifsd == 254
    for _ in range(2):
        assert by_t1(contacts, host.transmit(echo(data))) == data + OK


def test_a_garbled_block_is_asked_for_again_and_its_answer_repeated() -> None:
    card = EchoCard()
    contacts = T1Contacts(card)
    contacts.power_on()
    block = frame(0x00, h("0088000001AA"))
    assert contacts.transmit(block[:-1] + b"\x00") == frame(0x81)
    answer = contacts.transmit(block)
    assert answer == frame(0x00, h("AA9000"))
    # The answer was garbled on its way: R(0) asks for it again.
    assert contacts.transmit(frame(0x82)) == answer
    assert contacts.transmit(frame(0x40, h("00880000"))) == frame(0x40, OK)
    assert len(card.seen) == 2


def test_a_block_out_of_turn_too_long_or_unknown_is_refused() -> None:
    contacts = T1Contacts(EchoCard(), ifsc=8)
    contacts.power_on()
    assert contacts.transmit(frame(0x40, b"x")) == frame(0x82)
    assert contacts.transmit(frame(0x00, bytes(9))) == frame(0x82)
    assert contacts.transmit(frame(0xC3, b"\x01")) == frame(0x82)
    assert contacts.transmit(frame(0xE1, b"\x20")) == frame(0x82)
    assert contacts.transmit(b"") == frame(0x82)
    assert contacts.transmit(frame(0xC2)) == frame(0xE2)
    assert contacts.transmit(frame(0xC0)) == frame(0xE0)


def test_a_command_longer_than_any_is_not_collected_for_ever() -> None:
    contacts = T1Contacts(EchoCard())
    contacts.power_on()
    taken = sequence = 0
    while contacts.transmit(frame(0x20 | sequence << 6, bytes(254)))[1] in {0x80, 0x90}:
        taken += 254
        sequence ^= 1
        assert taken < 70_000
    assert taken > 65_000


@given(st.lists(st.binary(max_size=12), max_size=8))
def test_whatever_comes_a_t_1_card_lives_on(blocks: list[bytes]) -> None:
    card = EchoCard()
    card.release.set()
    contacts = T1Contacts(card)
    contacts.power_on()
    for block in blocks:
        contacts.transmit(block)
    assert contacts.transmit(frame(0xC0)) == frame(0xE0)
    assert by_t1(contacts, T1Host(Edc.LRC, 254).transmit(echo(b"x"))) == b"x" + OK
