"""The card OS of a virtual token: power, applications, and the bookkeeping around their commands.

It reads command APDUs of all forms, puts command chains together (ISO/IEC 7816-4, clause 5.3.3),
hands long answers out in pieces (GET RESPONSE, clause 5.3.4), and answers whatever comes with a
status word. Where the card has a key for it, it opens secure channels (SCP11b), for whichever
application is selected: what the applications see of a secured command is the plain one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import RLock
from typing import Protocol

from ushield.errors import ApduInvalid, ChannelBroken, StorageFull, TlvInvalid
from ushield.iso7816.apdu import CHAINING, GET_RESPONSE, SELECT, read_body
from ushield.iso7816.secure_messaging.commands import (
    CLA_GLOBAL_PLATFORM,
    INTERNAL_AUTHENTICATE,
    KEY_IDENTIFIER,
    KEY_VERSION,
)
from ushield.iso7816.secure_messaging.scp03 import MAC_SIZE, SECURE, CardMessages
from ushield.iso7816.status import StatusWord

__all__ = ["ATR", "MAX_CHAIN", "Agree", "Answer", "Applet", "Card"]

Answer = tuple[bytes, int]
"""Response data and status word."""

Agree = Callable[[bytes], tuple[bytes, CardMessages]]
"""INTERNAL AUTHENTICATE: its data in, its answer and the session out."""

MAX_CHAIN = 0x8000
"""How many data bytes a chain of commands may bring together."""

_SUCCESS = int(StatusWord.SUCCESS)
_SW = {int(sw): sw.to_bytes(2, "big") for sw in StatusWord}


def _atr(historical: bytes) -> bytes:
    body = bytes((0x80 | len(historical), 0x01)) + historical
    check = 0
    for octet in body:
        check ^= octet
    return b"\x3b" + body + bytes((check,))


ATR = _atr(b"\x80\x57USHIELD\x73\x80\x01\xc0")
"""Answer to reset (ISO/IEC 7816-3, clause 8): T=1; the historical bytes name the card and say that
it takes command chaining and extended lengths (ISO/IEC 7816-4, clause 12.1.1)."""


class Applet(Protocol):
    """An application on the card."""

    @property
    def aids(self) -> Sequence[bytes]:
        """What SELECT may call it by."""

    @property
    def answers_without_le(self) -> bool:
        """Whether data comes also where a command has no Le field and so asks for none."""

    @property
    def slow_instructions(self) -> frozenset[int]:
        """INS bytes of class 00 that may take longer than a host waits without a word."""

    def power_on(self) -> None:
        """The card was powered or reset."""

    def power_off(self) -> None:
        """The card loses power."""

    def select(self) -> bytes:
        """It was selected: its file control information."""

    def deselect(self) -> None:
        """Another application was selected."""

    def end_session(self) -> None:
        """The secure channel was closed: what was proven through it counts no more."""

    def process(
        self, cla: int, ins: int, p1: int, p2: int, data: bytes, *, secured: bool = False
    ) -> Answer:
        """One whole command, chains put together and chaining bit off. Raises nothing.

        ``secured``: it came through a secure channel, which is taken off it.
        """


class Card:
    """A card with its applications; ``power_on`` before anything else. Safe from several threads.

    A command waits for one that is under way in another thread. Without ``agree`` it opens no
    secure channels.

    A session ends with the power, with another application selected, and with whatever comes that
    is not its next command. All that a session answers has a MAC: a bare status word, but for the
    links of a command chain, says that there is no session.
    """

    def __init__(
        self, applets: Sequence[Applet], *, atr: bytes = ATR, agree: Agree | None = None
    ) -> None:
        self._applets = {aid: applet for applet in applets for aid in applet.aids}
        self._all = tuple(applets)
        self._slow = frozenset[int]().union(*(applet.slow_instructions for applet in applets))
        self._atr = atr
        self._agree = agree
        self._session: CardMessages | None = None
        self._lock = RLock()
        self._powered = False
        self._selected: Applet | None = None
        self._rest = b""
        self._chain = bytearray()
        self._chain_header: tuple[int, int, int, int] | None = None

    def power_on(self) -> bytes:
        """Power the card, or reset it if it is powered; its ATR."""
        with self._lock:
            self.power_off()
            for applet in self._all:
                applet.power_on()
            self._powered = True
            return self._atr

    def power_off(self) -> None:
        """Take the power away; harmless to repeat."""
        with self._lock:
            if self._powered:
                self._powered = False
                self._selected = self._session = None
                self._forget()
                for applet in self._all:
                    applet.power_off()

    def is_slow(self, command: bytes) -> bool:
        """Whether ``command`` may take so long that the host needs time extensions."""
        return len(command) > 1 and not command[0] & ~SECURE and command[1] in self._slow

    def transmit(self, command: bytes) -> bytes:
        """One command APDU in, one response APDU out, whatever came in."""
        try:
            # Not `CommandApdu.decode`: making one takes several times as long as all this does.
            data, ne = read_body(command)
        except ApduInvalid:
            with self._lock:
                self._end_session()
            return _SW[StatusWord.WRONG_LENGTH]
        with self._lock:
            answer, sw = self._accept(command, data, ne)
        if answer and len(answer) > ne:
            if not ne and self._answers_without_le(command):
                ne = _ne_unsaid(command)
            rest = self._rest = answer[ne:]
            if rest:
                answer = answer[:ne]
                sw = StatusWord.MORE_DATA | (len(rest) if len(rest) < 256 else 0)
        tail = _SW.get(sw)
        return answer + (tail if tail is not None else sw.to_bytes(2, "big"))

    def _accept(self, command: bytes, data: bytes, ne: int) -> Answer:
        cla, ins, p1, p2 = command[:4]
        if not self._powered:
            return b"", StatusWord.NO_DIAGNOSIS
        if cla & 0x6F and (cla & 0x6F != SECURE or self._agree is None):
            self._forget()
            self._end_session()
            return b"", _refuse_class(cla)
        if ins == GET_RESPONSE and cla == 0:
            return self._get_response(p1, p2, ne)
        self._rest = b""
        if not cla & SECURE:
            self._end_session()
        elif self._session is None:
            self._break_chain()
            return b"", StatusWord.CONDITIONS_NOT_SATISFIED
        if cla & CHAINING or self._chain_header is not None:
            header = (cla & ~CHAINING, ins, p1, p2)
            if header != self._chain_header:
                self._break_chain()
            if cla & CHAINING:
                return self._collect(header, data)
            if self._chain_header is not None:
                data = bytes(self._chain + data)
                self._break_chain()
                if len(data) > MAX_CHAIN:
                    self._end_session()
                    return b"", StatusWord.WRONG_LENGTH
        if self._session is not None:
            extended = len(command) > 7 and not command[4]
            return self._unwrap(self._session, (cla, ins, p1, p2), data, extended=extended)
        return self._perform(cla, ins, p1, p2, data)

    def _unwrap(
        self,
        session: CardMessages,
        header: tuple[int, int, int, int],
        data: bytes,
        *,
        extended: bool,
    ) -> Answer:
        if len(data) < MAC_SIZE:
            self._end_session()
            return b"", StatusWord.SECURE_MESSAGING_MISSING
        try:
            plain = session.unwrap(header, data, extended=extended)
        except ChannelBroken:
            self._end_session()
            return b"", StatusWord.SECURE_MESSAGING_INCORRECT
        cla, ins, p1, p2 = header
        answer, sw = self._perform(cla & ~SECURE, ins, p1, p2, plain, secured=True)
        return session.wrap(answer, sw), sw

    def _perform(
        self, cla: int, ins: int, p1: int, p2: int, data: bytes, *, secured: bool = False
    ) -> Answer:
        if ins == SELECT and cla == 0:
            return self._select(p1, p2, data)
        if self._selected is None:
            return b"", StatusWord.COMMAND_NOT_ALLOWED
        if ins == INTERNAL_AUTHENTICATE and cla == CLA_GLOBAL_PLATFORM and not secured:
            return self._authenticate(p1, p2, data)
        return self._selected.process(cla, ins, p1, p2, data, secured=secured)

    def _authenticate(self, p1: int, p2: int, data: bytes) -> Answer:
        if self._agree is None:
            return b"", StatusWord.INS_NOT_SUPPORTED
        if (p1, p2) != (KEY_VERSION, KEY_IDENTIFIER):
            return b"", StatusWord.REFERENCED_DATA_NOT_FOUND
        try:
            answer, self._session = self._agree(data)
        except TlvInvalid:
            return b"", StatusWord.WRONG_DATA
        except StorageFull:
            return b"", StatusWord.MEMORY_FAILURE
        return answer, _SUCCESS

    def _end_session(self) -> None:
        if self._session is not None:
            self._session = None
            for applet in self._all:
                applet.end_session()

    def _answers_without_le(self, command: bytes) -> bool:
        if command[0] & SECURE:
            return True
        return self._selected is not None and self._selected.answers_without_le

    def _collect(self, header: tuple[int, int, int, int], data: bytes) -> Answer:
        self._chain_header = header
        self._chain += data
        if len(self._chain) > MAX_CHAIN:
            self._break_chain()
            self._end_session()
            return b"", StatusWord.WRONG_LENGTH
        return b"", _SUCCESS

    def _get_response(self, p1: int, p2: int, ne: int) -> Answer:
        self._break_chain()
        if p1 or p2:
            self._rest = b""
            return b"", StatusWord.WRONG_PARAMETERS
        rest, self._rest = self._rest, b""
        if not rest:
            return b"", StatusWord.CONDITIONS_NOT_SATISFIED
        return rest, _SUCCESS

    def _select(self, p1: int, p2: int, data: bytes) -> Answer:
        if p1 != 0x04 or p2 != 0x00:
            return b"", StatusWord.WRONG_PARAMETERS
        applet = self._applets.get(data)
        if applet is None:
            return b"", StatusWord.FILE_NOT_FOUND
        if self._selected is not None and self._selected is not applet:
            self._end_session()
            self._selected.deselect()
        self._selected = applet
        return applet.select(), _SUCCESS

    def _forget(self) -> None:
        self._rest = b""
        self._break_chain()

    def _break_chain(self) -> None:
        self._chain_header = None
        self._chain.clear()


def _ne_unsaid(command: bytes) -> int:
    """How much may come where no Le field says it: as much as one in the other lengths' form."""
    return 256 if len(command) > 4 and command[4] else 65536


def _refuse_class(cla: int) -> int:
    if cla & 0x80:
        return StatusWord.CLA_NOT_SUPPORTED
    if cla & 0x40 or cla & 0x03:
        return StatusWord.LOGICAL_CHANNEL_UNSUPPORTED
    return StatusWord.SECURE_MESSAGING_UNSUPPORTED if cla & 0x0C else StatusWord.CLA_NOT_SUPPORTED
