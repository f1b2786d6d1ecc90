"""Somebody on the wire of a secure channel: changes, drops, repeats and adds what goes by.

The host gets the card's own answer to what it sent, or an error. What the card takes for secured is
what the host sent, in its order and once.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec

from tests.fuzz.source import Source, blob
from tests.fuzz.target import Target
from tests.iso7816.connections import EXTENDED, SHORT, DirectConnection
from tests.virtual.applets import StillApplet
from ushield.errors import TransferTimeout, TransportError
from ushield.iso7816.apdu import CommandApdu
from ushield.iso7816.secure_messaging.connection import SecureConnection
from ushield.iso7816.secure_messaging.scp11 import agree
from ushield.iso7816.status import StatusWord
from ushield.virtual.card import Answer, Card

__all__ = ["TARGET"]

_AID: Final = bytes.fromhex("F000000001")
_SELECT: Final = CommandApdu(0, 0xA4, 4, 0, _AID, 256)
_CARD_KEY: Final = ec.derive_private_key(0xC0FFEE, ec.SECP256R1())
_SIZES: Final = (0, 1, 15, 16, 40, 255, 300, 1000)
_STEPS_AT_MOST: Final = 12

_Command = tuple[int, int, int, int, bytes]


@dataclass
class _Ledger(StillApplet):
    """An application that tells every command back, and remembers what came secured."""

    aids: tuple[bytes, ...] = (_AID,)
    secured: list[_Command] = field(default_factory=list)

    def process(
        self, cla: int, ins: int, p1: int, p2: int, data: bytes, *, secured: bool = False
    ) -> Answer:
        if secured:
            self.secured.append((cla, ins, p1, p2, data))
        return _told((cla, ins, p1, p2, data)), StatusWord.SUCCESS


def _told(command: _Command) -> bytes:
    return bytes(command[:4]) + command[4][::-1]


class _Wire:
    """What the fuzzer does to each message."""

    def __init__(self, card: Card, source: Source) -> None:
        self.card = card
        self.source = source
        self.sent: list[bytes] = []
        self.answered: list[bytes] = []

    def transmit(self, command: bytes) -> bytes:
        source = self.source
        self.sent.append(command)
        choice = source.byte()
        if choice == 0xFF:
            raise TransferTimeout("dropped on its way to the card")
        if choice == 0xFE:
            # Between the two, a command of another program, or an old one once more.
            extra = source.blob() if source.byte() & 1 else source.pick(self.sent[-256:])
            assert len(self.card.transmit(extra)) >= 2
        if choice == 0xFD:
            command = source.pick(self.sent[-256:])
        if choice == 0xFC:
            command = _changed(command, source)
        answer = self.card.transmit(command)
        assert len(answer) >= 2
        self.answered.append(answer)
        choice = source.byte()
        if choice == 0xFF:
            raise TransferTimeout("dropped on its way to the host")
        if choice == 0xFE:
            return source.blob() + answer[-2:]
        if choice == 0xFD:
            return source.pick(self.answered[-256:])
        if choice == 0xFC:
            return _changed(answer, source)
        if choice == 0xFB:
            return source.blob()
        return answer


def _changed(message: bytes, source: Source) -> bytes:
    at = source.word() % len(message)
    how = source.byte()
    if how == 0:
        return message[:at]
    if how == 1:
        return message[:at] + source.blob() + message[at:]
    return message[:at] + bytes((message[at] ^ how,)) + message[at + 1 :]


def _run(data: bytes) -> None:
    source = Source(data)
    ledger = _Ledger()
    card = Card([ledger], agree=partial(agree, _CARD_KEY))
    card.power_on()
    assert card.transmit(_SELECT.encode()) == b"\x90\x00"
    wire = _Wire(card, source)
    limits = source.pick((EXTENDED, SHORT))
    connection = SecureConnection(
        DirectConnection(wire.transmit, limits, card.power_on), _CARD_KEY.public_key(), _AID
    )
    card.transmit(_SELECT.encode())
    wanted: list[_Command] = []
    for _ in range(_STEPS_AT_MOST):
        if not source:
            break
        if source.byte() == 0xFF:
            connection.reset()
        # What is sent differs from all before, so that nothing passes for another.
        body = bytes((len(wanted),)).ljust(source.pick(_SIZES), b"x")
        plain = CommandApdu(source.pick((0x00, 0x80)), 0x10, 1, 2, body, 65536)
        command = (plain.cla, plain.ins, plain.p1, plain.p2, plain.data)
        wanted.append(command)
        with suppress(TransportError):
            answer = connection.transmit(plain.encode(extended=plain.needs_extended))
            assert answer == _told(command) + b"\x90\x00"
    position = -1
    for taken in ledger.secured:
        assert taken in wanted[position + 1 :]
        position = wanted.index(taken, position + 1)


def _seeds() -> Iterator[bytes]:
    for limits in range(2):
        for size in range(len(_SIZES)):
            step = bytes((0, size, 0))
            yield bytes((limits,)) + (step + bytes(4)) * 3
            for choice in (0xFF, 0xFD, 0xFC, 0xFE, 0xFB):
                yield bytes((limits,)) + step + bytes((0, 0, choice, 0, 9, 3)) + step * 2
                yield bytes((limits,)) + step + bytes((0, 0, 0, choice, 0, 9, 3)) + step * 2
                yield bytes((limits,)) + step + bytes((0, 0, 0, 0)) + step + bytes((choice, 1, 0))
    yield bytes((0, 0, 1, 0, 0, 0xFE)) + blob(b"answer") + bytes(9)


TARGET = Target(_run, _seeds, max_length=512)
