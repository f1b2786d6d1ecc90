"""The CCID side of the virtual token, frame by frame (CCID Rev 1.1, section 6)."""

from __future__ import annotations

import queue
import threading
import time
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.transport.cards import ATR, OK, SLOW, EchoCard, echo, long_answer
from ushield.ccid.commands import (
    Abort,
    Command,
    Escape,
    GetParameters,
    GetSlotStatus,
    IccPowerOff,
    IccPowerOn,
    ResetParameters,
    SetParameters,
    XfrBlock,
)
from ushield.ccid.descriptor import ClassDescriptor, Feature
from ushield.ccid.messages import (
    MAX_EXTENDED_COMMAND,
    ChainParameter,
    CommandStatus,
    IccStatus,
    MessageType,
    answer_type,
    pack_frame,
)
from ushield.ccid.responses import (
    DataBlock,
    EscapeData,
    Outcome,
    Parameters,
    Response,
    SlotStatus,
    decode_response,
)
from ushield.virtual.usb.pipes import CcidPipes
from ushield.virtual.usb.slot import CcidSlot

PACKET: Final = 64
FAILED: Final = CommandStatus.FAILED
EXTENDED: Final = CommandStatus.TIME_EXTENSION


class Bench:
    """A slot with its wires open."""

    def __init__(self, *, powered: bool = True, max_message_length: int = 271) -> None:
        self.card = EchoCard()
        self.sent: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        slot = CcidSlot(
            self.card,
            self.sent.put,
            descriptor=ClassDescriptor(
                max_slot_index=0,
                voltage_support=7,
                protocols=2,
                features=Feature.EXTENDED_APDU,
                max_message_length=max_message_length,
            ),
            extension_interval=0.02,
        )
        self.slot = CcidPipes([slot], self.sent.put, packet_size=PACKET)
        if powered:
            assert isinstance(self.ask(IccPowerOn(0, 0xF0)), DataBlock)

    def ask(self, command: Command) -> Response:
        self.slot.receive(command.encode())
        return self.answer()

    def answer(self) -> Response:
        return decode_response(self.sent.get(timeout=5))

    def answer_past_extensions(self) -> Response:
        while True:
            response = self.answer()
            if response.outcome.command != EXTENDED:
                return response

    @property
    def silent(self) -> bool:
        return self.sent.empty()


def failure(error: int, icc: IccStatus = IccStatus.ACTIVE) -> Outcome:
    return Outcome(icc, FAILED, error)


def test_powering_the_card_answers_its_atr() -> None:
    bench = Bench(powered=False)
    assert bench.ask(GetSlotStatus(0, 1)) == SlotStatus(0, 1, Outcome(IccStatus.INACTIVE), 1)
    assert bench.ask(IccPowerOn(0, 2)) == DataBlock(0, 2, Outcome(), ATR)
    assert bench.ask(GetSlotStatus(0, 3)) == SlotStatus(0, 3, Outcome())
    assert bench.ask(IccPowerOff(0, 4)) == SlotStatus(0, 4, Outcome(IccStatus.INACTIVE), 1)
    assert not bench.card.powered


def test_powering_a_powered_card_resets_it() -> None:
    bench = Bench()
    assert bench.ask(IccPowerOn(0, 2)) == DataBlock(0, 2, Outcome(), ATR)
    assert bench.card.power_ups == 2


def test_a_block_is_a_command_and_its_answer_the_response() -> None:
    bench = Bench()
    assert bench.ask(XfrBlock(0, 7, echo(b"abc"))) == DataBlock(0, 7, Outcome(), b"abc" + OK)


def test_a_block_for_an_unpowered_card_fails_as_mute() -> None:
    bench = Bench(powered=False)
    answer = bench.ask(XfrBlock(0, 7, echo(b"abc")))
    assert answer == DataBlock(0, 7, failure(0xFE, IccStatus.INACTIVE), b"")
    assert bench.card.seen == []


def test_another_slot_has_no_card() -> None:
    answer = Bench().ask(XfrBlock(3, 7, echo(b"abc")))
    assert answer == DataBlock(3, 7, failure(0x05, IccStatus.ABSENT), b"")


def test_an_unknown_command_is_refused_as_unsupported() -> None:
    assert Bench().ask(Escape(0, 9, b"hello")) == EscapeData(0, 9, failure(0x00), b"")


