"""T=1 against a card of its own (ISO/IEC 7816-3, clause 11.6)."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.ccid.card_t1 import CardT1, frame
from ushield.ccid.block import Edc
from ushield.ccid.errors import ChainAborted
from ushield.ccid.t1 import BlockProgram, CommandInterrupted, OutOfStep, T1Host
from ushield.errors import ApduInvalid, ProtocolViolation, TransferFailed

Result = TypeVar("Result")
Link = Callable[[bytes], bytes | None]

COMMAND = bytes.fromhex("00A4040008F0555348494521C4")


def drive(program: BlockProgram[Result], link: Link, waits: list[int] | None = None) -> Result:
    try:
        block = next(program)
        while True:
            if waits is not None:
                waits.append(block.waiting_multiplier)
            block = program.send(link(block.data))
    except StopIteration as finished:
        result: Result = finished.value
        return result


def echo(command: bytes) -> bytes:
    return command[::-1] + b"\x90\x00"


def pair(*, crc: bool = False, ifsc: int = 32) -> tuple[T1Host, CardT1]:
    return T1Host(Edc.CRC if crc else Edc.LRC, ifsc), CardT1(echo, crc=crc, ifsc=ifsc)


@given(
    st.binary(min_size=4, max_size=900),
    st.booleans(),
    st.integers(1, 254),
    st.integers(1, 254),
)
def test_apdus_of_any_length_go_both_ways_in_blocks_of_any_size(
    command: bytes, crc: bool, ifsc: int, ifsd: int
) -> None:
    host, card = pair(crc=crc, ifsc=ifsc)
    drive(host.negotiate_ifsd(ifsd), card)
    for _ in range(3):
        assert drive(host.transmit(command), card) == echo(command)
    assert card.executed == [command] * 3
    assert card.ifs == host.ifsd == ifsd


def test_the_first_block_is_i_0_and_the_next_i_1() -> None:
    host, card = pair()
    drive(host.transmit(b"\x00\xa4\x00\x00"), card)
    drive(host.transmit(b"\x00\xa4\x00\x00"), card)
    assert [block[1] for block in card.seen] == [0x00, 0x40]


def test_a_card_that_refuses_ifs_keeps_blocks_of_32() -> None:
    host, card = pair()
    card.takes_ifs = False
    drive(host.negotiate_ifsd(254), card)
    assert host.ifsd == 32
    assert drive(host.transmit(COMMAND), card) == echo(COMMAND)


def test_a_card_that_is_mute_to_ifs_is_resynchronised_before_the_first_command() -> None:
    host, card = pair()
    drive(host.negotiate_ifsd(254), lambda _: None)
    assert host.ifsd == 32
    assert drive(host.transmit(COMMAND), card) == echo(COMMAND)
    assert card.seen[0] == bytes.fromhex("00C000C0")


def test_more_than_254_bytes_a_block_are_never_offered() -> None:
    host, card = pair()
    drive(host.negotiate_ifsd(255), card)
    assert host.ifsd == 254


def test_a_card_changes_its_block_size_in_the_middle_of_a_chain() -> None:
    host, card = pair(ifsc=32)
    card.requests = [(1, b"\x08")]
    command = bytes(range(100))
    assert drive(host.transmit(command), card) == echo(command)
    assert card.executed == [command]
    assert host.ifsc == 8


def test_a_wish_for_time_lengthens_one_wait_only() -> None:
    host, card = pair()
    card.requests = [(3, b"\x07"), (3, b"\x02")]
    waits: list[int] = []
    command = bytes(40)
    assert drive(host.transmit(command), card, waits) == echo(command)
    assert waits == [0, 7, 2, 0, 0]


@pytest.mark.parametrize("information", [b"\x00", b"\xff"])
def test_a_reserved_block_size_is_not_taken(information: bytes) -> None:
    host, card = pair()
    answers = iter([frame(0xC1, information), *itertools.repeat(None, 3)])

    def link(block: bytes) -> bytes | None:
        return next(answers, None) if block[1] != 0xC0 else card(block)

    with pytest.raises(CommandInterrupted):
        drive(host.transmit(COMMAND), link)
    assert host.ifsc == 32


def test_a_card_aborts_a_chain_and_the_next_command_works() -> None:
    host, card = pair()
    card.requests = [(2, b"")]
    with pytest.raises(ChainAborted):
        drive(host.transmit(bytes(100)), card)
    assert card.executed == []
    assert drive(host.transmit(COMMAND), card) == echo(COMMAND)
    assert bytes.fromhex("00C000C0") not in card.seen


@pytest.mark.parametrize("answer", [None, frame(0x00, b"\x90\x00")], ids=["mute", "I-block"])
def test_a_chain_aborted_without_the_right_to_send_is_resynchronised(answer: bytes | None) -> None:
    host, card = pair()
    card.requests = [(2, b"")]
    with pytest.raises(ChainAborted):
        drive(host.transmit(bytes(100)), lambda b: answer if b[1] == 0xE2 else card(b))
    assert drive(host.transmit(COMMAND), card) == echo(COMMAND)


def test_an_empty_command_is_refused() -> None:
    host, card = pair()
    with pytest.raises(ApduInvalid):
        drive(host.transmit(b""), card)


def test_a_response_without_end_is_cut_off() -> None:
    host, _ = pair()
    sequence = itertools.cycle([0, 1])
    with pytest.raises(ProtocolViolation, match="longer than any APDU"):
        drive(host.transmit(COMMAND), lambda _: frame(next(sequence) << 6 | 0x20, bytes(32)))


def test_a_chain_of_empty_blocks_is_no_progress() -> None:
    host, _ = pair()
    sequence = itertools.cycle([0, 1])
    with pytest.raises(TransferFailed):
        drive(host.transmit(COMMAND), lambda _: frame(next(sequence) << 6 | 0x20))


def test_a_mute_card_gets_three_retries_and_three_resynchronisations() -> None:
    host, _ = pair()
    sent: list[int] = []

    def link(block: bytes) -> None:
        sent.append(block[1])

    with pytest.raises(OutOfStep):
        drive(host.transmit(COMMAND), link)
    assert sent == [0x00, *[0x82] * 3, *[0xC0] * 3]


def test_after_a_resynchronisation_a_command_the_card_may_have_done_is_not_sent_again() -> None:
    host, card = pair()

    def link(block: bytes) -> bytes | None:
        answer = card(block)
        return answer if block[1] == 0xC0 else None

    with pytest.raises(CommandInterrupted):
        drive(host.transmit(COMMAND), link)
    assert card.executed == [COMMAND]
    assert drive(host.transmit(b"\x00\x84\x00\x00\x08"), card) == echo(b"\x00\x84\x00\x00\x08")


def test_a_chain_the_card_cannot_have_done_is_sent_again_after_a_resynchronisation() -> None:
    host, card = pair()
    silence = iter(range(4))
    command = bytes(100)

    def link(block: bytes) -> bytes | None:
        return card(block) if next(silence, None) is None else None

    assert drive(host.transmit(command), link) == echo(command)
    assert card.executed == [command]


def test_a_card_that_never_takes_a_chain_is_given_up() -> None:
    host, card = pair()

    def link(block: bytes) -> bytes | None:
        return card(block) if block[1] == 0xC0 else None

    with pytest.raises(OutOfStep, match="does not take"):
        drive(host.transmit(bytes(100)), link)


@pytest.mark.parametrize(
    "answer",
    [
        frame(0x40, b"\x90\x00"),
        frame(0x90),
        frame(0xC0),
        frame(0xE3, b"\x01"),
        frame(0xC3, b"\x00"),
        frame(0x00, b"\x90\x00", nad=0x21),
        frame(0x00, bytes(33)),
        b"",
        b"\x00",
        b"\xff" * 300,
    ],
    ids=["N(S)", "ack of the last", "RESYNCH", "response", "WTX 0", "NAD", "IFSD", "", "1", "ff"],
)
def test_one_wrong_block_is_asked_for_again(answer: bytes) -> None:
    host, card = pair()
    first = True

    def link(block: bytes) -> bytes:
        nonlocal first
        real = card(block)
        wrong, first = first, False
        return answer if wrong else real

    assert drive(host.transmit(COMMAND), link) == echo(COMMAND)
    assert card.executed == [COMMAND]
    assert card.seen[1][1] in {0x81, 0x82}


def test_an_r_block_without_an_answer_is_repeated_as_it_was() -> None:
    # Clause 11.6.3.2, rule 7.2.
    host, card = pair()
    sent: list[int] = []

    def link(block: bytes) -> bytes | None:
        sent.append(block[1])
        return None if len(sent) == 2 else card(block)

    assert drive(host.transmit(bytes(31)), link) == echo(bytes(31))
    assert sent == [0x00, 0x90, 0x90]


def faulty(card: CardT1, faults: Iterator[str]) -> Link:
    """Each exchange suffers the next fault on its way: both ways may lose or corrupt a block."""
    previous: bytes | None = None

    def link(block: bytes) -> bytes | None:
        nonlocal previous
        fault = next(faults, "none")
        if fault == "lost":
            return None
        if fault == "corrupt":
            block = block[:-1] + bytes([block[-1] ^ 0x10])
        answer = card(block)
        if fault == "twice":
            answer = card(block)
        stale, previous = previous, answer
        if fault == "mute":
            return None
        if fault == "garbled":
            return answer[:-1] + bytes([answer[-1] ^ 0x01])
        if fault == "stale":
            return stale
        return answer

    return link


FAULTS = ["none", "lost", "corrupt", "mute", "garbled"]


def survives(faults: tuple[str, ...], command: bytes, *, crc: bool, ifs: int) -> None:
    """The answer is right, or a typed error comes; no command runs twice; the next one works."""
    host, card = pair(crc=crc, ifsc=ifs)
    card.ifs = ifs
    try:
        response = drive(host.transmit(command), faulty(card, iter(faults)))
    except TransferFailed:
        assert len([fault for fault in faults if fault != "none"]) > 3
    else:
        assert response == echo(command)
        assert card.executed
    assert card.executed in ([], [command])
    again = b"\x00\x84\x00\x00\x08"
    card.executed.clear()
    assert drive(host.transmit(again), card) == echo(again)
    assert card.executed == [again]


@pytest.mark.parametrize("crc", [False, True])
def test_any_five_faults_in_a_row_neither_change_nor_repeat_a_command(crc: bool) -> None:
    for faults in itertools.product(FAULTS, repeat=5):
        survives(faults, b"\x80\x50\x00\x00\x01", crc=crc, ifs=4)


@settings(max_examples=300)
@given(
    st.lists(st.sampled_from(FAULTS), max_size=40),
    st.binary(min_size=4, max_size=60),
    st.booleans(),
    st.integers(3, 20),
)
def test_faults_at_any_time_neither_change_nor_repeat_a_command(
    faults: list[str], command: bytes, crc: bool, ifs: int
) -> None:
    survives(tuple(faults), command, crc=crc, ifs=ifs)


@settings(max_examples=200)
@given(
    st.lists(st.sampled_from([*FAULTS, "twice", "stale"]), max_size=30),
    st.binary(min_size=4, max_size=60),
)
def test_blocks_that_come_twice_or_late_never_end_in_a_wrong_answer(
    faults: list[str], command: bytes
) -> None:
    host, card = pair(ifsc=8)
    card.ifs = 8
    try:
        response = drive(host.transmit(command), faulty(card, iter(faults)))
    except (TransferFailed, ProtocolViolation):
        return
    assert response == echo(command)


@given(st.lists(st.binary(max_size=40) | st.none(), max_size=60))
def test_garbage_ends_in_a_typed_error_and_never_runs_for_ever(
    answers: list[bytes | None],
) -> None:
    host, _ = pair()
    supply = iter(answers)
    with pytest.raises(TransferFailed):
        drive(host.transmit(COMMAND), lambda _: next(supply, None))


def test_a_card_that_loses_count_in_the_middle_of_its_response_is_asked_again() -> None:
    host, card = pair()

    def link(block: bytes) -> bytes | None:
        real = card(block)
        # The second block of the response is replaced by an R-block for a command long done.
        return frame(0x90) if len(card.seen) == 3 else real

    command = bytes(60)
    assert drive(host.transmit(command), link) == echo(command)
    assert card.executed == [command]


def test_a_program_closed_half_way_resynchronises_before_the_next_command() -> None:
    host, card = pair()
    program = host.transmit(COMMAND)
    card(next(program).data)
    program.close()
    assert drive(host.transmit(COMMAND), card) == echo(COMMAND)
    assert bytes.fromhex("00C000C0") in card.seen
