"""How long an APDU may be: what the reader tells by PC/SC part 10, and the card by its ATR."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ushield.ccid.atr import Atr
from ushield.ccid.errors import AtrInvalid
from ushield.ccid.messages import MAX_EXTENDED_COMMAND, MAX_EXTENDED_RESPONSE
from ushield.transport.connection import ApduLimits

__all__ = [
    "GET_FEATURE_REQUEST",
    "GET_TLV_PROPERTIES",
    "MAX_APDU_DATA_SIZE",
    "card_takes_extended",
    "feature_codes",
    "limits_of",
    "reader_properties",
]

GET_FEATURE_REQUEST: Final = 3400
"""The control function that lists a reader's features (PC/SC part 10, section 2.2)."""

GET_TLV_PROPERTIES: Final = 0x12
"""The feature that tells a reader's properties (section 2.6.14)."""

MAX_APDU_DATA_SIZE: Final = 0x0A
"""The property of how many bytes an APDU may carry; at most 256 for a reader of short ones."""

_SHORT: Final = ApduLimits(4 + 1 + 255 + 1, 256 + 2, extended=False)
_EXTENDED: Final = ApduLimits(MAX_EXTENDED_COMMAND, MAX_EXTENDED_RESPONSE, extended=True)
_MAX_SHORT_DATA: Final = 256
_T1: Final = 1

# ISO/IEC 7816-4, clauses 12.1.1 and 12.1.1.9: category indicators that announce compact TLV, and
# the card capabilities in it, whose third byte has a bit for extended Lc and Le.
_COMPACT_TLV: Final = 0x80
_COMPACT_TLV_AND_STATUS: Final = 0x00
_STATUS_LENGTH: Final = 3
_CARD_CAPABILITIES: Final = 0x7
_EXTENDED_FIELDS: Final = 0x40


def _records(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Tag, length, value, each of the first two a byte; what is cut short is left out."""
    while len(data) >= 2 and len(data) >= 2 + data[1]:
        yield data[0], data[2 : 2 + data[1]]
        data = data[2 + data[1] :]


def feature_codes(answer: bytes) -> dict[int, int]:
    """Control codes by feature, from the answer to `GET_FEATURE_REQUEST`; they are big-endian."""
    return {tag: int.from_bytes(value, "big") for tag, value in _records(answer) if len(value) == 4}


def reader_properties(answer: bytes) -> dict[int, int]:
    """Properties by tag, from the answer to `GET_TLV_PROPERTIES`; they are little-endian."""
    return {tag: int.from_bytes(value, "little") for tag, value in _records(answer) if value}


def card_takes_extended(atr: bytes) -> bool:
    """Whether the card's historical bytes say that it takes extended Lc and Le."""
    try:
        historical = Atr.parse(atr).historical
    except AtrInvalid:
        return False
    category, objects = historical[:1], historical[1:]
    if category == bytes([_COMPACT_TLV_AND_STATUS]):
        objects = objects[:-_STATUS_LENGTH]
    elif category != bytes([_COMPACT_TLV]):
        return False
    while objects:
        tag, length = objects[0] >> 4, objects[0] & 0x0F
        value, objects = objects[1 : 1 + length], objects[1 + length :]
        if tag == _CARD_CAPABILITIES and len(value) == 3:
            return bool(value[2] & _EXTENDED_FIELDS)
    return False


def limits_of(protocol: int, properties: dict[int, int], atr: bytes) -> ApduLimits:
    """What fits into one APDU over ``protocol`` (0 or 1).

    A reader that tells its limit is believed; for one that does not, the card's word is taken. Over
    T=0 there is no extended form (ISO/IEC 7816-3, clause 12.2).
    """
    data = properties.get(MAX_APDU_DATA_SIZE)
    extended = card_takes_extended(atr) if data is None else data > _MAX_SHORT_DATA
    return _EXTENDED if extended and protocol == _T1 else _SHORT
