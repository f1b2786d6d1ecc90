"""Cards whose answers never come to an end, as `ApduChannel` meets them."""

from __future__ import annotations

import tracemalloc

import pytest

from tests.iso7816.connections import EXTENDED, SHORT, DirectConnection
from ushield.errors import ProtocolViolation, TransferTimeout
from ushield.iso7816.apdu import CommandApdu
from ushield.iso7816.channel import MAX_ANSWER, ApduChannel
from ushield.transport.connection import ApduLimits

COMMAND = CommandApdu(0, 0xCB, 0x3F, 0xFF, b"\x5c\x00", 256)
MOST_MEMORY = 4 << 20


@pytest.mark.parametrize("limits", [SHORT, EXTENDED], ids=["short", "extended"])
@pytest.mark.parametrize("piece", [16, 200])
def test_an_answer_that_goes_on_for_ever_is_refused_in_little_memory(
    piece: int, limits: ApduLimits
) -> None:
    asked = 0

    def card(command: bytes) -> bytes:
        nonlocal asked
        asked += 1
        connection.commands.clear()
        connection.timeouts.clear()
        return bytes(piece) + b"\x61\x00"

    connection = DirectConnection(card, limits)
    tracemalloc.start()
    try:
        with pytest.raises(ProtocolViolation):
            ApduChannel(connection).send(COMMAND)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert asked <= MAX_ANSWER // piece + 2
    assert peak < MOST_MEMORY


@pytest.mark.parametrize("sw", ["6100", "6C00", "6C01"])
def test_a_card_that_only_ever_promises_is_given_up(sw: str) -> None:
    connection = DirectConnection(lambda command: bytes.fromhex(sw))
    channel = ApduChannel(connection)
    if sw.startswith("61"):
        with pytest.raises(ProtocolViolation):
            channel.send(COMMAND)
    else:
        assert channel.send(COMMAND).sw == int(sw, 16)
    assert len(connection.commands) <= 3


def test_a_card_that_takes_its_time_over_every_piece_ends_at_the_deadline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 0.0

    def card(command: bytes) -> bytes:
        nonlocal now
        now += 0.5
        return b"x\x61\x00"

    monkeypatch.setattr("ushield.iso7816.channel.monotonic", lambda: now)
    connection = DirectConnection(card)
    with pytest.raises(TransferTimeout):
        ApduChannel(connection).send(COMMAND, timeout=5)
    assert len(connection.commands) == 10
