"""A PIN entered on the reader's keys, through every kind of reader that can have them."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterator

import pytest

from tests.readers.bench import KINDS, Kind, change_card, scheme
from tests.transport.cards import OK, EchoCard, echo
from ushield.ccid.descriptor import PinSupport
from ushield.errors import CapabilityMissing, InputInvalid, TokenRemoved, TransferFailed
from ushield.transport.connection import CardConnection
from ushield.transport.pin_pad import PinBlock, PinPad, pin_pad_of
from ushield.virtual.usb import VirtualReader

BOTH = PinSupport.VERIFICATION | PinSupport.MODIFICATION
BARE = PinBlock(bytes.fromhex("00200081"), 4, 8)
PADDED = PinBlock(bytes.fromhex("00200080"), 4, 8, size=8)
CHANGED = PinBlock(bytes.fromhex("00240081"), 4, 12, size=12)


def with_pad(kind: Kind, support: PinSupport = BOTH) -> Kind:
    descriptor = dataclasses.replace(kind.model.descriptor, pin_support=support)
    return dataclasses.replace(kind, model=dataclasses.replace(kind.model, descriptor=descriptor))


class Answering(EchoCard):
    """Answers 9000 to what a pad sends, as a card does to VERIFY."""

    def transmit(self, command: bytes) -> bytes:
        if command[1] in {0x20, 0x24}:
            self.seen.append(command)
            return OK
        return super().transmit(command)


class Desk:
    """A pinpad reader, a card in it, and somebody at the keys."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.reader: VirtualReader = kind.plug()
        self.card = Answering()
        self.reader.insert(kind.contacts(self.card))
        self.connection: CardConnection = scheme(self.reader).open("0-1")
        pad = pin_pad_of(self.connection)
        assert pad is not None
        self.pad: PinPad = pad

    def with_keys(self, press: Callable[[], None], use: Callable[[], bytes]) -> bytes:
        """What ``use`` returns while ``press`` is done at the keys."""
        person = threading.Thread(target=press)
        person.start()
        try:
            return use()
        finally:
            person.join()

    def enter(self, name: str, digits: str) -> None:
        self.reader.pad.wait_for(name)
        self.reader.pad.type(digits)
        self.reader.pad.press_ok()


@pytest.fixture(params=KINDS, ids=str)
def desk(request: pytest.FixtureRequest) -> Iterator[Desk]:
    made = Desk(with_pad(request.param))
    yield made
    made.connection.close()


@pytest.fixture
def simple() -> Iterator[Desk]:
    made = Desk(with_pad(KINDS[7]))
    yield made
    made.connection.close()


def test_a_pin_goes_from_the_keys_to_the_card(desk: Desk) -> None:
    answer = desk.with_keys(lambda: desk.enter("PIN", "135790"), lambda: desk.pad.verify(BARE))
    assert answer == OK
    assert desk.card.seen[-1] == bytes.fromhex("00200081 06") + b"135790"
    assert desk.connection.transmit(echo(b"x") + b"\x00") == b"x" + OK
    answer = desk.with_keys(lambda: desk.enter("PIN", "1357"), lambda: desk.pad.verify(PADDED))
    assert answer == OK
    assert desk.card.seen[-1] == bytes.fromhex("00200080 08") + b"1357" + b"\xff" * 4
    assert desk.connection.transmit(echo(b"y") + b"\x00") == b"y" + OK


def test_an_old_pin_and_twice_a_new_one_make_a_change(desk: Desk) -> None:
    def press() -> None:
        desk.enter("old PIN", "135790")
        desk.enter("new PIN", "8642")
        desk.enter("new PIN again", "8643")
        desk.enter("new PIN", "86420")
        desk.enter("new PIN again", "86420")

    assert desk.with_keys(press, lambda: desk.pad.change(CHANGED)) == OK
    (sent,) = desk.card.seen
    assert sent[:5] == bytes.fromhex("00240081 18")
    assert sent[5:] == b"135790" + b"\xff" * 6 + b"86420" + b"\xff" * 7
    assert desk.connection.transmit(echo(b"x") + b"\x00") == b"x" + OK


