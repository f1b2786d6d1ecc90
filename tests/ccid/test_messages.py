"""Bulk messages both ways (CCID Rev 1.1, sections 6.1 and 6.2)."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ushield.ccid import commands, messages, responses
from ushield.ccid.commands import PowerSelect, decode_command
from ushield.ccid.errors import FrameInvalid
from ushield.ccid.messages import (
    ChainParameter,
    CommandStatus,
    IccStatus,
    MessageType,
    answer_type,
    unpack_frame,
)
from ushield.ccid.responses import Outcome, decode_response
from ushield.errors import InputInvalid

byte = st.integers(0, 255)
word = st.integers(0, 0xFFFF)
dword = st.integers(0, 0xFFFFFFFF)
data = st.binary(max_size=300)

any_command = st.one_of(
    st.builds(commands.IccPowerOn, byte, byte, st.sampled_from(PowerSelect)),
    st.builds(commands.IccPowerOff, byte, byte),
    st.builds(commands.GetSlotStatus, byte, byte),
    st.builds(commands.XfrBlock, byte, byte, data, byte, word),
    st.builds(commands.GetParameters, byte, byte),
    st.builds(commands.ResetParameters, byte, byte),
    st.builds(commands.SetParameters, byte, byte, byte, data),
    st.builds(commands.Escape, byte, byte, data),
    st.builds(commands.IccClock, byte, byte, st.booleans()),
    st.builds(commands.T0Apdu, byte, byte, st.integers(0, 3), byte, byte),
    st.builds(commands.Secure, byte, byte, data, byte, word),
    st.builds(commands.Mechanical, byte, byte, st.integers(1, 5)),
    st.builds(commands.Abort, byte, byte),
    st.builds(commands.SetDataRateAndClockFrequency, byte, byte, dword, dword),
)
outcomes = st.builds(
    Outcome,
    st.sampled_from(IccStatus),
    st.sampled_from([CommandStatus.PROCESSED, CommandStatus.FAILED, CommandStatus.TIME_EXTENSION]),
    byte,
)
any_response = st.one_of(
    st.builds(responses.DataBlock, byte, byte, outcomes, data, st.sampled_from(ChainParameter)),
    st.builds(responses.SlotStatus, byte, byte, outcomes, st.integers(0, 3)),
    st.builds(responses.Parameters, byte, byte, outcomes, byte, data),
    st.builds(responses.EscapeData, byte, byte, outcomes, data),
    st.builds(responses.DataRateAndClockFrequency, byte, byte, outcomes, dword, dword),
)


@given(any_command)
def test_every_command_decodes_to_itself(command: commands.Command) -> None:
    assert decode_command(command.encode()) == command


@given(any_response)
def test_every_response_decodes_to_itself(response: responses.Response) -> None:
    assert decode_response(response.encode()) == response


def frames(kinds: list[int]) -> st.SearchStrategy[bytes]:
    """Frames with a right length, and anything else in them, zero more often than not."""
    mostly_zero = st.just(0) | byte
    return st.builds(
        lambda kind, slot, seq, rest, body: messages.pack_frame(
            kind, slot, seq, rest[0], rest[1], rest[2], body
        ),
        st.sampled_from(kinds),
        byte,
        byte,
        st.tuples(mostly_zero, mostly_zero, mostly_zero),
        st.just(b"") | st.binary(min_size=8, max_size=8) | data,
    )


@given(frames(list(range(0x60, 0x75))))
def test_a_frame_that_is_a_command_encodes_to_itself(frame: bytes) -> None:
    try:
        command = decode_command(frame)
    except FrameInvalid:
        return
    assert command.encode() == frame


@given(frames(list(range(0x7F, 0x86))))
def test_a_frame_that_is_a_response_encodes_to_itself(frame: bytes) -> None:
    try:
        response = decode_response(frame)
    except FrameInvalid:
        return
    assert response.encode() == frame


@given(st.binary(max_size=64).filter(lambda frame: frame[1:5] != bytes(4)))
def test_bytes_of_another_length_than_they_announce_are_refused(frame: bytes) -> None:
    length = int.from_bytes(frame[1:5], "little")
    if len(frame) == 10 + length:
        return
    for decode in (decode_command, decode_response):
        with pytest.raises(FrameInvalid) as refused:
            decode(frame)
        assert refused.value.offset == (0 if len(frame) < 10 else 1)


@pytest.mark.parametrize(
    ("command", "frame"),
    [
        (commands.IccPowerOn(0, 1, PowerSelect.V3), "62 00000000 00 01 02 0000"),
        (commands.IccPowerOff(1, 2), "63 00000000 01 02 000000"),
        (commands.GetSlotStatus(0, 255), "65 00000000 00 FF 000000"),
        (
            commands.XfrBlock(0, 3, bytes.fromhex("00A40400"), 2, 0x0010),
            "6F 04000000 00 03 02 1000 00A40400",
        ),
        (commands.SetParameters(0, 4, 0, bytes(5)), "61 05000000 00 04 00 0000 0000000000"),
        (commands.Abort(0, 9), "72 00000000 00 09 000000"),
        (commands.GetParameters(0, 9), "6C 00000000 00 09 000000"),
        (commands.ResetParameters(0, 9), "6D 00000000 00 09 000000"),
        (commands.Escape(0, 9, b"\x01"), "6B 01000000 00 09 000000 01"),
        (commands.IccClock(0, 9, stop=True), "6E 00000000 00 09 01 0000"),
        (commands.T0Apdu(0, 9, 3, 0x80, 0x90), "6A 00000000 00 09 03 80 90"),
        (commands.Mechanical(0, 9, 2), "71 00000000 00 09 02 0000"),
        (commands.Secure(0, 5, b"\x00\x01", 0, 0), "69 02000000 00 05 00 0000 0001"),
        (
            commands.SetDataRateAndClockFrequency(0, 6, 4000, 10752),
            "73 08000000 00 06 000000 A00F0000 002A0000",
        ),
    ],
)
def test_commands_lie_as_section_6_1_draws_them(command: commands.Command, frame: str) -> None:
    assert command.encode() == bytes.fromhex(frame)
    assert decode_command(bytes.fromhex(frame)) == command


@pytest.mark.parametrize(
    ("response", "frame"),
    [
        (
            responses.DataBlock(0, 7, Outcome(), b"\x90\x00", ChainParameter.FIRST),
            "80 02000000 00 07 00 00 01 9000",
        ),
        (
            responses.SlotStatus(
                0, 8, Outcome(IccStatus.ABSENT, CommandStatus.FAILED, 0xFE), clock=1
            ),
            "81 00000000 00 08 42 FE 01",
        ),
        (
            responses.Parameters(0, 1, Outcome(), 1, bytes(7)),
            "82 07000000 00 01 00 00 01 00000000000000",
        ),
        (responses.EscapeData(0, 1, Outcome(), b"\x01"), "83 01000000 00 01 00 00 00 01"),
    ],
)
def test_responses_lie_as_section_6_2_draws_them(response: responses.Response, frame: str) -> None:
    assert response.encode() == bytes.fromhex(frame)
    assert decode_response(bytes.fromhex(frame)) == response


@pytest.mark.parametrize("kind", [0x6F, 0x69, 0x62, 0x61])
def test_a_time_extension_has_the_type_of_the_answer_it_delays(kind: int) -> None:
    frame = decode_response(messages.time_extension(0, 7, 3, kind))
    assert frame.outcome == Outcome(IccStatus.ACTIVE, CommandStatus.TIME_EXTENSION, 3)
    assert frame.encode()[0] == answer_type(kind)


def test_an_unknown_command_is_answered_by_a_slot_status() -> None:
    assert answer_type(0x42) == MessageType.SLOT_STATUS


@pytest.mark.parametrize(
    ("frame", "offset"),
    [
        ("", 0),
        ("6F0000000000010000", 0),
        ("6F 01000000 00 01 00 0000", 1),
        ("6F 00000000 00 01 00 0000 00", 1),
        ("42 00000000 00 01 00 0000", 0),
        ("80 00000000 00 01 00 0000", 0),
        ("62 00000000 00 01 04 0000", 7),
        ("62 00000000 00 01 00 0100", 8),
        ("62 01000000 00 01 00 0000 00", 1),
        ("65 00000000 00 01 00 0001", 9),
        ("6E 00000000 00 01 02 0000", 7),
        ("6A 00000000 00 01 04 0000", 7),
        ("71 00000000 00 01 06 0000", 7),
        ("73 04000000 00 01 00 0000 00000000", 1),
    ],
)
def test_a_refused_command_names_the_field_for_b_error(frame: str, offset: int) -> None:
    with pytest.raises(FrameInvalid) as refused:
        decode_command(bytes.fromhex(frame))
    assert refused.value.offset == offset


@pytest.mark.parametrize(
    ("frame", "offset"),
    [
        ("6F 00000000 00 01 00 00 00", 0),
        ("80 00000000 00 01 03 00 00", 7),
        ("80 00000000 00 01 C0 00 00", 7),
        ("80 00000000 00 01 04 00 00", 7),
        ("80 00000000 00 01 00 00 04", 9),
        ("81 00000000 00 01 00 00 04", 9),
        ("81 01000000 00 01 00 00 00 00", 1),
        ("83 00000000 00 01 00 00 01", 9),
        ("84 04000000 00 01 00 00 00 00000000", 1),
    ],
)
def test_a_refused_response_names_the_field(frame: str, offset: int) -> None:
    with pytest.raises(FrameInvalid) as refused:
        decode_response(bytes.fromhex(frame))
    assert refused.value.offset == offset


@pytest.mark.parametrize(
    "encode",
    [
        commands.GetSlotStatus(256, 0).encode,
        commands.XfrBlock(0, -1, b"").encode,
        commands.XfrBlock(0, 0, b"", 0, 0x10000).encode,
        commands.Secure(0, 0, b"", 0, 0x10000).encode,
        commands.SetDataRateAndClockFrequency(0, 0, 1 << 32, 0).encode,
        responses.DataRateAndClockFrequency(0, 0, Outcome(), 0, -1).encode,
    ],
)
def test_fields_out_of_range_are_refused(encode: Callable[[], bytes]) -> None:
    with pytest.raises(InputInvalid):
        encode()


@given(data)
def test_the_frame_functions_make_what_the_types_make(body: bytes) -> None:
    block = responses.DataBlock(1, 2, Outcome(), body)
    assert messages.data_block(1, 2, body) == block.encode()
    assert unpack_frame(block.encode()) == (0x80, 1, 2, 0, 0, 0, body)
