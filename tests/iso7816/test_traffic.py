"""The traffic log: everything of a conversation but its secrets."""

from __future__ import annotations

import pickle
from dataclasses import replace
from threading import Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.iso7816.connections import DirectConnection, commands_log, echo_connection, scripted
from ushield.errors import TokenRemoved
from ushield.iso7816.apdu import CommandApdu
from ushield.iso7816.masking import SECRET_INSTRUCTIONS
from ushield.iso7816.traffic import Exchange, PanelReading, RecordingConnection, TrafficLog

# Digits that no header, length or status word below contains, in ASCII or otherwise.
SECRET = b"\x37\x38\x36\x39\x37\x38\x36\x39"

secret_instructions = st.sampled_from(sorted(SECRET_INSTRUCTIONS))
classes = st.sampled_from([0x00, 0x10, 0x80, 0x90, 0x0C, 0x1C, 0x40])


def _holds_secret(exchange: Exchange) -> bool:
    # Any digits may be in a time.
    exchange = replace(exchange, milliseconds=0.0)
    kept = exchange.command + (exchange.response or b"")
    written = str(exchange) + repr(exchange)
    return any(
        SECRET[at : at + 2] in kept or SECRET[at : at + 2].hex() in written.replace(" ", "")
        for at in range(len(SECRET) - 1)
    ) or SECRET in pickle.dumps(exchange)


@given(classes, secret_instructions, st.booleans(), st.sampled_from([0, 256]))
def test_of_a_command_with_a_secret_header_and_lengths_are_kept(
    cla: int,
    ins: int,
    extended: bool,
    ne: int,
) -> None:
    command = CommandApdu(cla, ins, 0, 0x81, SECRET, ne).encode(extended=extended)
    exchange = Exchange.of(command, b"\x90\x00", 1.0)
    assert exchange.masked
    assert exchange.command == bytes((cla, ins, 0, 0x81))
    assert exchange.lc == len(SECRET)
    assert exchange.length == len(command)
    assert not _holds_secret(exchange)


@given(classes, secret_instructions, st.binary(max_size=4))
def test_a_malformed_command_with_a_secret_is_masked_too(cla: int, ins: int, junk: bytes) -> None:
    for body in (junk + SECRET, SECRET + junk, b"\x06" + SECRET, b"\0\0\x06" + SECRET, SECRET[:1]):
        command = bytes((cla, ins, 0, 0x81)) + body
        exchange = Exchange.of(command, b"\x67\x00", 1.0)
        assert exchange.masked
        assert exchange.command == command[:4]
        assert exchange.length == len(command)


@pytest.mark.parametrize(
    "command",
    [
        b"\x20\x00\x81\x08" + SECRET,  # CLA forgotten
        b"\x00\x00\x20\x00\x81\x08" + SECRET,
        SECRET,
        SECRET[:3],
        b"\x00\xa4\x04\x00\x02" + SECRET,
        b"",
    ],
)
def test_of_what_is_no_command_only_its_length_is_kept(command: bytes) -> None:
    exchange = Exchange.of(command, b"\x67\x00", 1.0)
    assert exchange.masked
    assert exchange.command == b""
    assert exchange.lc is None
    assert exchange.length == len(command)


@pytest.mark.parametrize(
    ("response", "kept"),
    [
        (SECRET + b"\x90\x00", b"\x90\x00"),  # a card that echoes
        (SECRET, b""),
        (SECRET[:1], b""),
        (b"\x63\xc2", b"\x63\xc2"),
        (b"", b""),
        (None, None),
    ],
)
def test_of_the_answer_to_a_secret_the_status_word_is_kept(
    response: bytes | None, kept: bytes | None
) -> None:
    exchange = Exchange.of(b"\x00\x20\x00\x81\x08" + SECRET, response, 1.0)
    assert exchange.response == kept
    assert not _holds_secret(exchange)


@given(st.binary(max_size=40), st.none() | st.binary(max_size=10))
def test_what_is_not_masked_is_a_whole_command_without_a_secret(
    command: bytes, response: bytes | None
) -> None:
    exchange = Exchange.of(command, response, 1.0)
    assert exchange.length == len(command)
    if not exchange.masked:
        assert (exchange.command, exchange.response) == (command, response)
        CommandApdu.decode(command)
        assert command[1] not in SECRET_INSTRUCTIONS or len(command) == 4


@pytest.mark.parametrize(
    "header",
    ["00200081", "00210081", "00240081", "002C0081", "00260081", "00280081", "805C0000"],
    ids=["verify", "verify-tlv", "change", "reset-retry", "disable", "enable", "unblock"],
)
def test_every_command_that_carries_a_pin_is_masked(header: str) -> None:
    command = bytes.fromhex(header) + bytes((len(SECRET),)) + SECRET
    assert not _holds_secret(Exchange.of(command, b"\x90\x00", 1.0))


