"""Readers of every kind, cards for them, and the SPECs by which both are opened."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.transport.cards import EchoCard
from ushield.ccid import ExchangeLevel, Feature
from ushield.signing import SigningToken
from ushield.signing.opening import token_behind
from ushield.testing.token import VirtualTokenUnderTest
from ushield.transport.connection import CardConnection
from ushield.transport.usb.scheme import UsbScheme
from ushield.virtual.contacts import T0Contacts, T1Contacts
from ushield.virtual.usb import Card, ReaderModel, VirtualBackend, VirtualReader

FAST: Final = 0x95
"""F=512, D=16 coded as TA1: a speed that wants PPS."""


@dataclass(frozen=True)
class Kind:
    """A kind of reader, and how a card stands in it."""

    name: str
    model: ReaderModel
    contacts: Callable[[Card], Card]

    def __str__(self) -> str:
        return self.name

    def plug(self) -> VirtualReader:
        """One of this kind, empty; time extensions come fast."""
        return VirtualReader(self.model, extension_interval=0.02)


def change_card(reader: VirtualReader, card: Card) -> None:
    """Pull the card out and put another one in, as fast as a hand can; faster, in truth."""
    reader.remove()
    time.sleep(0.1)
    reader.insert(card)


def bare(card: Card) -> Card:
    return card


def t0(card: Card) -> Card:
    return T0Contacts(card)


def fast_t0(card: Card) -> Card:
    return T0Contacts(card, fi_di=FAST)


def t1(card: Card) -> Card:
    return T1Contacts(card)


def slow_t1(card: Card) -> Card:
    return T1Contacts(card, ifsc=32, crc=True)


def fast_t1(card: Card) -> Card:
    return T1Contacts(card, fi_di=FAST)


_OF = ReaderModel.of
_TPDU = ExchangeLevel.TPDU
_HELPFUL = Feature.AUTO_PPS | Feature.AUTO_IFSD

_SELF_POWERING = _OF(ExchangeLevel.EXTENDED_APDU, extra=Feature.AUTO_ACTIVATION)

KINDS: Final = (
    Kind("extended APDU", _OF(ExchangeLevel.EXTENDED_APDU), bare),
    Kind("extended APDU, no interrupt", _OF(ExchangeLevel.EXTENDED_APDU, interrupt=False), bare),
    Kind(
        "extended APDU, powers cards by itself",
        _OF(ExchangeLevel.EXTENDED_APDU, extra=Feature.AUTO_ACTIVATION),
        bare,
    ),
    Kind("short APDU", _OF(ExchangeLevel.SHORT_APDU), bare),
    Kind("short APDU, no interrupt", _OF(ExchangeLevel.SHORT_APDU, interrupt=False), bare),
    Kind("TPDU T=0", _OF(_TPDU), t0),
    Kind("TPDU T=0, no interrupt, PPS", _OF(_TPDU, interrupt=False), fast_t0),
    Kind("TPDU T=1", _OF(_TPDU), t1),
    Kind("TPDU T=1, no interrupt, PPS", _OF(_TPDU, interrupt=False), fast_t1),
    Kind("TPDU T=1 with CRC, IFSC 32", _OF(_TPDU), slow_t1),
    Kind("TPDU T=1, IFSD by the reader", _OF(_TPDU, extra=_HELPFUL), fast_t1),
)


def scheme(*readers: VirtualReader) -> UsbScheme:
    """A bus with these readers in its ports 1, 2, ..."""
    # The system's files are kept out: it may have a bus of the same number.
    return UsbScheme(bus=VirtualBackend(readers), sysfs=Path("/nonexistent"))


def echo_in(kind: Kind) -> tuple[EchoCard, VirtualReader, CardConnection]:
    """An echo card in a reader of this kind, opened."""
    card, reader = EchoCard(), kind.plug()
    reader.insert(kind.contacts(card))
    return card, reader, scheme(reader).open("0-1")


class TokenAsCard(VirtualTokenUnderTest):
    """A virtual token's card in a reader; `put` it there before it is opened."""

    address = ""
    bus: UsbScheme

    def put(self, kind: Kind, reader: VirtualReader, slot: int = 0) -> None:
        """Put its card into the reader, which is alone on its bus."""
        reader.insert(kind.contacts(self.virtual.contacts), slot)
        self.bus = scheme(reader)
        self.address = f"0-1/{slot}"

    def open(self) -> SigningToken:
        """The token behind the reader."""
        return token_behind(self.bus.open(self.address))
