"""Whole commands over connections that carry them in one go, in chains, or in pieces."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.iso7816.connections import EXTENDED, SHORT, commands_log, echo_connection, scripted
from ushield.errors import ApduInvalid, ProtocolViolation, TransferTimeout
from ushield.iso7816.apdu import CommandApdu, ResponseApdu
from ushield.iso7816.channel import MAX_ANSWER, ApduChannel
from ushield.iso7816.traffic import Exchange
from ushield.transport.connection import ApduLimits

limits = st.one_of(
    st.sampled_from([SHORT, EXTENDED]),
    st.builds(ApduLimits, st.integers(10, 300), st.integers(3, 300), extended=st.just(value=False)),
    st.builds(
        ApduLimits, st.integers(270, 3000), st.integers(258, 3000), extended=st.just(value=True)
    ),
)


@settings(max_examples=60)
@given(limits, st.integers(0, 2500), st.integers(1, 65536))
def test_data_arrives_whole_and_comes_back_whole_whatever_fits_at_once(
    limits: ApduLimits, size: int, ne: int
) -> None:
    data = bytes(at % 253 for at in range(size))
    channel = ApduChannel(echo_connection(limits))
    assert channel.send(CommandApdu(0x80, 0x10, 1, 2, data, ne)) == ResponseApdu(data, 0x9000)


@settings(max_examples=40)
@given(limits, st.integers(0, 0x2000))
def test_a_long_answer_comes_whole(limits: ApduLimits, size: int) -> None:
    channel = ApduChannel(echo_connection(limits))
    response = channel.send(CommandApdu(0, 0x12, size >> 8, size & 0xFF, ne=65536))
    assert response == ResponseApdu(bytes(at % 251 for at in range(size)), 0x9000)


def test_a_command_that_fits_is_one_short_apdu() -> None:
    connection = scripted(["9000"])
    ApduChannel(connection).send(CommandApdu(0, 0xA4, 4, 0, b"\xaa", 256))
    assert connection.commands == [bytes.fromhex("00a4040001aa00")]


def test_a_longer_one_is_one_extended_apdu_where_the_connection_has_them() -> None:
    connection = scripted(["9000"])
    command = CommandApdu(0, 0xDB, 0x3F, 0xFF, bytes(300))
    ApduChannel(connection).send(command)
    assert connection.commands == [command.encode(extended=True)]


def test_a_chain_sets_bit_5_of_cla_in_all_links_but_the_last_which_alone_has_le() -> None:
    connection = scripted(["9000", "9000", "9000"], SHORT)
    ApduChannel(connection).send(CommandApdu(0x80, 0x50, 1, 2, bytes(600), 100))
    heads = [command[:5].hex() for command in connection.commands]
    assert heads == ["90500102ff", "90500102ff", "805001025a"]
    assert [len(command) for command in connection.commands] == [260, 260, 5 + 90 + 1]
    assert connection.commands[-1][-1] == 100


def test_a_chain_ends_with_the_first_refusal() -> None:
    connection = scripted(["9000", "6884"], SHORT)
    response = ApduChannel(connection).send(CommandApdu(0, 0xDB, 0, 0, bytes(900), 256))
    assert response.sw == 0x6884
    assert len(connection.commands) == 2


@pytest.mark.parametrize(
    ("cla", "get_response"),
    [(0x00, "00"), (0x02, "02"), (0x0C, "00"), (0x10, "00"), (0x80, "00"), (0x43, "43")],
)
def test_get_response_keeps_the_logical_channel_and_nothing_else(
    cla: int, get_response: str
) -> None:
    connection = scripted(["aa6102", "bbcc9000"])
    response = ApduChannel(connection).send(CommandApdu(cla, 0xCB, ne=1))
    assert response == ResponseApdu(b"\xaa\xbb\xcc", 0x9000)
    assert connection.commands[1].hex() == get_response + "c0000002"


def test_the_answer_ends_with_the_status_word_of_its_last_piece() -> None:
    connection = scripted(["aa6101", "6a82"])
    assert ApduChannel(connection).send(CommandApdu(0, 0xCB, ne=1)) == ResponseApdu(b"\xaa", 0x6A82)


def test_a_wrong_le_is_corrected_once() -> None:
    connection = scripted(["6c03", "aabbcc9000"])
    response = ApduChannel(connection).send(CommandApdu(0, 0xCB, 1, 2, b"\x01", 256))
    assert response == ResponseApdu(b"\xaa\xbb\xcc", 0x9000)
    assert [command.hex() for command in connection.commands] == [
        "00cb01020101" + "00",
        "00cb0102010103",
    ]


def test_a_card_that_never_likes_le_has_its_way_after_two_tries() -> None:
    connection = scripted(["6c03", "6c04", "6c05"])
    assert ApduChannel(connection).send(CommandApdu(0, 0xCB, ne=256)).sw == 0x6C04
    assert len(connection.commands) == 2


def test_a_command_without_le_is_never_sent_twice() -> None:
    connection = scripted(["6c03"])
    assert ApduChannel(connection).send(CommandApdu(0, 0x20, 0, 0x81, b"802563")).sw == 0x6C03
    assert len(connection.commands) == 1


def test_le_of_get_response_is_corrected_once_a_piece() -> None:
    connection = scripted(["6108", "6c02", "aabb6101", "6c02", "ccdd9000"])
    response = ApduChannel(connection).send(CommandApdu(0, 0xCB, ne=256))
    assert response == ResponseApdu(b"\xaa\xbb\xcc\xdd", 0x9000)
    assert [command[4] for command in connection.commands] == [0, 8, 2, 1, 2]
    again = scripted(["6108", "6c02", "6c03"])
    assert ApduChannel(again).send(CommandApdu(0, 0xCB, ne=256)).sw == 0x6C03


def test_pieces_that_bring_nothing_are_a_violation() -> None:
    with pytest.raises(ProtocolViolation, match="brought nothing"):
        ApduChannel(scripted(["6108", "6108"])).send(CommandApdu(0, 0xCB, ne=256))


def test_pieces_without_end_are_a_violation() -> None:
    def endless() -> list[bytes]:
        return [bytes(250) + b"\x61\xff"] * (MAX_ANSWER // 250 + 2)

    connection = scripted(endless())
    with pytest.raises(ProtocolViolation, match="goes on"):
        ApduChannel(connection).send(CommandApdu(0, 0xCB, ne=256))
    assert len(connection.commands) == MAX_ANSWER // 250 + 1


@pytest.mark.parametrize("answer", ["", "90", "0000", "6000", "600d", "aabb5000", "8000", "a000"])
def test_an_answer_without_a_status_word_is_a_violation(answer: str) -> None:
    with pytest.raises(ProtocolViolation):
        ApduChannel(scripted([answer])).send(CommandApdu(0, 0xCB, ne=256))


@pytest.mark.parametrize("most", range(4, 7))
def test_where_no_byte_of_data_fits_into_a_command_none_is_sent(most: int) -> None:
    connection = scripted(["9000"], ApduLimits(most, 258, extended=False))
    with pytest.raises(ApduInvalid):
        ApduChannel(connection).send(CommandApdu(0, 0xCB, 0, 0, b"x"))
    assert connection.commands == []
    assert ApduChannel(connection).send(CommandApdu(0, 0xCB)).ok


def test_the_timeout_is_for_the_whole_exchange() -> None:
    connection = scripted(["9000", "aa6101", "bb9000"], SHORT)
    ApduChannel(connection).send(CommandApdu(0, 0xCB, 0, 0, bytes(300), 1), timeout=9.0)
    first, second, third = connection.timeouts
    assert first is not None
    assert second is not None
    assert third is not None
    assert 9.0 >= first >= second >= third > 0


def test_a_command_whose_time_is_over_is_not_sent_on() -> None:
    connection = scripted(["9000"], SHORT)
    with pytest.raises(TransferTimeout):
        ApduChannel(connection).send(CommandApdu(0, 0xCB, 0, 0, bytes(300)), timeout=0.0)
    assert connection.commands == []


def test_no_timeout_leaves_waiting_to_the_connection() -> None:
    connection = scripted(["9000"])
    ApduChannel(connection).send(CommandApdu(0, 0xCB))
    assert connection.timeouts == [None]


def test_what_goes_over_the_connection_is_logged_link_by_link() -> None:
    exchanges: list[Exchange] = []
    connection = scripted(["9000", "aa6101", "bb9000"], SHORT)
    channel = ApduChannel(connection, log=commands_log(exchanges))
    channel.send(CommandApdu(0, 0xCB, 0, 0, bytes(300), 1))
    assert [exchange.command for exchange in exchanges] == connection.commands
    assert [exchange.response for exchange in exchanges] == [
        b"\x90\x00",
        b"\xaa\x61\x01",
        b"\xbb\x90\x00",
    ]
