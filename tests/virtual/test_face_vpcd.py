"""The card's side of vpcd's protocol, against a reader that is a socket of ours."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.virtual.piv_host import P256, PIN, PUK, PivHost
from ushield.errors import TokenRemoved
from ushield.iso7816.tlv import encode
from ushield.piv.commands import AID
from ushield.shield.events import PanelKey
from ushield.virtual.card import ATR
from ushield.virtual.create import create_token
from ushield.virtual.faces.vpcd import VpcdCard, VpcdUnavailable
from ushield.virtual.nvram import CutPower
from ushield.virtual.token import VirtualToken

SELECT = bytes((0, 0xA4, 4, 0, len(AID))) + AID
POWER_OFF, POWER_ON, RESET, TELL_ATR = b"\x00", b"\x01", b"\x02", b"\x04"


class Reader:
    """What vpcd is to the card: it listens, and sends length and message apart."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        self.card: socket.socket

    def accept(self) -> None:
        self.card, _ = self.listener.accept()
        self.card.settimeout(10)

    def send(self, message: bytes) -> None:
        self.card.sendall(len(message).to_bytes(2, "big"))
        self.card.sendall(message)

    def ask(self, message: bytes) -> bytes:
        self.send(message)
        return self.receive()

    def receive(self) -> bytes:
        return self._exactly(int.from_bytes(self._exactly(2), "big"))

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            part = self.card.recv(size - len(data))
            assert part, "the card went away"
            data += part
        return data

    def gone(self) -> bool:
        return self.card.recv(1) == b""


@pytest.fixture
def reader() -> Iterator[Reader]:
    reader = Reader()
    with reader.listener:
        yield reader


@pytest.fixture
def token(tmp_path: Path) -> Iterator[VirtualToken]:
    create_token(tmp_path / "token", pin=PIN, puk=PUK)
    with VirtualToken.open(tmp_path / "token") as token:
        yield token


@pytest.fixture
def card(reader: Reader, token: VirtualToken) -> Iterator[VpcdCard]:
    with VpcdCard.connect(token, port=reader.port) as card:
        reader.accept()
        yield card


def test_the_atr_is_told_with_power_and_without(reader: Reader, card: VpcdCard) -> None:
    for order in (TELL_ATR, POWER_ON, RESET, POWER_OFF):
        if order != TELL_ATR:
            reader.send(order)
        assert reader.ask(TELL_ATR) == ATR


def test_commands_are_answered_by_a_card_that_has_power(reader: Reader, card: VpcdCard) -> None:
    assert reader.ask(SELECT) == b"\x6f\x00"
    reader.send(POWER_ON)
    assert reader.ask(SELECT).endswith(b"\x90\x00")
    reader.send(RESET)
    assert reader.ask(bytes.fromhex("00FD000000")) == b"\x69\x86"


def test_a_message_may_come_in_pieces(reader: Reader, card: VpcdCard) -> None:
    reader.send(POWER_ON)
    for octet in len(SELECT).to_bytes(2, "big") + SELECT:
        reader.card.sendall(bytes((octet,)))
        time.sleep(0.001)
    assert reader.receive().endswith(b"\x90\x00")


def test_messages_that_vpcd_does_not_send_do_no_harm(reader: Reader, card: VpcdCard) -> None:
    reader.send(b"")
    reader.send(b"\x03")
    assert reader.ask(b"\x00\xa4") == b"\x67\x00"
    assert reader.ask(bytes(65535)) == b"\x67\x00"
    assert reader.ask(TELL_ATR) == ATR


def test_the_panel_is_pressed_while_a_command_waits(
    reader: Reader, card: VpcdCard, token: VirtualToken
) -> None:
    host = PivHost(token)
    host.key(0x9A, P256, encode(0xAA, b"\x01") + encode(0xAB, b"\x02"))
    with host.finger(PanelKey.OK) as seen:
        answer = reader.ask(bytes.fromhex("0087119A267C2482008120") + bytes(32) + b"\0")
    assert seen
    assert answer.endswith(b"\x90\x00")


def test_the_card_goes_and_loses_power_when_the_token_is_pulled_out(
    reader: Reader, card: VpcdCard, token: VirtualToken
) -> None:
    reader.send(POWER_ON)
    assert reader.ask(SELECT).endswith(b"\x90\x00")
    token.unplug()
    assert reader.gone()
    with pytest.raises(TokenRemoved):
        card.wait(10)
    assert token.card.transmit(SELECT) == b"\x6f\x00"


def test_a_reader_that_goes_ends_it_with_an_error(
    reader: Reader, card: VpcdCard, token: VirtualToken
) -> None:
    card.wait(0)
    reader.send(POWER_ON)
    assert reader.ask(SELECT).endswith(b"\x90\x00")
    reader.card.close()
    with pytest.raises(TokenRemoved, match=str(reader.port)):
        card.wait(10)
    assert token.card.transmit(SELECT) == b"\x6f\x00"


def test_closing_takes_the_card_out_and_may_be_repeated(reader: Reader, card: VpcdCard) -> None:
    card.close()
    card.close()
    assert reader.gone()
    card.wait(0)
    assert "ushield-vpcd" not in {thread.name for thread in threading.enumerate()}


def test_a_power_cut_in_the_card_takes_it_out(reader: Reader, tmp_path: Path) -> None:
    create_token(tmp_path / "token", pin=PIN, puk=PUK)
    faults = CutPower(4, before=True)
    with (
        VirtualToken.open(tmp_path / "token", faults=faults) as token,
        VpcdCard.connect(token, port=reader.port) as card,
    ):
        reader.accept()
        reader.send(POWER_ON)
        assert reader.ask(SELECT).endswith(b"\x90\x00")
        reader.send(bytes.fromhex("0020008008") + PIN.encode() + b"\xff\xff")
        with pytest.raises(TokenRemoved):
            card.wait(10)


def test_where_nobody_listens_no_card_is_inserted(reader: Reader, token: VirtualToken) -> None:
    reader.listener.close()
    with pytest.raises(VpcdUnavailable) as caught:
        VpcdCard.connect(token, port=reader.port)
    assert caught.value.remedy is not None
    assert "pcscd" in caught.value.remedy
    with pytest.raises(VpcdUnavailable):
        VpcdCard.connect(token, host="::1", port=reader.port)
