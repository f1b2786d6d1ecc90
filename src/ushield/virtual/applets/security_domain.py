"""The issuer's security domain: tells which key secure channels are agreed with. Keeps nothing.

Source: GlobalPlatform Card Specification v2.3, 11.3 (GET DATA) and 11.9 (SELECT), Amendment F,
7.3. Answers to GET DATA are the objects' values, without a tag around them, as YubiKeys give them
and their tools read them.
"""

from __future__ import annotations

from ushield.errors import TlvInvalid, UShieldError
from ushield.iso7816.secure_messaging.commands import (
    CLA_GLOBAL_PLATFORM,
    KEY_IDENTIFIER,
    KEY_VERSION,
    SECURITY_DOMAIN_AID,
)
from ushield.iso7816.status import StatusWord
from ushield.iso7816.tlv import encode, parse_one
from ushield.virtual.applets.firmware import status_word
from ushield.virtual.channel_key import ChannelKeys

__all__ = ["SecurityDomain"]

_GET_DATA = 0xCA
_KEY_INFORMATION = 0x00E0
_CERTIFICATE_STORE = 0xBF21
_AUTHORITIES = 0xFF34
_KEY = bytes((KEY_IDENTIFIER, KEY_VERSION))
_KEY_REFERENCE = encode(0x83, _KEY)
_PRIVATE_EC_KEY, _PRIVATE_EC_KEY_SIZE = 0xB1, 32
_ENTRY = encode(0xC0, _KEY + bytes((_PRIVATE_EC_KEY, _PRIVATE_EC_KEY_SIZE)))
_FILE_CONTROL_INFORMATION = encode(
    0x6F, encode(0x84, SECURITY_DOMAIN_AID) + encode(0xA5, encode(0x9F65, b"\xff"))
)
_SUCCESS = int(StatusWord.SUCCESS)


class SecurityDomain:
    """The application with that AID. Its keys serve the whole card, which opens the channels."""

    aids = (SECURITY_DOMAIN_AID,)
    answers_without_le = True
    slow_instructions = frozenset[int]()

    def __init__(self, keys: ChannelKeys) -> None:
        self._keys = keys

    def power_on(self) -> None:
        """Nothing: it has no state."""

    def power_off(self) -> None:
        """Nothing."""

    def select(self) -> bytes:
        """The file control information."""
        return _FILE_CONTROL_INFORMATION

    def deselect(self) -> None:
        """Nothing."""

    def end_session(self) -> None:
        """Nothing."""

    def process(
        self, cla: int, ins: int, p1: int, p2: int, data: bytes, *, secured: bool = False
    ) -> tuple[bytes, int]:
        """GET DATA, and no other command."""
        if cla not in (0, CLA_GLOBAL_PLATFORM):
            return b"", StatusWord.CLA_NOT_SUPPORTED
        if ins != _GET_DATA:
            return b"", StatusWord.INS_NOT_SUPPORTED
        try:
            value = self._value(p1 << 8 | p2, data)
        except UShieldError as error:
            return b"", status_word(error)
        return (value, _SUCCESS) if value else (b"", StatusWord.REFERENCED_DATA_NOT_FOUND)

    def _value(self, tag: int, data: bytes) -> bytes:
        if tag == _KEY_INFORMATION:
            return _ENTRY
        if tag == _AUTHORITIES:
            return encode(0x42, self._keys.authority) + _KEY_REFERENCE
        if tag == _CERTIFICATE_STORE and _names_key(data):
            return self._keys.device_certificate + self._keys.certificate
        return b""


def _names_key(data: bytes) -> bool:
    asked = parse_one(data)
    if asked.tag != 0xA6:
        raise TlvInvalid("a control reference template A6 is due")
    return asked.value == _KEY_REFERENCE
