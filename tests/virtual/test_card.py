"""The card OS: every form of a command, chains, long answers, and whatever else comes."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ushield.iso7816.apdu import CommandApdu, ResponseApdu
from ushield.iso7816.status import StatusWord
from ushield.virtual.card import ATR, MAX_CHAIN, Answer, Card

ECHO = bytes.fromhex("F00045434F")
OTHER = bytes.fromhex("F0004F54")
MIRROR, ZEROS, SLOW = 0x10, 0x12, 0x47
WRONG_LENGTH = StatusWord.WRONG_LENGTH.to_bytes(2, "big")


class Echo:
    """An application that sends data back, or as many zeros as P1-P2 say."""

    slow_instructions = frozenset({SLOW})

    def __init__(self, aid: bytes = ECHO, *, answers_without_le: bool = False) -> None:
        self.answers_without_le = answers_without_le
        self.deselected = 0
        self.aids = (aid,)
        self.powered = 0

    def power_on(self) -> None:
        self.powered += 1

    def power_off(self) -> None:
        self.powered -= 1

    def select(self) -> bytes:
        return b"selected " + self.aids[0]

    def deselect(self) -> None:
        self.deselected += 1

    def end_session(self) -> None:
        pass

    def process(
        self, cla: int, ins: int, p1: int, p2: int, data: bytes, *, secured: bool = False
    ) -> Answer:
        if ins == MIRROR:
            return data, StatusWord.SUCCESS
        if ins == ZEROS:
            return bytes(p1 << 8 | p2), StatusWord.SUCCESS
        return b"", StatusWord.INS_NOT_SUPPORTED


def powered(*applets: Echo) -> Card:
    card = Card(applets or (Echo(), Echo(OTHER)))
    card.power_on()
    return card


def selected() -> Card:
    card = powered()
    assert send(card, CommandApdu(0, 0xA4, 4, 0, ECHO, 256)).ok
    return card


def send(card: Card, command: CommandApdu, *, extended: bool | None = None) -> ResponseApdu:
    return ResponseApdu.decode(card.transmit(command.encode(extended=extended)))


def chain(card: Card, parts: Sequence[bytes], *, cla: int = 0x80) -> list[ResponseApdu]:
    return [
        send(card, CommandApdu(cla | (0x10 if rest else 0), MIRROR, 1, 2, part, 65536))
        for rest, part in zip(range(len(parts) - 1, -1, -1), parts, strict=True)
    ]


def test_the_atr_says_t1_chaining_and_extended_lengths() -> None:
    assert powered().power_on() == ATR
    assert ATR[0] == 0x3B, "direct convention"
    assert ATR[1] == 0x80 | len(ATR[3:-1]), "TD1, and how many historical bytes"
    assert ATR[2] == 0x01, "T=1"
    check = 0
    for octet in ATR[1:]:
        check ^= octet
    assert check == 0
    assert ATR[3:-1].endswith(bytes.fromhex("738001C0"))


def test_select_finds_an_application_by_its_aid() -> None:
    card = powered()
    assert send(card, CommandApdu(0, 0xA4, 4, 0, OTHER, 256)).data == b"selected " + OTHER
    assert send(card, CommandApdu(0, 0xA4, 4, 0, ECHO, 256)).data == b"selected " + ECHO


@pytest.mark.parametrize("aid", [b"", b"\xf0", ECHO[:-1], ECHO + b"\0", bytes(16)])
def test_an_unknown_aid_is_not_found_and_leaves_the_selection(aid: bytes) -> None:
    card = selected()
    assert send(card, CommandApdu(0, 0xA4, 4, 0, aid, 256)).sw == StatusWord.FILE_NOT_FOUND
    assert send(card, CommandApdu(0, MIRROR, data=b"x", ne=256)).data == b"x"


@pytest.mark.parametrize(("p1", "p2"), [(0, 0), (4, 4), (2, 0), (4, 0x0C)])
def test_select_by_anything_but_the_whole_aid_is_refused(p1: int, p2: int) -> None:
    answer = send(selected(), CommandApdu(0, 0xA4, p1, p2, ECHO, 256))
    assert answer.sw == StatusWord.WRONG_PARAMETERS


def test_nothing_is_done_before_an_application_is_selected() -> None:
    assert send(powered(), CommandApdu(0, MIRROR, ne=256)).sw == StatusWord.COMMAND_NOT_ALLOWED


def test_power_tells_the_applications_and_unselects_them() -> None:
    applet = Echo()
    card = Card([applet])
    assert send(card, CommandApdu(0, MIRROR)).sw == StatusWord.NO_DIAGNOSIS
    card.power_on()
    send(card, CommandApdu(0, 0xA4, 4, 0, ECHO, 256))
    card.power_on()
    assert applet.powered == 1
    assert send(card, CommandApdu(0, MIRROR)).sw == StatusWord.COMMAND_NOT_ALLOWED
    card.power_off()
    card.power_off()
    assert applet.powered == 0


@given(data=st.binary(max_size=600), extended=st.booleans(), ne=st.sampled_from([256, 65536]))
def test_short_and_extended_forms_bring_the_same_data(data: bytes, extended: bool, ne: int) -> None:
    command = CommandApdu(0, MIRROR, data=data, ne=ne)
    answer = send(selected(), command, extended=extended or command.needs_extended)
    expected = data[:ne]
    assert answer.data == expected
    assert answer.ok == (len(data) <= ne)


@given(st.binary(max_size=12))
def test_every_string_of_bytes_is_answered_by_a_status_word(command: bytes) -> None:
    card = selected()
    assert len(card.transmit(command)) >= 2
    assert send(card, CommandApdu(0, 0xA4, 4, 0, ECHO, 256)).ok


@pytest.mark.parametrize(
    "command",
    [
        "",
        "00",
        "001000",
        "0010000002AA",
        "0010000001AABBCC",
        "001000000000",
        "00100000000002AA",
        "00100000000001AABBCCDD",
        "00100000000000AA",
    ],
)
def test_length_fields_that_do_not_add_up_are_wrong_length(command: str) -> None:
    assert selected().transmit(bytes.fromhex(command)) == WRONG_LENGTH


@pytest.mark.parametrize(
    ("cla", "sw"),
    [
        (0x01, StatusWord.LOGICAL_CHANNEL_UNSUPPORTED),
        (0x40, StatusWord.LOGICAL_CHANNEL_UNSUPPORTED),
        (0x04, StatusWord.SECURE_MESSAGING_UNSUPPORTED),
        (0x0C, StatusWord.SECURE_MESSAGING_UNSUPPORTED),
        (0x20, StatusWord.CLA_NOT_SUPPORTED),
        (0x84, StatusWord.CLA_NOT_SUPPORTED),
        (0xA0, StatusWord.CLA_NOT_SUPPORTED),
        (0xFF, StatusWord.CLA_NOT_SUPPORTED),
    ],
)
def test_classes_that_the_card_does_not_speak_are_told_apart(cla: int, sw: StatusWord) -> None:
    assert send(selected(), CommandApdu(cla, MIRROR, ne=256)) == ResponseApdu(b"", sw)


@given(st.lists(st.binary(min_size=1, max_size=300), min_size=1, max_size=6))
def test_a_chain_is_one_command_however_it_was_cut(parts: list[bytes]) -> None:
    *before, last = chain(selected(), parts)
    assert all(answer == ResponseApdu(b"", StatusWord.SUCCESS) for answer in before)
    assert last == ResponseApdu(b"".join(parts), StatusWord.SUCCESS)


@pytest.mark.parametrize(
    "stranger",
    [
        CommandApdu(0x80, MIRROR, 1, 3, b"other", 256),
        CommandApdu(0x80, ZEROS, 0, 5, b"", 256),
        CommandApdu(0x00, MIRROR, 1, 2, b"other", 256),
        CommandApdu(0x00, 0xC0, 0, 0, b"", 256),
        CommandApdu(0x00, 0xA4, 4, 0, ECHO, 256),
        CommandApdu(0x04, MIRROR, 1, 2, b"other", 256),
    ],
)
def test_a_command_that_does_not_continue_the_chain_breaks_it(stranger: CommandApdu) -> None:
    card = selected()
    alone = send(selected(), stranger)
    send(card, CommandApdu(0x90, MIRROR, 1, 2, b"first "))
    assert send(card, stranger) == alone
    assert send(card, CommandApdu(0x80, MIRROR, 1, 2, b"last", 256)).data == b"last"


def test_another_chain_begins_anew() -> None:
    card = selected()
    send(card, CommandApdu(0x90, MIRROR, 9, 9, b"old "))
    assert chain(card, [b"new ", b"chain"])[-1].data == b"new chain"


def test_a_chain_has_a_bound() -> None:
    card = selected()
    whole, over = [bytes(MAX_CHAIN // 2)] * 2, [bytes(MAX_CHAIN // 2)] * 2 + [b"x"]
    assert chain(card, whole)[-1].ok
    assert chain(card, over)[-1].sw == StatusWord.WRONG_LENGTH
    endless = [chain(card, [bytes(MAX_CHAIN)] * 3)[1], chain(card, [b"fits"])[-1]]
    assert endless[0].sw == StatusWord.WRONG_LENGTH
    assert endless[1].data == b"fits"


def test_a_reset_forgets_a_chain_and_an_answer_half_fetched() -> None:
    card = selected()
    send(card, CommandApdu(0, ZEROS, 2, 0, b"", 16))
    send(card, CommandApdu(0x90, MIRROR, 1, 2, b"first "))
    card.power_on()
    send(card, CommandApdu(0, 0xA4, 4, 0, ECHO, 256))
    assert not send(card, CommandApdu(0, 0xC0, ne=256)).ok
    assert send(card, CommandApdu(0x80, MIRROR, 1, 2, b"last", 256)).data == b"last"


@given(size=st.integers(0, 1500), pieces=st.integers(1, 256))
def test_get_response_brings_the_rest_in_pieces(size: int, pieces: int) -> None:
    card = selected()
    answer = send(card, CommandApdu(0, ZEROS, size >> 8, size & 0xFF, b"", pieces))
    fetched = answer.data
    while answer.sw >> 8 == 0x61:
        left = size - len(fetched)
        assert answer.sw & 0xFF == (left if left < 256 else 0)
        answer = send(card, CommandApdu(0, 0xC0, ne=pieces))
        fetched += answer.data
    assert answer.ok
    assert fetched == bytes(size)


def test_an_answer_that_was_not_asked_for_waits_to_be_fetched() -> None:
    card = selected()
    assert send(card, CommandApdu(0, MIRROR, data=b"abc")) == ResponseApdu(b"", 0x6103)
    assert send(card, CommandApdu(0, 0xC0, ne=3)) == ResponseApdu(b"abc", StatusWord.SUCCESS)


@given(size=st.integers(1, 1500))
def test_an_application_may_answer_what_was_not_asked_for(size: int) -> None:
    card = powered(Echo(answers_without_le=True))
    send(card, CommandApdu(0, 0xA4, 4, 0, ECHO, 256))
    p1, p2 = size >> 8, size & 0xFF
    bare = send(card, CommandApdu(0, ZEROS, p1, p2))
    assert bare == ResponseApdu(bytes(size), StatusWord.SUCCESS)
    extended = send(card, CommandApdu(0, ZEROS, p1, p2, b"x"), extended=True)
    assert extended == ResponseApdu(bytes(size), StatusWord.SUCCESS)
    short = send(card, CommandApdu(0, ZEROS, p1, p2, b"x"))
    assert short.data == bytes(min(size, 256))
    if size > 256:
        rest = send(card, CommandApdu(0, 0xC0))
        assert rest == ResponseApdu(bytes(size - 256), StatusWord.SUCCESS)


def test_an_application_is_told_when_another_one_is_selected() -> None:
    first, second = Echo(), Echo(OTHER)
    card = powered(first, second)
    for aid in (ECHO, ECHO, bytes(5), OTHER):
        send(card, CommandApdu(0, 0xA4, 4, 0, aid, 256))
    assert (first.deselected, second.deselected) == (1, 0)


def test_get_response_without_anything_to_fetch_is_refused() -> None:
    card = selected()
    missing = StatusWord.CONDITIONS_NOT_SATISFIED
    assert send(card, CommandApdu(0, 0xC0, ne=256)).sw == missing
    send(card, CommandApdu(0, ZEROS, 2, 0, b"", 16))
    send(card, CommandApdu(0, MIRROR, ne=256))
    assert send(card, CommandApdu(0, 0xC0, ne=256)).sw == missing
    send(card, CommandApdu(0, ZEROS, 2, 0, b"", 16))
    assert send(card, CommandApdu(0, 0xC0, 1, 0, ne=256)).sw == StatusWord.WRONG_PARAMETERS
    assert send(card, CommandApdu(0, 0xC0, ne=256)).sw == missing


def test_only_whole_commands_of_slow_instructions_are_slow() -> None:
    card = selected()
    assert card.is_slow(bytes((0, SLOW, 0, 0)))
    assert not card.is_slow(bytes((0x10, SLOW, 0, 0)))
    assert not card.is_slow(bytes((0, MIRROR, 0, 0)))
    assert not card.is_slow(b"")