def test_parameters_are_those_of_t1_and_cannot_become_t0s() -> None:
    bench = Bench()
    default = bench.ask(GetParameters(0, 1))
    assert isinstance(default, Parameters)
    assert (default.protocol, len(default.data)) == (1, 7)
    assert bench.ask(ResetParameters(0, 1)) == default
    data = default.data
    assert bench.ask(SetParameters(0, 1, 1, data)) == default
    refused = bench.ask(SetParameters(0, 2, 0, data[:5]))
    assert refused == Parameters(0, 2, failure(0x07), 0, b"")


@pytest.mark.parametrize(
    ("frame", "error"),
    [
        (pack_frame(0x6F, 0, 5, 0, 0, 0, echo(b"abc"))[:-1], 0x01),
        (pack_frame(0x6F, 0, 5, 0, 0, 0, echo(b"abc")) + b"\x00", 0x01),
        (pack_frame(0x6F, 0, 5, 0, 0, 0)[:8], 0x01),
        (pack_frame(0x6F, 0, 5, 0, 0, 0x80, echo(b"abc")), 0x08),
        (pack_frame(0x61, 0, 5, 1, 0, 0, b"\x11"), 0x01),
    ],
    ids=["cut short", "too long", "cut in its header", "unknown level parameter", "parameters"],
)
def test_a_malformed_message_is_refused_with_the_offset_of_what_is_wrong(
    frame: bytes, error: int
) -> None:
    bench = Bench()
    bench.slot.receive(frame)
    answer = bench.answer()
    assert (answer.seq, answer.outcome) == (5, failure(error))
    assert bench.ask(XfrBlock(0, 6, echo(b"x"))) == DataBlock(0, 6, Outcome(), b"x" + OK)


def test_a_message_too_short_to_say_its_number_gets_no_answer() -> None:
    bench = Bench()
    bench.slot.receive(b"\x6f\x00\x00")
    assert bench.silent
    assert bench.ask(XfrBlock(0, 6, echo(b"x"))) == DataBlock(0, 6, Outcome(), b"x" + OK)


