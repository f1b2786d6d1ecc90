"""The data objects: what the card says of itself, and what tools keep on it."""

from __future__ import annotations

import hashlib

from ushield.errors import ObjectNotFound
from ushield.iso7816.status import StatusWord
from ushield.iso7816.tlv import encode, parse
from ushield.piv.commands import AID, DataTag
from ushield.virtual.applets.firmware import refused
from ushield.virtual.applets.piv.session import PivSession

__all__ = ["ObjectCommands", "card_number"]

_TAG_LIST, _DATA = 0x5C, 0x53
_CERTIFICATE, _CERTIFICATE_FORM, _CHECK = 0x70, 0x71, 0xFE
_STANDARD = range(0x5FC100, 0x5FC200)
_VENDOR = range(0x5FFF00, 0x600000)
_WANT_PIN = frozenset(
    {
        DataTag.FINGERPRINTS,
        DataTag.FACIAL_IMAGE,
        DataTag.PRINTED_INFORMATION,
        DataTag.IRIS_IMAGES,
    }
)
# SP 800-73pt1-5, 3.3.2: the application, and that the PIN of this application is its only one.
_DISCOVERY = encode(0x7E, encode(0x4F, AID) + encode(0x5F2F, b"\x40\x00"))
# A FASC-N with agency 9999: of a card that no federal agency issued (SP 800-73pt1-5, 3.1.2).
_FASC_N = bytes.fromhex("D4E739DA739CED39CE739D836858210842108421C84210C3EB")
_NO_EXPIRY = b"20991231"
# Registered id of GSC-RID, "ICC manufacturer" FF, and the card type of Java cards.
_CARD_TYPE = bytes.fromhex("A000000116FF02")


def card_number(serial: str) -> bytes:
    """Sixteen bytes that stand for this token: what PIV calls its GUID."""
    return hashlib.sha256(b"ushield PIV " + serial.encode()).digest()[:16]


class ObjectCommands:
    """GET DATA and PUT DATA."""

    def __init__(self, session: PivSession) -> None:
        self._session = session
        self._firmware = session.firmware

    def get(self, p1: int, p2: int, data: bytes) -> bytes:
        """An object in its tag: 53, or its own for the discovery object."""
        tag, rest = _read(data)
        if rest:
            raise refused(StatusWord.WRONG_DATA)
        if tag == DataTag.DISCOVERY:
            return _DISCOVERY
        if tag in _WANT_PIN:
            self._session.require_pin()
        try:
            value = self._value(tag)
        except ObjectNotFound:
            raise refused(StatusWord.FILE_NOT_FOUND) from None
        return encode(_DATA, value)

    def _value(self, tag: int) -> bytes:
        if tag == DataTag.ATTESTATION_CERTIFICATE:
            certificate = self._firmware.nvram.identity.device_certificate
            return (
                encode(_CERTIFICATE, certificate)
                + encode(_CERTIFICATE_FORM, b"\x00")
                + encode(_CHECK, b"")
            )
        try:
            return self._firmware.nvram.piv_object(tag)
        except ObjectNotFound:
            if tag == DataTag.CARDHOLDER_IDENTIFIER:
                return self._identifier()
            if tag == DataTag.CARD_CAPABILITIES:
                return self._capabilities()
            raise

    def _identifier(self) -> bytes:
        """A CHUID until somebody writes one: nobody signed it, it only names the card."""
        return b"".join(
            (
                encode(0x30, _FASC_N),
                encode(0x34, card_number(self._firmware.nvram.identity.serial)),
                encode(0x35, _NO_EXPIRY),
                encode(0x3E, b""),
                encode(_CHECK, b""),
            )
        )

    def _capabilities(self) -> bytes:
        number = card_number(self._firmware.nvram.identity.serial)[:14]
        return b"".join(
            (
                encode(0xF0, _CARD_TYPE + number),
                encode(0xF1, b"\x21"),
                encode(0xF2, b"\x21"),
                encode(0xF3, b""),
                encode(0xF4, b"\x00"),
                encode(0xF5, b"\x10"),
                *(encode(tag, b"") for tag in (0xF6, 0xF7, 0xFA, 0xFB, 0xFC, 0xFD, _CHECK)),
            )
        )

    def put(self, p1: int, p2: int, data: bytes) -> bytes:
        """Store an object; an empty one deletes it."""
        self._session.require_administrator()
        tag, rest = _read(data)
        if tag == DataTag.ATTESTATION_CERTIFICATE or tag not in (*_STANDARD, *_VENDOR):
            raise refused(StatusWord.FILE_NOT_FOUND)
        objects = parse(rest)
        if [item.tag for item in objects] != [_DATA]:
            raise refused(StatusWord.WRONG_DATA)
        value = objects[0].value
        if value:
            self._firmware.nvram.put_piv_object(tag, value)
        else:
            self._firmware.nvram.delete_piv_object(tag)
        return b""


def _read(data: bytes) -> tuple[int, bytes]:
    """The tag that is asked for, and what follows it."""
    if len(data) < 3 or data[0] != _TAG_LIST or not 1 <= data[1] <= 3 or len(data) < 2 + data[1]:
        raise refused(StatusWord.WRONG_DATA)
    end = 2 + data[1]
    return int.from_bytes(data[2:end], "big"), data[end:]