def test_asking_for_the_counter_carries_no_secret() -> None:
    exchange = Exchange.of(bytes.fromhex("00200081"), b"\x63\xc6", 1.0)
    assert not exchange.masked
    assert str(exchange) == "00 20 00 81 -> 63C6 (not verified, 6 tries left), 1.0 ms"


def test_no_exchange_can_be_made_that_keeps_a_secret() -> None:
    command = b"\x00\x20\x00\x81\x08" + SECRET
    with pytest.raises(ValueError, match="must be masked"):
        Exchange(command, b"\x90\x00", 1.0, len(command))
    with pytest.raises(ValueError, match="no more"):
        Exchange(command, b"\x90\x00", 1.0, len(command), 8, masked=True)
    with pytest.raises(ValueError, match="no more"):
        Exchange(command[:4], SECRET, 1.0, len(command), 8, masked=True)
    with pytest.raises(ValueError, match="lengths itself"):
        Exchange(command[:4], b"\x90\x00", 1.0, len(command))


@pytest.mark.parametrize(
    ("exchange", "line"),
    [
        (
            Exchange.of(b"\x00\x20\x00\x81\x08" + SECRET, b"\x90\x00", 0.26),
            "00 20 00 81 [9 bytes hidden] -> 9000 (done), 0.3 ms",
        ),
        (
            Exchange.of(b"\x00\xca\x00\x00\x00", b"\xab\xcd\x90\x00", 1.0),
            "00 CA 00 00 00 -> AB CD 9000 (done), 1.0 ms",
        ),
        (Exchange.of(b"\x00\xca\x00\x00\x00", None, 1.0), "00 CA 00 00 00 -> no answer, 1.0 ms"),
        (
            Exchange.of(b"\x00\xca\x00\x00\x00", b"\xab", 1.0),
            "00 CA 00 00 00 -> ab [no status word], 1.0 ms",
        ),
        (Exchange.of(SECRET, b"\x67\x00", 1.0), "[8 bytes hidden] -> 6700 (wrong length), 1.0 ms"),
    ],
)
def test_an_exchange_reads_as_a_line(exchange: Exchange, line: str) -> None:
    assert str(exchange) == line


def _recorded(connection: DirectConnection) -> tuple[RecordingConnection, list[Exchange]]:
    exchanges: list[Exchange] = []
    return RecordingConnection(connection, commands_log(exchanges)), exchanges


def test_a_recording_connection_passes_everything_on() -> None:
    below = echo_connection()
    records: list[Exchange | PanelReading] = []
    connection = RecordingConnection(below, TrafficLog(records.append))
    assert connection.transmit(b"\x00\x10\x00\x00\x01\xaa\x00", timeout=3.0) == b"\xaa\x90\x00"
    assert below.timeouts == [3.0]
    assert connection.device is below.device
    assert connection.limits is below.limits
    assert connection.atr == below.atr == connection.reset()
    assert connection.has_panel is False
    assert connection.read_panel(0.0) is None
    connection.close()
    assert below.closed == 1
    command, reading = records
    assert isinstance(command, Exchange)
    assert command.response == b"\xaa\x90\x00"
    assert isinstance(reading, PanelReading)
    assert reading.report is None
    assert str(reading).startswith("panel: nothing, ")


def test_a_command_without_answer_is_recorded_and_its_error_passes() -> None:
    connection, exchanges = _recorded(scripted([TokenRemoved("gone")]))
    with pytest.raises(TokenRemoved):
        connection.transmit(b"\x00\xca\x00\x00")
    (exchange,) = exchanges
    assert exchange.response is None


def test_an_echo_of_a_secret_that_is_fetched_in_pieces_is_hidden_too() -> None:
    echo = SECRET.hex()
    connection, exchanges = _recorded(
        scripted(["6104", f"{echo[:8]}6104", f"{echo[8:]}9000", "6102", "abcd9000"])
    )
    connection.transmit(b"\x00\x20\x00\x81\x08" + SECRET)
    fetch = b"\x00\xc0\x00\x00\x04"
    assert connection.transmit(fetch) + connection.transmit(fetch) == bytes.fromhex(
        f"{echo[:8]}6104{echo[8:]}9000"
    )
    connection.transmit(b"\x00\xca\x00\x00\x00")
    connection.transmit(fetch)
    assert not any(map(_holds_secret, exchanges))
    assert [exchange.response for exchange in exchanges] == [
        bytes.fromhex(kept) for kept in ("6104", "6104", "9000", "6102", "abcd9000")
    ]


def test_threads_exchanges_are_recorded_in_their_order_on_the_wire() -> None:
    below = echo_connection()
    connection, exchanges = _recorded(below)

    def work(number: int) -> None:
        for _ in range(50):
            with connection.hold():
                connection.transmit(bytes((0, 0x10, 0, number, 1, number, 0)))

    threads = [Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [exchange.command for exchange in exchanges] == below.commands
    assert all(exchange.response == bytes((exchange.command[3], 0x90, 0)) for exchange in exchanges)