def test_cancel_at_the_keys_sends_nothing_and_the_next_entry_works(desk: Desk) -> None:
    pad = desk.reader.pad

    def cancel() -> None:
        pad.wait_for("PIN")
        pad.type("1357")
        pad.press_cancel()

    assert desk.with_keys(cancel, lambda: desk.pad.verify(BARE)) == b"\x64\x01"
    assert desk.card.seen == []
    assert desk.with_keys(lambda: desk.enter("PIN", "1357"), lambda: desk.pad.verify(BARE)) == OK


def test_an_entry_that_nobody_finishes_ends_in_its_time(simple: Desk) -> None:
    assert simple.pad.verify(BARE, timeout=1) == b"\x64\x00"
    assert simple.card.seen == []
    assert simple.connection.transmit(echo(b"x") + b"\x00") == b"x" + OK


def test_too_few_digits_are_not_taken_and_too_many_are_lost(simple: Desk) -> None:
    pad = simple.reader.pad

    def press() -> None:
        pad.wait_for("PIN")
        pad.type("999")
        pad.press_ok()
        assert pad.shown == "***"
        pad.press_clear()
        pad.type("1234567890")
        assert pad.shown == "********"
        pad.press_ok()

    assert simple.with_keys(press, lambda: simple.pad.verify(BARE)) == OK
    assert simple.card.seen[-1][5:] == b"12345678"
    assert pad.asking is None
    pad.type("1")
    pad.press_ok()


def test_a_card_pulled_out_while_the_pin_is_entered_gets_none_of_it(desk: Desk) -> None:
    pad = desk.reader.pad

    def pull() -> None:
        pad.wait_for("PIN")
        pad.type("1357")
        desk.reader.remove()
        pad.press_ok()

    with pytest.raises(TokenRemoved):
        desk.with_keys(pull, lambda: desk.pad.verify(BARE))
    assert desk.card.seen == []


def test_nobody_is_asked_for_the_pin_of_a_card_that_was_changed() -> None:
    desk = Desk(with_pad(next(kind for kind in KINDS if "by itself" in kind.name)))
    change_card(desk.reader, Answering())
    with pytest.raises(TokenRemoved):
        desk.pad.verify(BARE, timeout=1)
    desk.connection.close()


def test_closing_ends_the_entry_on_the_reader(simple: Desk) -> None:
    pad = simple.reader.pad

    def close() -> None:
        pad.wait_for("PIN")
        simple.connection.close()

    closer = threading.Thread(target=close)
    closer.start()
    with pytest.raises(TransferFailed):
        simple.pad.verify(BARE)
    closer.join()
    assert pad.asking is None
    assert simple.card.seen == []
    again = scheme(simple.reader).open("0-1")
    assert again.transmit(echo(b"x") + b"\x00") == b"x" + OK
    again.close()


def test_a_reader_without_keys_has_no_pad() -> None:
    reader = KINDS[0].plug()
    reader.insert(EchoCard())
    connection = scheme(reader).open("0-1")
    assert pin_pad_of(connection) is None
    connection.close()
    assert pin_pad_of(object()) is None


def test_what_the_keys_cannot_do_is_refused_before_anybody_is_asked() -> None:
    desk = Desk(with_pad(KINDS[0], PinSupport.VERIFICATION))
    assert desk.pad.support is PinSupport.VERIFICATION
    with pytest.raises(CapabilityMissing):
        desk.pad.change(CHANGED)
    desk.connection.close()
    desk = Desk(with_pad(KINDS[0], PinSupport.MODIFICATION))
    with pytest.raises(CapabilityMissing):
        desk.pad.verify(BARE)
    with pytest.raises(InputInvalid):
        desk.pad.change(BARE)
    desk.connection.close()
    for header, most, size in ((b"\x00\x20\x00", 8, 0), (bytes(4), 8, 16), (bytes(4), 9, 8)):
        with pytest.raises(InputInvalid):
            PinBlock(header, 4, most, size)