@given(data=st.binary(min_size=60, max_size=250), packets=st.integers(1, 3))
def test_a_message_may_come_in_several_transfers_that_end_on_full_packets(
    data: bytes, packets: int
) -> None:
    bench = Bench(max_message_length=1000)
    frame = XfrBlock(0, 1, echo(data)).encode()
    cut = min(packets, (len(frame) - 1) // PACKET) * PACKET
    bench.slot.receive(frame[:cut])
    assert bench.silent
    bench.slot.receive(frame[cut:])
    assert bench.answer() == DataBlock(0, 1, Outcome(), data + OK)


def test_a_message_that_never_ends_does_not_swallow_the_ones_after_an_abort() -> None:
    bench = Bench()
    bench.slot.receive(pack_frame(0x6F, 0, 1, 0, 0, 0, bytes(500))[:128])
    bench.slot.abort(0, 2)
    assert bench.ask(Abort(0, 2)) == SlotStatus(0, 2, Outcome())
    assert bench.ask(XfrBlock(0, 3, echo(b"x"))) == DataBlock(0, 3, Outcome(), b"x" + OK)


def chained(bench: Bench, command: bytes, room: int) -> Response:
    parts = [command[start : start + room] for start in range(0, len(command), room)]
    for index, part in enumerate(parts[:-1]):
        level = ChainParameter.MIDDLE if index else ChainParameter.FIRST
        answer = bench.ask(XfrBlock(0, index & 0xFF, part, 0, level))
        assert answer == DataBlock(0, index & 0xFF, Outcome(), b"", ChainParameter.CONTINUE)
    return bench.ask(XfrBlock(0, 0xEE, parts[-1], 0, ChainParameter.LAST))


@settings(max_examples=40)
@given(length=st.integers(300, 3000), room=st.integers(50, 261))
def test_a_command_may_be_chained_and_its_long_answer_is(length: int, room: int) -> None:
    bench = Bench(max_message_length=271)
    data = bytes(index & 0xFF for index in range(length))
    answer = chained(bench, echo(data), room)
    received = b""
    expected = ChainParameter.FIRST
    while True:
        assert isinstance(answer, DataBlock)
        assert len(answer.data) <= 261
        received += answer.data
        if answer.chain == ChainParameter.LAST:
            break
        assert answer.chain == expected
        expected = ChainParameter.MIDDLE
        answer = bench.ask(XfrBlock(0, 0xEF, b"", 0, ChainParameter.CONTINUE))
    assert received == data + OK
    assert bench.card.seen == [echo(data)]


@pytest.mark.parametrize("level", [ChainParameter.MIDDLE, ChainParameter.LAST])
def test_a_chain_cannot_start_in_its_middle(level: ChainParameter) -> None:
    bench = Bench()
    assert bench.ask(XfrBlock(0, 1, b"\x00\x88", 0, level)).outcome == failure(0x08)
    assert bench.card.seen == []


def test_a_chain_is_not_continued_by_a_whole_command() -> None:
    bench = Bench()
    bench.ask(XfrBlock(0, 1, b"\x00\x88", 0, ChainParameter.FIRST))
    assert bench.ask(XfrBlock(0, 2, echo(b"x"))).outcome == failure(0x08)
    assert bench.ask(XfrBlock(0, 3, echo(b"y"))) == DataBlock(0, 3, Outcome(), b"y" + OK)


def test_nothing_continues_where_no_answer_is_left() -> None:
    bench = Bench()
    answer = bench.ask(XfrBlock(0, 1, b"", 0, ChainParameter.CONTINUE))
    assert answer.outcome == failure(0x08)


def test_a_chain_longer_than_any_command_is_refused_and_forgotten() -> None:
    bench = Bench(max_message_length=MAX_EXTENDED_COMMAND + 10)
    half = bytes(MAX_EXTENDED_COMMAND // 2 + 1)
    bench.ask(XfrBlock(0, 1, half, 0, ChainParameter.FIRST))
    assert bench.ask(XfrBlock(0, 2, half, 0, ChainParameter.LAST)).outcome == failure(0x01)
    assert bench.card.seen == []
    assert bench.ask(XfrBlock(0, 3, echo(b"y"))) == DataBlock(0, 3, Outcome(), b"y" + OK)


def test_a_slow_command_asks_for_more_time_until_it_is_done() -> None:
    bench = Bench()
    first = bench.ask(XfrBlock(0, 1, echo(b"key", ins=SLOW)))
    assert (first.seq, first.outcome.command) == (1, EXTENDED)
    assert bench.answer().outcome.command == EXTENDED
    bench.card.release.set()
    assert bench.answer_past_extensions() == DataBlock(0, 1, Outcome(), b"key" + OK)


def test_a_command_beside_a_slow_one_is_told_that_the_slot_is_busy() -> None:
    bench = Bench()
    bench.slot.receive(XfrBlock(0, 1, echo(b"key", ins=SLOW)).encode())
    for command in (XfrBlock(0, 2, echo(b"x")), IccPowerOn(0, 2), IccPowerOff(0, 2)):
        bench.slot.receive(command.encode())
        assert bench.answer_past_extensions().outcome == failure(0xE0)
    bench.card.release.set()
    assert bench.answer_past_extensions() == DataBlock(0, 1, Outcome(), b"key" + OK)


def test_an_aborted_command_never_answers_and_the_next_one_waits_for_the_card() -> None:
    bench = Bench()
    bench.slot.receive(XfrBlock(0, 1, echo(b"key", ins=SLOW)).encode())
    assert bench.card.entered.wait(5)
    bench.slot.abort(0, 2)
    bench.slot.receive(Abort(0, 2).encode())
    assert bench.answer_past_extensions() == SlotStatus(0, 2, Outcome())
    bench.slot.receive(XfrBlock(0, 3, echo(b"next")).encode())
    assert bench.answer().outcome.command == EXTENDED
    bench.card.release.set()
    assert bench.answer_past_extensions() == DataBlock(0, 3, Outcome(), b"next" + OK)


def test_a_host_that_aborts_without_end_makes_no_threads_without_end() -> None:
    bench = Bench()
    bench.slot.receive(XfrBlock(0, 0, echo(b"key", ins=SLOW)).encode())
    assert bench.card.entered.wait(5)
    before = threading.active_count()
    for number in range(1, 100):
        bench.slot.abort(0, number)
        bench.slot.receive(Abort(0, number).encode())
        bench.slot.receive(XfrBlock(0, number, echo(bytes([number]))).encode())
    # One waits for the card, one extends its time; those of the last abort may not have ended yet.
    deadline = time.monotonic() + 5
    while threading.active_count() > before + 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() <= before + 2
    bench.card.release.set()
    while (answer := bench.answer()) != DataBlock(0, 99, Outcome(), b"\x63" + OK):
        assert answer.outcome.command == EXTENDED or isinstance(answer, SlotStatus)
    assert len(bench.card.seen) == 2


def test_powering_up_waits_for_an_aborted_command_too() -> None:
    bench = Bench()
    bench.slot.receive(XfrBlock(0, 1, echo(b"key", ins=SLOW)).encode())
    assert bench.card.entered.wait(5)
    bench.slot.abort(0, 2)
    bench.slot.receive(Abort(0, 2).encode())
    assert bench.answer_past_extensions() == SlotStatus(0, 2, Outcome())
    bench.slot.receive(IccPowerOn(0, 3).encode())
    bench.card.release.set()
    assert bench.answer_past_extensions() == DataBlock(0, 3, Outcome(), ATR)


def test_an_abort_needs_both_halves_with_one_number() -> None:
    bench = Bench()
    bench.slot.receive(Abort(0, 4).encode())
    assert bench.silent
    assert bench.ask(XfrBlock(0, 5, echo(b"x"))).outcome == failure(0xFF)
    bench.slot.abort(0, 3)
    assert bench.silent
    bench.slot.abort(0, 4)
    assert bench.answer() == SlotStatus(0, 4, Outcome())
    assert bench.ask(XfrBlock(0, 5, echo(b"x"))) == DataBlock(0, 5, Outcome(), b"x" + OK)


def test_a_reset_while_the_card_works_takes_its_power_afterwards() -> None:
    bench = Bench()
    bench.slot.receive(XfrBlock(0, 1, echo(b"key", ins=SLOW)).encode())
    assert bench.card.entered.wait(5)
    bench.slot.reset()
    assert bench.card.powered
    bench.card.release.set()
    bench.slot.receive(IccPowerOn(0, 2).encode())
    assert bench.answer_past_extensions() == DataBlock(0, 2, Outcome(), ATR)
    assert bench.card.powered


def test_a_long_answer_left_unread_is_gone_after_the_next_command() -> None:
    bench = Bench()
    first = bench.ask(XfrBlock(0, 1, long_answer(600)))
    assert isinstance(first, DataBlock)
    assert first.chain == ChainParameter.FIRST
    assert bench.ask(XfrBlock(0, 2, echo(b"x"))) == DataBlock(0, 2, Outcome(), b"x" + OK)
    answer = bench.ask(XfrBlock(0, 3, b"", 0, ChainParameter.CONTINUE))
    assert answer.outcome == failure(0x08)


@given(
    st.lists(
        st.one_of(
            st.binary(max_size=80),
            st.sampled_from([m.value for m in MessageType]).flatmap(
                lambda kind: st.builds(
                    pack_frame,
                    st.just(kind),
                    st.integers(0, 1),
                    st.integers(0, 255),
                    st.integers(0, 255),
                    st.integers(0, 255),
                    st.integers(0, 255),
                    st.binary(max_size=40),
                )
            ),
        ),
        max_size=12,
    )
)
def test_whatever_arrives_every_answer_is_well_formed_and_the_slot_lives_on(
    transfers: list[bytes],
) -> None:
    bench = Bench()
    bench.card.release.set()
    for transfer in transfers:
        bench.slot.receive(transfer)
    # Back to order as a host does it: abort, power, command.
    bench.slot.abort(0, 0x77)
    bench.slot.receive(Abort(0, 0x77).encode())
    bench.slot.receive(IccPowerOn(0, 0x78).encode())
    while True:
        frame = bench.sent.get(timeout=5)
        assert frame[0] >= 0x80
        if (frame[0], frame[6], frame[7]) == (answer_type(0x62), 0x78, 0):
            break
    bench.slot.receive(XfrBlock(0, 0x79, echo(b"alive")).encode())
    assert bench.answer_past_extensions() == DataBlock(0, 0x79, Outcome(), b"alive" + OK)
