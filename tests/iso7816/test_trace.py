"""Traces: written while it goes on, read strictly, replayed as a card."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.iso7816.connections import SHORT, echo_connection
from ushield.errors import InputInvalid, TokenRemoved, TransferTimeout
from ushield.iso7816.apdu import CommandApdu
from ushield.iso7816.channel import ApduChannel
from ushield.iso7816.masking import SECRET_INSTRUCTIONS
from ushield.iso7816.replay import ReplayConnection, ReplayDiverged
from ushield.iso7816.trace import Trace, TraceHeader, TraceInvalid, TraceWriter, read_trace
from ushield.iso7816.traffic import Exchange, PanelReading, TrafficLog
from ushield.transport.connection import ApduLimits

HEADER = TraceHeader(b"\x3b\x00", SHORT)
HEADER_LINE = (
    '{"trace": "ushield", "version": 1, "atr": "3b00", "max_command": 261, '
    '"max_response": 258, "extended": false, "panel": false}\n'
)
PLAIN_LINE = '{"command": "00ca0000", "response": "9000", "masked": false, "milliseconds": 1.5}\n'
MASKED_LINE = (
    '{"command": "00200081", "response": "9000", "masked": true, "milliseconds": 1.5, '
    '"lc": 6, "length": 11}\n'
)

exchanges = st.builds(
    Exchange.of,
    st.one_of(
        st.binary(max_size=40),
        st.builds(
            lambda ins, data: CommandApdu(0, ins, 0, 0x81, data).encode(),
            st.sampled_from(sorted(SECRET_INSTRUCTIONS)),
            st.binary(max_size=20),
        ),
    ),
    st.none() | st.binary(max_size=40),
    st.integers(0, 10**9).map(lambda thousandths: thousandths / 1000),
)
headers = st.builds(
    TraceHeader,
    st.binary(max_size=33),
    st.builds(ApduLimits, st.integers(0, 70000), st.integers(0, 70000), st.booleans()),
    st.booleans(),
)
readings = st.builds(
    PanelReading,
    st.none() | st.binary(max_size=64),
    st.integers(0, 10**9).map(lambda thousandths: thousandths / 1000),
)


def written(header: TraceHeader, records: Sequence[Exchange | PanelReading]) -> str:
    stream = io.StringIO()
    writer = TraceWriter(stream)
    writer.begin(header)
    for record in records:
        writer.write(record)
    return stream.getvalue()


@given(headers, st.lists(exchanges | readings, max_size=6))
def test_a_trace_is_read_as_it_was_written(
    header: TraceHeader, records: list[Exchange | PanelReading]
) -> None:
    text = written(header, records)
    assert read_trace(io.StringIO(text)) == Trace(header, tuple(records))


def test_the_form_is_json_lines() -> None:
    plain = Exchange.of(bytes.fromhex("00ca0000"), b"\x90\x00", 1.5)
    masked = Exchange.of(bytes.fromhex("0020008106") + b"802563", b"\x90\x00", 1.5)
    assert written(HEADER, [plain, masked]) == HEADER_LINE + PLAIN_LINE + MASKED_LINE


def test_a_secret_is_not_in_the_file() -> None:
    stream = io.StringIO()
    writer = TraceWriter(stream)
    channel = ApduChannel(echo_connection(SHORT), log=TrafficLog(writer.write))
    writer.begin(TraceHeader(channel.connection.atr, SHORT))
    for ins in SECRET_INSTRUCTIONS:
        channel.send(CommandApdu(0, ins, 0, 0x81, b"802563" * 60, 256))
    assert b"802563".hex() not in stream.getvalue()
    assert b"025638".hex() not in stream.getvalue()
    assert len(read_trace(stream.getvalue().splitlines(keepends=True)).records) > 9


def changed(line: str, **changes: object) -> str:
    return json.dumps(json.loads(line) | changes) + "\n"


def without(line: str, key: str) -> str:
    return json.dumps({k: v for k, v in json.loads(line).items() if k != key}) + "\n"


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (1, ""),
        (1, PLAIN_LINE),
        (1, "\n"),
        (1, "[]\n"),
        (1, changed(HEADER_LINE, trace="other")),
        (1, changed(HEADER_LINE, version=2)),
        (1, changed(HEADER_LINE, max_command=-1)),
        (1, changed(HEADER_LINE, max_command=True)),
        (1, changed(HEADER_LINE, max_command="261")),
        (1, changed(HEADER_LINE, extended=0)),
        (1, changed(HEADER_LINE, atr="3B00")),
        (1, changed(HEADER_LINE, more=1)),
        *((1, without(HEADER_LINE, key)) for key in json.loads(HEADER_LINE)),
        (2, HEADER_LINE + HEADER_LINE),
        (2, HEADER_LINE + PLAIN_LINE.rstrip("\n")),
        (2, HEADER_LINE + PLAIN_LINE[:30] + "\n"),
        (2, HEADER_LINE + "\n"),
        (2, HEADER_LINE + "[" * 100_000 + "\n"),
        (2, HEADER_LINE + " " * (1 << 19) + PLAIN_LINE),
        (2, HEADER_LINE + PLAIN_LINE.replace("1.5", "NaN")),
        (2, HEADER_LINE + PLAIN_LINE.replace("1.5", "1e999")),
        (2, HEADER_LINE + PLAIN_LINE.replace("1.5", "1" + "0" * 400)),
        (1, changed(HEADER_LINE, version=True)),
        (1, changed(HEADER_LINE, version=1.0)),
        (2, HEADER_LINE + PLAIN_LINE.replace("1.5", "-1")),
        (2, HEADER_LINE + PLAIN_LINE.replace("1.5", "true")),
        (2, HEADER_LINE + PLAIN_LINE.replace('"masked": false', '"masked": 0')),
        (2, HEADER_LINE + PLAIN_LINE.replace("{", '{"command": "00ca0000", ')),
        (2, HEADER_LINE + PLAIN_LINE.replace("00ca0000", "00 ca 00 00")),
        (2, HEADER_LINE + PLAIN_LINE.replace("00ca0000", "00CA0000")),
        (2, HEADER_LINE + PLAIN_LINE.replace("00ca0000", "00ca000")),
        (2, HEADER_LINE + changed(PLAIN_LINE, command=None)),
        (2, HEADER_LINE + changed(PLAIN_LINE, command="0020008106" + b"802563".hex())),
        (2, HEADER_LINE + changed(PLAIN_LINE, length=4)),
        (2, HEADER_LINE + changed(MASKED_LINE, command="0020008106" + b"802563".hex())),
        (2, HEADER_LINE + changed(MASKED_LINE, response="aabb9000")),
        (2, HEADER_LINE + changed(MASKED_LINE, length=3)),
        (2, HEADER_LINE + changed(MASKED_LINE, lc=-1)),
        (3, HEADER_LINE + PLAIN_LINE + changed(PLAIN_LINE, note="x")),
        *((2, HEADER_LINE + without(PLAIN_LINE, key)) for key in json.loads(PLAIN_LINE)),
        *((2, HEADER_LINE + without(MASKED_LINE, key)) for key in json.loads(MASKED_LINE)),
    ],
)
def test_what_the_writer_would_not_write_is_refused_with_its_line(line: int, text: str) -> None:
    with pytest.raises(TraceInvalid) as caught:
        read_trace(io.StringIO(text))
    assert caught.value.line == line
    assert isinstance(caught.value, InputInvalid)


@given(st.text(max_size=60))
def test_any_text_is_a_trace_or_refused(text: str) -> None:
    with pytest.raises(TraceInvalid):
        read_trace(io.StringIO(HEADER_LINE + text + "x"))


def conversation(channel: ApduChannel, pin: bytes = b"802563") -> list[object]:
    return [
        channel.send(CommandApdu(0, 0x10, 0, 0, bytes(range(256)) * 2, 256)),
        channel.send(CommandApdu(0, 0x20, 0, 0x81, pin)),
        channel.send(CommandApdu(0, 0x12, 1, 0, ne=256)),
    ]


def recorded() -> tuple[Trace, list[object]]:
    stream = io.StringIO()
    writer = TraceWriter(stream)
    connection = echo_connection(SHORT)
    writer.begin(TraceHeader(connection.atr, connection.limits))
    answers = conversation(ApduChannel(connection, log=TrafficLog(writer.write)))
    return read_trace(io.StringIO(stream.getvalue())), answers


def test_a_replay_answers_as_the_card_did() -> None:
    trace, answers = recorded()
    replay = ReplayConnection(trace)
    assert (replay.atr, replay.limits) == (trace.header.atr, SHORT)
    assert replay.reset() == replay.atr
    assert conversation(ApduChannel(replay)) == answers
    assert replay.left == ()


def test_a_replay_knows_no_pin() -> None:
    trace, answers = recorded()
    assert conversation(ApduChannel(ReplayConnection(trace)), pin=b"111111") == answers


@pytest.mark.parametrize(
    "command",
    [
        CommandApdu(0, 0x10, 0, 1, bytes(range(256)) * 2, 256),
        CommandApdu(0, 0x10, 0, 0, bytes(510), 256),
        CommandApdu(0, 0x20, 0, 0x81, b"802563"),
    ],
)
def test_another_command_diverges(command: CommandApdu) -> None:
    trace, _ = recorded()
    replay = ReplayConnection(trace)
    with pytest.raises(ReplayDiverged):
        ApduChannel(replay).send(command)
    assert replay.left == trace.records


@pytest.mark.parametrize(
    "command", [b"\x00\x20\x00\x81\x0512345", b"\x00\x20\x00\x83\x06123456", b"\x00\x20\x00\x81"]
)
def test_a_masked_command_matches_by_header_and_lengths(command: bytes) -> None:
    masked = Exchange.of(b"\x00\x20\x00\x81\x06802563", b"\x90\x00", 1.0)
    replay = ReplayConnection(Trace(HEADER, (masked,)))
    with pytest.raises(ReplayDiverged) as caught:
        replay.transmit(command)
    assert "3132" not in str(caught.value)
    assert replay.transmit(b"\x00\x20\x00\x81\x06999999") == b"\x90\x00"


def test_a_replay_ends_with_its_trace() -> None:
    replay = ReplayConnection(Trace(HEADER, ()))
    with pytest.raises(ReplayDiverged, match="ended"):
        replay.transmit(b"\x00\xca\x00\x00")
    replay.close()
    with pytest.raises(TokenRemoved):
        replay.transmit(b"\x00\xca\x00\x00")


def test_where_no_answer_came_none_comes_again() -> None:
    replay = ReplayConnection(Trace(HEADER, (Exchange.of(b"\x00\xca\x00\x00", None, 1.0),)))
    with pytest.raises(TransferTimeout):
        replay.transmit(b"\x00\xca\x00\x00")
    assert replay.left == ()
    assert replay.has_panel is False
    assert replay.device.spec == "replay:"
    with replay.hold():
        assert replay.left == ()


def test_the_panel_is_replayed_with_the_commands_around_it() -> None:
    ask = Exchange.of(b"\x00\xca\x00\x00", b"\x90\x00", 1.0)
    records = (ask, PanelReading(None, 250.0), PanelReading(b"\x01\x02", 3.0), ask)
    replay = ReplayConnection(Trace(TraceHeader(b"\x3b\x00", SHORT, has_panel=True), records))
    assert replay.has_panel
    with pytest.raises(ReplayDiverged, match="wait for the panel"):
        replay.read_panel(1.0)
    assert replay.transmit(ask.command) == b"\x90\x00"
    with pytest.raises(ReplayDiverged, match="record 2 of the trace is a wait for the panel"):
        replay.transmit(ask.command)
    assert replay.read_panel(1.0) is None
    assert replay.read_panel(1.0) == b"\x01\x02"
    assert replay.transmit(ask.command) == b"\x90\x00"
    assert replay.left == ()
