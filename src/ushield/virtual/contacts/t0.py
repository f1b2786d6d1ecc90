"""A card that speaks T=0: each command in one direction, data fetched afterwards.

Source: ISO/IEC 7816-3, clause 12.2, at the level of TPDUs: procedure bytes are the reader's.
"""

from __future__ import annotations

from typing import Final

from ushield.ccid.atr import DEFAULT_FI_DI, Atr
from ushield.iso7816.apdu import GET_RESPONSE
from ushield.virtual.contacts.reset import answer_pps, atr_t0
from ushield.virtual.usb.contact import Card

__all__ = ["T0Contacts"]

_MAX_DATA: Final = 256


class T0Contacts:
    """``card`` behind contacts; itself a `Card` whose commands are TPDUs.

    An answer of no bytes is a card that stays mute. ``fi_di`` is its speed, coded as TA1.
    """

    def __init__(self, card: Card, *, fi_di: int = DEFAULT_FI_DI) -> None:
        self._card = card
        self._fi_di = fi_di
        self._fresh = False
        # The answer to a command whose Le was wrong, until the same comes with the right one.
        self._repeatable: tuple[bytes, bytes] | None = None
        self._response = b""

    def power_on(self) -> bytes:
        """Reset the card; an ATR with its historical bytes."""
        self._forget()
        self._fresh = True
        return atr_t0(Atr.parse(self._card.power_on()).historical, self._fi_di)

    def power_off(self) -> None:
        """Take its power."""
        self._forget()
        self._card.power_off()

    def is_slow(self, command: bytes) -> bool:
        """Whether the card says so of the command in a TPDU."""
        return self._repeatable is None and self._card.is_slow(command)

    def transmit(self, command: bytes) -> bytes:
        """Answer one command TPDU."""
        if self._fresh and (pps := answer_pps(command, 0, self._fi_di)) is not None:
            return pps
        self._fresh = False
        if len(command) < 5:
            return b""
        header, p3 = command[:4], command[4]
        response, self._response = self._response, b""
        repeatable, self._repeatable = self._repeatable, None
        if len(command) == 5:
            if response and header[1] == GET_RESPONSE:
                return self._fetch(header, p3, response)
            if repeatable is not None and repeatable[0] == header:
                return self._outgoing(header, p3, repeatable[1])
            return self._outgoing(header, p3, self._card.transmit(command))
        if len(command) != 5 + p3:
            return b""
        return self._incoming(self._card.transmit(command))

    def _outgoing(self, header: bytes, p3: int, response: bytes) -> bytes:
        """Data goes to the host only where the host has asked for as much as there is."""
        available, wanted = len(response) - 2, p3 or _MAX_DATA
        if not available or available == wanted:
            return response
        if available < wanted:
            self._repeatable = header, response
            return bytes([0x6C, available])
        return self._part(wanted, response)

    def _incoming(self, response: bytes) -> bytes:
        """Data came in: what goes out waits for GET RESPONSE."""
        return self._part(0, response) if len(response) > 2 else response

    def _fetch(self, header: bytes, p3: int, response: bytes) -> bytes:
        available, wanted = len(response) - 2, p3 or _MAX_DATA
        if wanted > available:
            self._response = response
            return bytes([0x6C, available])
        return self._part(wanted, response)

    def _part(self, length: int, response: bytes) -> bytes:
        rest = len(response) - 2 - length
        if not rest:
            return response
        self._response = response[length:]
        return response[:length] + bytes([0x61, rest & 0xFF if rest < _MAX_DATA else 0])

    def _forget(self) -> None:
        self._response = b""
        self._repeatable = None
