"""A reader driven frame by frame (CCID Rev 1.1, sections 5.3.1 and 6)."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.ccid.card_t1 import CardT1
from tests.ccid.simulation import ATR_T0, ATR_T1, Pipes, SimulatedReader, descriptor
from ushield.ccid import (
    CcidReader,
    Control,
    Feature,
    HardwareError,
    IccStatus,
    Quirks,
    Receive,
    Send,
)
from ushield.ccid import errors as ccid_errors
from ushield.ccid.errors import EndpointHalted, FrameInvalid, SlotError
from ushield.ccid.messages import data_block, pack_frame, slot_status, time_extension
from ushield.ccid.pin_entry import PinVerification
from ushield.errors import (
    ApduInvalid,
    InputInvalid,
    ProtocolViolation,
    TokenRemoved,
    TransferTimeout,
    TransportError,
    UShieldError,
)

COMMAND = bytes.fromhex("00A40400")

PIN_ENTRY = PinVerification(30, 0x82, 0, 0, 4, 8, bytes.fromhex("0020008100"))


def ok(command: bytes) -> bytes:
    return command[::-1] + b"\x90\x00"


def powered(
    level: Feature = Feature.EXTENDED_APDU,
    *,
    card: Callable[[bytes], bytes | None] = ok,
    atr: bytes = ATR_T0,
    slots: int = 1,
    max_message_length: int = 271,
    quirks: Quirks | None = None,
) -> tuple[CcidReader, SimulatedReader]:
    wire = SimulatedReader(card, atr=atr, max_message_length=max_message_length)
    of = descriptor(level, slots=slots, max_message_length=max_message_length)
    reader = CcidReader(of, quirks=quirks, clock=wire.clock)
    for slot in range(slots):
        wire.run(reader.power_on(slot))
    wire.sent.clear()
    wire.waits.clear()
    return reader, wire


def test_an_apdu_is_one_message_each_way() -> None:
    reader, wire = powered()
    assert wire.run(reader.transmit(0, COMMAND, 30)) == ok(COMMAND)
    assert wire.sent == [bytes.fromhex("6F 04000000 00 01 00 0000") + COMMAND]
    assert reader.in_step


def test_one_counter_numbers_the_commands_of_all_slots() -> None:
    reader, wire = powered(slots=3)
    for slot in (2, 0, 1):
        wire.run(reader.transmit(slot, COMMAND, 30))
    assert [(frame[5], frame[6]) for frame in wire.sent] == [(2, 3), (0, 4), (1, 5)]


def test_the_counter_goes_round_after_255() -> None:
    reader, wire = powered()
    for _ in range(300):
        assert wire.run(reader.transmit(0, COMMAND, 30)) == ok(COMMAND)
    assert [frame[6] for frame in wire.sent] == [(1 + n) & 0xFF for n in range(300)]


@given(st.integers(4, 2000), st.integers(2, 2000), st.integers(20, 600))
def test_long_apdus_are_chained_both_ways(command: int, response: int, room: int) -> None:
    seen: list[bytes] = []

    def card(apdu: bytes) -> bytes:
        seen.append(apdu)
        return bytes(response)

    reader, wire = powered(card=card, max_message_length=room)
    apdu = bytes(n & 0xFF for n in range(command))
    assert wire.run(reader.transmit(0, apdu, 30)) == bytes(response)
    assert seen == [apdu]
    assert all(len(frame) <= room for frame in wire.sent)


@pytest.mark.parametrize(
    ("max_message_length", "messages"),
    [(1041, 2), (4108, 1), (271, 8)],
    ids=["CCB eSafeLD 8829:CCB2", "Excelsecu 1EA8:8013", "the usual length"],
)
def test_keys_in_the_field_get_2000_bytes_in_messages_of_their_length(
    max_message_length: int, messages: int
) -> None:
    # Lengths and levels from the reader descriptors that libccid (readers/*.txt) collects.
    reader, wire = powered(max_message_length=max_message_length)
    assert wire.run(reader.transmit(0, bytes(2000), 30)) == ok(bytes(2000))
    assert len([frame for frame in wire.sent if len(frame) > 10]) == messages


def test_the_longest_extended_apdu_goes_through_a_reader_with_short_messages() -> None:
    reader, wire = powered(card=lambda apdu: apdu[:65536] + b"\x90\x00")
    apdu = bytes(reader.limits(0).command)
    assert len(wire.run(reader.transmit(0, apdu, 30))) == reader.limits(0).response


def test_a_reader_that_announces_messages_of_4_gib_gets_no_more_memory_than_an_apdu_takes() -> None:
    reader, wire = powered(max_message_length=0xFFFFFFFF)
    program = reader.transmit(0, b"\x00\x88\x00\x00", 30)
    step = next(program)
    while not isinstance(step, Receive):
        step = program.send(None)
    assert step.size == 65600
    program.close()
    wire.run(reader.resynchronise(0))
    wire.incoming.append(b"\x80" + (1 << 20).to_bytes(4, "little") + bytes(65536 - 5))
    with pytest.raises(FrameInvalid):
        wire.run(reader.slot_status(0))


def test_a_chain_is_marked_as_table_6_1_4_says() -> None:
    reader, wire = powered(card=lambda _: bytes(25), max_message_length=20)
    wire.run(reader.transmit(0, bytes(25), 30))
    assert [frame[8] for frame in wire.sent] == [0x01, 0x03, 0x02, 0x10, 0x10]


@pytest.mark.parametrize("length", [0, 3, 65545])
def test_what_is_no_apdu_is_refused_before_anything_is_sent(length: int) -> None:
    reader, wire = powered()
    with pytest.raises(ApduInvalid):
        wire.run(reader.transmit(0, bytes(length), 30))
    assert wire.sent == []


@pytest.mark.parametrize("level", [Feature.SHORT_APDU, Feature.TPDU])
def test_an_extended_apdu_is_refused_where_there_are_only_short_ones(level: Feature) -> None:
    reader, wire = powered(level)
    with pytest.raises(ApduInvalid):
        wire.run(reader.transmit(0, bytes.fromhex("00CB3FFF 000005 5C035FC102"), 30))
    with pytest.raises(ApduInvalid):
        wire.run(reader.transmit(0, bytes(262), 30))
    assert wire.sent == []
    assert not reader.limits(0).extended
    assert (reader.limits(0).command, reader.limits(0).response) == (261, 258)


@pytest.mark.parametrize("command", ["00A40400", "00840000FF", "00D6000001AA", "00A4040001AA00"])
def test_a_reader_of_short_apdus_gets_them_as_they_are(command: str) -> None:
    reader, wire = powered(Feature.SHORT_APDU)
    apdu = bytes.fromhex(command)
    assert wire.run(reader.transmit(0, apdu, 30)) == ok(apdu)
    assert wire.sent[0][10:] == apdu


def test_a_t_0_card_at_tpdu_level_is_asked_for_its_response() -> None:
    answers = {
        bytes.fromhex("00A40400025553"): bytes.fromhex("6103"),
        bytes.fromhex("00C0000003"): bytes.fromhex("0102039000"),
    }
    reader, wire = powered(Feature.TPDU, card=answers.__getitem__)
    response = wire.run(reader.transmit(0, bytes.fromhex("00A4040002555300"), 30))
    assert response == bytes.fromhex("0102039000")


def test_a_t_1_card_at_tpdu_level_takes_extended_apdus() -> None:
    card = CardT1(ok)
    reader, wire = powered(Feature.TPDU, card=card, atr=ATR_T1)
    assert reader.limits(0).extended
    apdu = bytes(1000)
    assert wire.run(reader.transmit(0, apdu, 3000)) == ok(apdu)


def test_a_t_1_card_that_wants_time_gets_it_from_the_reader_by_b_bwi() -> None:
    card = CardT1(ok)
    reader, wire = powered(Feature.TPDU, card=card, atr=ATR_T1)
    card.requests = [(3, b"\x05")]
    wire.run(reader.transmit(0, COMMAND, 300))
    assert [frame[7] for frame in wire.sent] == [0, 5]
    base, extended = wire.waits
    assert extended == pytest.approx(5 * base)


def test_a_mute_t_1_card_is_retried_block_by_block() -> None:
    card = CardT1(ok)
    mute = iter([True, False, True])
    reader, wire = powered(
        Feature.TPDU, card=lambda b: None if next(mute, False) else card(b), atr=ATR_T1
    )
    assert wire.run(reader.transmit(0, COMMAND, 300)) == ok(COMMAND)
    assert card.executed == [COMMAND]


# Time


def test_time_extensions_keep_the_host_waiting() -> None:
    reader, wire = powered()
    wire.extensions = [1, 3, 0]
    assert wire.run(reader.transmit(0, COMMAND, 60)) == ok(COMMAND)
    assert wire.waits == [5, 5, 15, 5]


@pytest.mark.parametrize(
    "program",
    [
        lambda reader: reader.slot_status(0),
        lambda reader: reader.power_on(0),
        lambda reader: reader.power_off(0),
        lambda reader: reader.get_parameters(0),
        lambda reader: reader.escape(0, b"\x01", 60),
        lambda reader: reader.secure(0, PIN_ENTRY),
        lambda reader: reader.transmit(0, bytes(4), 60),
        lambda reader: reader.transmit(0, bytes(500), 60),
    ],
)
def test_every_command_may_ask_for_time(program: Callable[[CcidReader], object]) -> None:
    reader, wire = powered()
    wire.extensions = [2, 1]
    wire.run(program(reader))  # type: ignore[arg-type]
    assert len(wire.waits) >= 3
    assert reader.in_step


def test_one_silence_is_shorter_than_the_whole_timeout() -> None:
    reader, wire = powered()
    wire.disturb = lambda _: []
    with pytest.raises(TransferTimeout):
        wire.run(reader.transmit(0, COMMAND, 60))
    assert wire.waits == [5]


class Stalling(Pipes):
    """A device that asks for time for ever, each time after ``pause`` seconds."""

    def __init__(self, pause: float, multiplier: int) -> None:
        super().__init__()
        self.pause = pause
        self.multiplier = multiplier

    def write(self, frame: bytes) -> None:
        super().write(frame)
        if frame[0] == 0x62:
            self.incoming.append(data_block(0, frame[6], ATR_T0))

    def _do(self, step: object) -> bytes | None:
        if isinstance(step, Receive) and not self.incoming:
            self.waits.append(step.timeout)
            if step.timeout < self.pause:
                self.clock.now += step.timeout
                raise TransferTimeout("nothing came")
            self.clock.now += self.pause
            return time_extension(0, self.sent[-1][6], self.multiplier, self.sent[-1][0])
        return super()._do(step)  # type: ignore[arg-type]


@pytest.mark.parametrize("pause", [0.5, 1.0, 4.9])
@pytest.mark.parametrize("multiplier", [1, 255])
@pytest.mark.parametrize("timeout", [0.2, 3.0, 60.0])
def test_a_device_that_asks_for_time_for_ever_ends_at_the_deadline(
    pause: float, multiplier: int, timeout: float
) -> None:
    wire = Stalling(pause, multiplier)
    reader = CcidReader(descriptor(), clock=wire.clock)
    wire.run(reader.power_on(0))
    started = wire.clock.now
    with pytest.raises(TransferTimeout):
        wire.run(reader.transmit(0, COMMAND, timeout))
    assert wire.clock.now - started == pytest.approx(timeout)
    assert not reader.in_step


@pytest.mark.parametrize("timeout", [0.0, -1.0])
def test_no_time_is_a_timeout_and_sends_nothing(timeout: float) -> None:
    reader, wire = powered()
    with pytest.raises(TransferTimeout):
        wire.run(reader.transmit(0, COMMAND, timeout))
    assert wire.sent == []


# Answers that belong to other commands


@pytest.mark.parametrize(
    "stale",
    [
        data_block(0, 0, b"\x69\x82"),
        data_block(1, 1, b"\x69\x82"),
        slot_status(0, 77),
        pack_frame(0x82, 0, 200, 0, 0, 0, bytes(5)),
    ],
)
def test_an_answer_to_another_command_is_dropped(stale: bytes) -> None:
    reader, wire = powered()
    wire.incoming.append(stale)
    assert wire.run(reader.transmit(0, COMMAND, 30)) == ok(COMMAND)


def test_nothing_but_answers_to_other_commands_is_a_violation() -> None:
    reader, wire = powered()
    wire.incoming.extend([data_block(0, 99, b"\x90\x00")] * 1000)
    with pytest.raises(ProtocolViolation, match="old commands"):
        wire.run(reader.transmit(0, COMMAND, 30))


@pytest.mark.parametrize("late", [0, 1, 2])
def test_a_late_answer_is_never_taken_for_the_next_commands(late: int) -> None:
    reader, wire = powered(card=lambda apdu: apdu + b"\x90\x00")
    held: list[bytes] = []

    def hold(frame: bytes) -> list[bytes]:
        if not held:
            held.append(frame)
            return []
        # The old answer comes before, or some answers after, the abort's.
        held.append(frame)
        return [held[0], frame] if len(held) == 2 + late else [frame]

    wire.disturb = hold
    with pytest.raises(TransferTimeout):
        wire.run(reader.transmit(0, b"\x00\x01\x00\x00", 30))
    assert not reader.in_step
    for n in range(2, 6):
        command = bytes([0, n, 0, 0])
        assert wire.run(reader.transmit(0, command, 30)) == command + b"\x90\x00"


# Coming back into step


def test_after_a_timeout_the_next_command_aborts_first_with_one_number_on_both_pipes() -> None:
    reader, wire = powered()
    wire.disturb = lambda _: []
    with pytest.raises(TransferTimeout):
        wire.run(reader.transmit(0, COMMAND, 30))
    wire.disturb = lambda frame: [frame]
    assert wire.run(reader.transmit(0, COMMAND, 30)) == ok(COMMAND)
    abort = wire.sent[1]
    assert abort[0] == 0x72
    assert wire.controls == [Control(1, abort[6] << 8 | 0, 0, 1.0)]
    assert abort[6] not in {wire.sent[0][6], wire.sent[2][6]}
    assert reader.in_step


def test_a_program_closed_half_way_leaves_the_reader_out_of_step() -> None:
    reader, wire = powered()
    program = reader.transmit(0, COMMAND, 30)
    assert isinstance(next(program), Send)
    program.close()
    assert not reader.in_step
    wire.run(reader.abort(0))
    assert reader.in_step


@pytest.mark.parametrize("error", [0x01, 0x05, 0xFF])
def test_a_reader_that_missed_the_bulk_half_of_an_abort_is_sent_another(error: int) -> None:
    reader, wire = powered()
    program = reader.transmit(0, COMMAND, 30)
    next(program)
    program.close()
    wire.disturb = lambda frame: [
        slot_status(0, frame[6], 0x40, error) if len(wire.sent) == 1 else frame
    ]
    wire.run(reader.resynchronise(0))
    assert [frame[0] for frame in wire.sent] == [0x72, 0x72]
    assert [step.value >> 8 for step in wire.controls] == [frame[6] for frame in wire.sent]


@pytest.mark.parametrize("error", [0x00, 0xE0])
def test_a_reader_that_knows_no_abort_is_in_step_all_the_same(error: int) -> None:
    reader, wire = powered()
    program = reader.transmit(0, COMMAND, 30)
    next(program)
    program.close()
    wire.disturb = lambda frame: [slot_status(0, frame[6], 0x40, error)]
    wire.run(reader.resynchronise(0))
    assert reader.in_step


def test_an_abort_with_nothing_under_way_is_harmless() -> None:
    reader, wire = powered()
    wire.run(reader.abort(0))
    assert [frame[0] for frame in wire.sent] == [0x72]
    assert wire.run(reader.transmit(0, COMMAND, 30)) == ok(COMMAND)


def test_the_abort_is_for_the_slot_whose_command_was_lost() -> None:
    reader, wire = powered(slots=2)
    wire.disturb = lambda _: []
    with pytest.raises(TransferTimeout):
        wire.run(reader.transmit(1, COMMAND, 30))
    wire.disturb = lambda frame: [frame]
    wire.run(reader.transmit(0, COMMAND, 30))
    assert wire.sent[1][5] == 1
    assert wire.controls[0].value & 0xFF == 1


def test_what_lies_in_the_pipe_before_the_aborts_answer_is_dropped() -> None:
    reader, wire = powered()
    wreckage = [
        data_block(0, 1, b"\x90\x00"),
        b"",
        b"\x81",
        b"\xff" * 100,
        slot_status(0, 1),
        slot_status(1, 2),
        time_extension(0, 2, 1, 0x72),
    ]
    wire.disturb = lambda _: []
    with pytest.raises(TransferTimeout):
        wire.run(reader.transmit(0, COMMAND, 30))
    wire.disturb = lambda frame: [*wreckage, frame] if frame[0] == 0x81 else [frame]
    wire.run(reader.resynchronise(0))
    assert reader.in_step
    assert not wire.incoming
    wire.run(reader.resynchronise(0))
    assert len(wire.controls) == 1


def test_a_reader_that_never_answers_stays_out_of_step_after_three_attempts() -> None:
    reader, wire = powered()
    wire.disturb = lambda _: []
    for _ in range(2):
        with pytest.raises(TransferTimeout):
            wire.run(reader.transmit(0, COMMAND, 30))
        assert not reader.in_step
    assert [frame[0] for frame in wire.sent] == [0x6F, 0x72, 0x72, 0x72]
    assert len({frame[6] for frame in wire.sent}) == 4


def test_a_reader_that_floods_the_pipe_is_not_waited_for_for_ever() -> None:
    reader, wire = powered()
    program = reader.transmit(0, COMMAND, 30)
    next(program)
    program.close()
    wire.disturb = lambda _: [time_extension(0, 1, 1, 0x6F)] * 1000
    with pytest.raises(TransferTimeout, match="into step"):
        wire.run(reader.resynchronise(0))


def test_a_pipe_full_of_time_extensions_is_emptied_by_one_abort() -> None:
    reader, wire = powered()
    program = reader.transmit(0, COMMAND, 30)
    next(program)
    program.close()
    wire.incoming.extend([time_extension(0, 1, 1, 0x6F)] * 100)
    wire.run(reader.resynchronise(0))
    assert [frame[0] for frame in wire.sent] == [0x72]


def test_recovery_keeps_the_callers_deadline() -> None:
    reader, wire = powered()
    wire.disturb = lambda _: []
    with pytest.raises(TransferTimeout):
        wire.run(reader.transmit(0, COMMAND, 30))
    started = wire.clock.now
    with pytest.raises(TransferTimeout):
        wire.run(reader.transmit(0, COMMAND, 0.25))
    assert wire.clock.now - started <= 0.25


class WithoutAbort(SimulatedReader):
    def control(self, step: Control) -> bytes | None:
        super().control(step)
        raise EndpointHalted("stalled")


@pytest.mark.parametrize("aborts", [True, False])
def test_a_reader_without_abort_is_brought_back_by_its_status(aborts: bool) -> None:
    wire = WithoutAbort(ok)
    reader = CcidReader(descriptor(), quirks=Quirks(aborts=aborts), clock=wire.clock)
    wire.run(reader.power_on(0))
    wire.disturb = lambda _: []
    with pytest.raises(TransferTimeout):
        wire.run(reader.transmit(0, COMMAND, 30))
    wire.disturb = lambda frame: [frame]
    assert wire.run(reader.transmit(0, COMMAND, 30)) == ok(COMMAND)
    assert [frame[0] for frame in wire.sent] == [0x62, 0x6F, 0x65, 0x6F]
    assert len(wire.controls) == aborts


def test_a_stall_is_cleared_when_the_reader_is_used_again() -> None:
    reader, wire = powered()
    wire.incoming.extend([EndpointHalted("stalled"), EndpointHalted("stalled")])
    with pytest.raises(EndpointHalted):
        wire.run(reader.transmit(0, COMMAND, 30))
    assert wire.run(reader.transmit(0, COMMAND, 30)) == ok(COMMAND)
    assert wire.cleared == 1


# Frames that break the protocol


def frame_of(seq: int, *, kind: int = 0x80, status: int = 0, chain: int = 0) -> bytes:
    return pack_frame(kind, 0, seq, status, 0, chain, b"\x90\x00")


@pytest.mark.parametrize(
    ("frame", "why"),
    [
        (b"", "at least 10"),
        (frame_of(1)[:9], "at least 10"),
        (frame_of(1)[:11], "announces 12 bytes and brings 11"),
        (frame_of(1) + b"\x00", "announces 12 bytes and brings 13"),
        (frame_of(1, kind=0x82), "0x82 where 0x80"),
        (frame_of(1, kind=0x81), "0x81 where 0x80"),
        (frame_of(1, status=0xC0), "bStatus"),
        (frame_of(1, status=0x03), "bStatus"),
        (frame_of(1, chain=2), "starts in its middle"),
        (frame_of(1, chain=0x10), "starts in its middle"),
        (data_block(0, 1, b""), "no status word"),
        (data_block(0, 1, b"\x90"), "no status word"),
        (data_block(0, 1, bytes(262)), "272 bytes"),
        (b"\x80\xff\xff\xff\xff\x00\x01\x00\x00\x00\x90\x00", "longest has 271"),
    ],
)
def test_a_frame_that_breaks_the_protocol_says_how(frame: bytes, why: str) -> None:
    reader, wire = powered()
    wire.disturb = lambda real: [frame] if real[0] == 0x80 else [real]
    with pytest.raises(ProtocolViolation, match=why):
        wire.run(reader.transmit(0, COMMAND, 30))
    wire.disturb = lambda real: [real]
    assert wire.run(reader.transmit(0, COMMAND, 30)) == ok(COMMAND)


@given(st.lists(st.binary(max_size=80), max_size=30), st.integers(4, 40))
def test_garbage_from_the_device_gives_a_typed_error(garbage: list[bytes], length: int) -> None:
    reader, wire = powered()
    command = bytes(length)
    wire.disturb = lambda frame: garbage if frame[0] == 0x80 else [frame]
    with pytest.raises(TransportError):
        wire.run(reader.transmit(0, command, 30))
    wire.disturb = lambda frame: [frame]
    wire.incoming.clear()
    assert wire.run(reader.transmit(0, command, 30)) == ok(command)


@given(st.integers(10, 200), st.integers(0, 255), st.integers(1, 255))
def test_one_wrong_byte_in_a_header_is_never_a_wrong_answer(
    length: int, position: int, flip: int
) -> None:
    reader, wire = powered(card=lambda _: bytes(range(length)))
    wrong = True

    def corrupt(frame: bytes) -> list[bytes]:
        nonlocal wrong
        if not wrong:
            return [frame]
        wrong = False
        at = position % 9
        return [frame[:at] + bytes([frame[at] ^ flip]) + frame[at + 1 :]]

    wire.disturb = corrupt
    try:
        response = wire.run(reader.transmit(0, COMMAND, 30))
    except UShieldError:
        wire.incoming.clear()
        if wire.icc == 0:
            wire.run(reader.power_on(0))
        response = wire.run(reader.transmit(0, COMMAND, 30))
    assert response == bytes(range(length))


def test_a_message_split_at_usb_packets_is_put_together() -> None:
    reader, wire = powered(card=lambda _: bytes(range(200)))
    wire.disturb = lambda frame: [frame[n : n + 64] for n in range(0, len(frame), 64)]
    assert wire.run(reader.transmit(0, COMMAND, 30)) == bytes(range(200))


def test_a_split_message_whose_rest_never_comes_is_a_timeout() -> None:
    reader, wire = powered(card=lambda _: bytes(range(200)))
    wire.disturb = lambda frame: [frame[:64]]
    with pytest.raises(TransferTimeout):
        wire.run(reader.transmit(0, COMMAND, 30))
    wire.disturb = lambda frame: [frame[:64], b""] if frame[0] == 0x80 else [frame]
    with pytest.raises(ProtocolViolation, match="announces 210 bytes and brings 64"):
        wire.run(reader.transmit(0, COMMAND, 30))


@pytest.mark.parametrize(
    ("chains", "why"),
    [
        ([0x01, 0x00], "anew"),
        ([0x01, 0x01], "anew"),
        ([0x01, 0x10], "anew"),
        ([0x03], "middle"),
        ([0x01, *[0x03] * 300], "never ends"),
    ],
)
def test_a_response_chained_against_the_rules_is_refused(chains: list[int], why: str) -> None:
    reader, wire = powered()
    order = iter(chains)

    def chained(frame: bytes) -> list[bytes]:
        if frame[0] != 0x80:
            return [frame]
        return [data_block(0, frame[6], bytes(250), 0, 0, next(order))]

    wire.disturb = chained
    with pytest.raises(ProtocolViolation, match=why):
        wire.run(reader.transmit(0, COMMAND, 30))
    assert not reader.in_step
    wire.disturb = lambda frame: [frame]
    assert wire.run(reader.transmit(0, COMMAND, 30)) == ok(COMMAND)


def test_a_response_just_longer_than_any_apdu_is_refused() -> None:
    reader, wire = powered(card=lambda _: bytes(65539))
    with pytest.raises(ProtocolViolation, match=r"longer than any APDU|never ends"):
        wire.run(reader.transmit(0, COMMAND, 30))


def test_an_endless_chain_of_empty_parts_is_refused() -> None:
    reader, wire = powered()
    chains = itertools.chain([1], itertools.repeat(3))
    wire.disturb = lambda frame: [
        frame if frame[0] != 0x80 else data_block(0, frame[6], b"", 0, 0, next(chains))
    ]
    with pytest.raises(ProtocolViolation, match="never ends"):
        wire.run(reader.transmit(0, COMMAND, 30))


def test_an_answer_before_the_whole_command_is_refused() -> None:
    reader, wire = powered()
    wire.disturb = lambda frame: [data_block(0, frame[6], b"\x67\x00")]
    with pytest.raises(ProtocolViolation, match="whole command"):
        wire.run(reader.transmit(0, bytes(500), 30))


# Slot errors and the card's state


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (0x00, ccid_errors.CommandUnsupported),
        (0x05, ccid_errors.ParameterRefused),
        (0x7F, ccid_errors.ParameterRefused),
        (0xC0, SlotError),
        (0xE0, ccid_errors.SlotBusy),
        (0xEF, SlotError),
        (0xF0, SlotError),
        (0xF2, ccid_errors.SlotBusy),
        (0xF3, SlotError),
        (0xF4, SlotError),
        (0xF5, SlotError),
        (0xF6, SlotError),
        (0xF7, SlotError),
        (0xF8, SlotError),
        (0xFB, SlotError),
        (0xFC, ccid_errors.TransmissionCorrupted),
        (0xFD, ccid_errors.TransmissionCorrupted),
        (0xFE, ccid_errors.CardMute),
        (0xFF, ccid_errors.CommandAborted),
    ],
)
@pytest.mark.parametrize("by_status", [False, True])
def test_every_slot_error_has_its_type(error: int, kind: type[SlotError], by_status: bool) -> None:
    reader, wire = powered()
    wire.disturb = lambda frame: [
        pack_frame(0x81 if by_status else 0x80, 0, frame[6], 0x40, error, 0)
    ]
    with pytest.raises(SlotError) as refused:
        wire.run(reader.transmit(0, COMMAND, 30))
    assert type(refused.value) is kind
    assert refused.value.facts == {"slot": 0, "slot_error": error}
    assert reader.in_step
    wire.disturb = lambda frame: [frame]
    assert wire.run(reader.transmit(0, COMMAND, 30)) == ok(COMMAND)


def test_every_slot_error_there_is_has_a_type() -> None:
    for error in range(256):
        assert isinstance(ccid_errors.slot_error(3, error), SlotError)


@pytest.mark.parametrize("failed", [0x00, 0x40])
def test_a_card_gone_from_its_slot_is_told(failed: int) -> None:
    reader, wire = powered()
    wire.disturb = lambda frame: [pack_frame(0x80, 0, frame[6], failed | 2, 0xFE, 0)]
    with pytest.raises(TokenRemoved, match="pulled out"):
        wire.run(reader.transmit(0, COMMAND, 30))


@pytest.mark.parametrize("level", [Feature.EXTENDED_APDU, Feature.SHORT_APDU, Feature.TPDU])
def test_a_card_pulled_and_put_back_is_not_the_same_card(level: Feature) -> None:
    reader, wire = powered(level)
    wire.icc = 1
    for _ in range(2):
        with pytest.raises(TokenRemoved):
            wire.run(reader.transmit(0, bytes.fromhex("0084000008"), 30))
    # It was asked once; until it is powered again there is nothing to ask.
    assert len(wire.sent) == 1
    wire.run(reader.power_on(0))
    wire.run(reader.transmit(0, bytes.fromhex("0084000008"), 30))


def test_a_card_never_powered_takes_no_apdu() -> None:
    wire = SimulatedReader(ok)
    reader = CcidReader(descriptor(), clock=wire.clock)
    with pytest.raises(TokenRemoved, match="no powered card"):
        wire.run(reader.transmit(0, COMMAND, 30))
    assert wire.sent == []


def test_power_off_forgets_the_card() -> None:
    reader, wire = powered()
    wire.run(reader.power_off(0))
    with pytest.raises(TokenRemoved):
        wire.run(reader.transmit(0, COMMAND, 30))


def test_a_power_off_that_fails_with_the_card_still_powered_is_told() -> None:
    reader, wire = powered()
    wire.disturb = lambda frame: [pack_frame(0x81, 0, frame[6], 0x40, 0xFB, 0)]
    with pytest.raises(SlotError):
        wire.run(reader.power_off(0))


@pytest.mark.parametrize("icc", list(IccStatus))
def test_the_status_of_a_slot(icc: IccStatus) -> None:
    reader, wire = powered()
    wire.icc = icc
    assert wire.run(reader.slot_status(0)) is icc


def test_an_empty_slot_reported_as_a_failure_is_an_empty_slot() -> None:
    reader, wire = powered()
    wire.disturb = lambda frame: [pack_frame(0x81, 0, frame[6], 0x42, 0xFE, 0)]
    assert wire.run(reader.slot_status(0)) is IccStatus.ABSENT
    wire.disturb = lambda frame: [pack_frame(0x81, 0, frame[6], 0x40, 0xFB, 0)]
    with pytest.raises(SlotError):
        wire.run(reader.slot_status(0))


@pytest.mark.parametrize("slot", [-1, 1, 256])
def test_a_slot_that_is_not_there_is_refused_before_anything_is_sent(slot: int) -> None:
    reader, wire = powered()
    with pytest.raises(InputInvalid):
        wire.run(reader.slot_status(slot))
    with pytest.raises(InputInvalid):
        wire.run(reader.abort(slot))
    assert wire.sent == []


# Opening, and the reader's own commands


def test_open_tells_the_state_of_every_slot() -> None:
    wire = SimulatedReader(ok)
    reader = CcidReader(descriptor(slots=3), clock=wire.clock)
    assert wire.run(reader.open()) == (IccStatus.INACTIVE,) * 3


@pytest.mark.parametrize("silent", [0, 1, 2])
def test_open_asks_up_to_three_times(silent: int) -> None:
    wire = SimulatedReader(ok)
    reader = CcidReader(descriptor(), clock=wire.clock)
    rest = iter(range(silent))
    wire.disturb = lambda frame: [] if next(rest, None) is not None else [frame]
    assert wire.run(reader.open()) == (IccStatus.INACTIVE,)
    assert wire.clock.now - 1000 == pytest.approx(silent)
    assert wire.controls == []


def test_open_gives_up_after_three_times() -> None:
    wire = SimulatedReader(ok)
    reader = CcidReader(descriptor(), clock=wire.clock)
    wire.disturb = lambda _: []
    with pytest.raises(TransferTimeout):
        wire.run(reader.open())
    assert len(wire.sent) == 3


def test_open_clears_a_stall() -> None:
    wire = SimulatedReader(ok)
    reader = CcidReader(descriptor(), clock=wire.clock)
    wire.incoming.append(EndpointHalted("stalled"))
    assert wire.run(reader.open()) == (IccStatus.INACTIVE,)
    assert wire.cleared == 1


def test_open_gives_up_on_endpoints_that_stay_halted() -> None:
    wire = SimulatedReader(ok)
    reader = CcidReader(descriptor(), clock=wire.clock)
    wire.incoming.extend([EndpointHalted("stalled")] * 3)
    with pytest.raises(EndpointHalted):
        wire.run(reader.open())
    assert wire.cleared == 2


def test_open_reads_over_half_a_message_that_an_earlier_program_left() -> None:
    wire = SimulatedReader(ok)
    reader = CcidReader(descriptor(), clock=wire.clock)
    wire.incoming.extend([b"\xff" * 11, b"\x80"])
    assert wire.run(reader.open()) == (IccStatus.INACTIVE,)
    wire.incoming.extend([b"\xff"] * 3)
    with pytest.raises(ProtocolViolation):
        wire.run(reader.open())


def test_open_drops_what_an_earlier_program_left_in_the_pipe() -> None:
    wire = SimulatedReader(ok)
    reader = CcidReader(descriptor(), clock=wire.clock)
    wire.incoming.extend([data_block(0, 9, b"\x90\x00"), slot_status(0, 200)])
    assert wire.run(reader.open()) == (IccStatus.INACTIVE,)
    assert not wire.incoming


def test_escape_speaks_to_the_reader() -> None:
    reader, wire = powered()
    wire.icc = 2
    assert wire.run(reader.escape(0, b"\x01\x02", 5)) == b"\x02\x01"
    wire.disturb = lambda frame: [pack_frame(0x83, 0, frame[6], 0x42, 0x00, 0)]
    with pytest.raises(ccid_errors.CommandUnsupported):
        wire.run(reader.escape(0, b"\x01", 5))


def test_a_message_longer_than_the_reader_takes_is_refused() -> None:
    reader, wire = powered()
    with pytest.raises(InputInvalid, match="takes 271"):
        wire.run(reader.escape(0, bytes(262), 5))
    assert wire.sent == []


@pytest.mark.parametrize(("seconds", "patience"), [(0, 90), (30, 90), (80, 90), (120, 130)])
def test_secure_pin_entry_waits_for_the_person(seconds: int, patience: float) -> None:
    reader, wire = powered(card=lambda _: b"\x90\x00")
    entry = replace(PIN_ENTRY, timeout=seconds)
    wire.extensions = [1]
    assert wire.run(reader.secure(0, entry)) == b"\x90\x00"
    assert wire.sent[0] == bytes.fromhex("69 14000000 00 01 00 0000") + entry.encode()
    assert wire.waits == [patience, patience]


@pytest.mark.parametrize(("error", "answer"), [(0xEF, b"\x64\x01"), (0xF0, b"\x64\x00")])
def test_an_entry_that_did_not_end_with_a_pin_answers_as_pc_sc_has_it(
    error: int, answer: bytes
) -> None:
    reader, wire = powered(card=lambda _: b"\x90\x00")
    wire.disturb = lambda frame: [pack_frame(0x80, 0, frame[6], 0x40, error, 0)]
    assert wire.run(reader.secure(0, PIN_ENTRY)) == answer


def test_a_pad_without_a_card_asks_for_nothing() -> None:
    wire = SimulatedReader(ok)
    reader = CcidReader(descriptor(), clock=wire.clock)
    with pytest.raises(TokenRemoved):
        wire.run(reader.secure(0, PIN_ENTRY))
    assert wire.sent == []


def test_notices_are_read_for_as_many_slots_as_there_are() -> None:
    reader, _ = powered(slots=2)
    assert reader.parse_notification(bytes.fromhex("51010301")) == HardwareError(1, 3, 1)
    with pytest.raises(FrameInvalid):
        reader.parse_notification(b"\x50\x00\x00")


def test_nothing_is_ever_sent_without_bytes() -> None:
    reader, wire = powered(card=lambda _: bytes(300), max_message_length=74)
    wire.run(reader.transmit(0, bytes(64), 30))
    assert all(wire.sent)
