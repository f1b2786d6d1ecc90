"""Whole commands to a card, whatever its connection can carry at once.

A command too long for one APDU goes as a command chain (ISO/IEC 7816-4, clause 5.3.3), an answer
in pieces is fetched with GET RESPONSE (61XX), and a wrong Le is corrected once (6CXX).
"""

from __future__ import annotations

from time import monotonic

from ushield.ccid.t0 import get_response_class
from ushield.errors import ApduInvalid, ProtocolViolation, TransferTimeout
from ushield.iso7816.apdu import (
    CHAINING,
    GET_RESPONSE,
    MAX_EXTENDED_DATA,
    MAX_EXTENDED_NE,
    MAX_SHORT_DATA,
    MAX_SHORT_NE,
    CommandApdu,
    ResponseApdu,
)
from ushield.iso7816.traffic import RecordingConnection, TrafficLog
from ushield.transport.connection import ApduLimits, CardConnection

__all__ = ["MAX_ANSWER", "ApduChannel"]

MAX_ANSWER = MAX_EXTENDED_NE
"""How many bytes an answer fetched in pieces may have, as many as one extended answer."""

_SHORT_OVERHEAD = 4 + 1 + 1
_EXTENDED_OVERHEAD = 4 + 3 + 2
_SHORT = ApduLimits(
    max_command=_SHORT_OVERHEAD + MAX_SHORT_DATA, max_response=MAX_SHORT_NE + 2, extended=False
)


class ApduChannel:
    """Commands and answers of any length over one `CardConnection`; safe from several threads.

    ``extended`` False keeps to short APDUs, for cards that need not know others. With ``log``,
    every APDU that goes over the connection is recorded in it, secrets masked.
    """

    __slots__ = ("_extended", "connection")

    def __init__(
        self,
        connection: CardConnection,
        *,
        log: TrafficLog | None = None,
        extended: bool = True,
    ) -> None:
        self._extended = extended
        self.connection = connection if log is None else RecordingConnection(connection, log)

    def send(self, command: CommandApdu, *, timeout: float | None = None) -> ResponseApdu:
        """Send ``command`` and return the card's last word, whatever its status word says.

        ``timeout`` in seconds bounds all of it. An error in the middle of a chain ends the chain
        and is the answer; a piece of the answer that ends in an error makes that error the answer.
        `TransportError` as the connection raises it; `ProtocolViolation` for an answer that is
        none, for more than `MAX_ANSWER` bytes, or for pieces that do not end; `ApduInvalid` where
        not even one byte of data fits into a command.
        """
        deadline = None if timeout is None else monotonic() + timeout
        connection = self.connection
        with connection.hold(timeout):
            limits = connection.limits
            if not self._extended and limits.extended:
                limits = _SHORT
            response = self._send_chained(command, command.ne, limits, deadline)
            # Without Le there is nothing to correct, and a PIN must not be sent twice.
            if response.sw >> 8 == 0x6C and command.ne:
                response = self._send_chained(command, _length(response.sw), limits, deadline)
            if response.sw >> 8 == 0x61:
                response = self._fetch_rest(command.cla, response, limits, deadline)
        return response

    def _send_chained(
        self, command: CommandApdu, ne: int, limits: ApduLimits, deadline: float | None
    ) -> ResponseApdu:
        data = command.data
        ne = min(ne, MAX_EXTENDED_NE if limits.extended else MAX_SHORT_NE, limits.max_response - 2)
        if limits.extended and (len(data) > MAX_SHORT_DATA or ne > MAX_SHORT_NE):
            room = min(limits.max_command - _EXTENDED_OVERHEAD, MAX_EXTENDED_DATA)
        else:
            room = min(limits.max_command - _SHORT_OVERHEAD, MAX_SHORT_DATA)
        if room < 1:
            if data:
                raise ApduInvalid("no command with data fits between this host and the card")
            room = 1
        if len(data) <= room and ne == command.ne:
            return self._transmit(command.encode(), deadline)
        cla, ins, p1, p2 = command.cla, command.ins, command.p1, command.p2
        last = max(len(data) - 1, 0) // room * room
        for start in range(0, last, room):
            link = CommandApdu(cla | CHAINING, ins, p1, p2, data[start : start + room])
            response = self._transmit(link.encode(), deadline)
            if not response.ok:
                return response
        return self._transmit(CommandApdu(cla, ins, p1, p2, data[last:], ne).encode(), deadline)

    def _fetch_rest(
        self, cla: int, first: ResponseApdu, limits: ApduLimits, deadline: float | None
    ) -> ResponseApdu:
        pieces, size, response = [first.data], len(first.data), first
        corrected = False
        wanted = _length(first.sw)
        while True:
            ne = min(wanted, limits.max_response - 2)
            fetch = CommandApdu(get_response_class(cla), GET_RESPONSE, ne=ne)
            response = self._transmit(fetch.encode(), deadline)
            if response.sw >> 8 == 0x6C and not corrected:
                corrected, wanted = True, _length(response.sw)
                continue
            pieces.append(response.data)
            size += len(response.data)
            if size > MAX_ANSWER:
                raise ProtocolViolation(f"the answer goes on after {MAX_ANSWER} bytes")
            if response.sw >> 8 != 0x61:
                return ResponseApdu(b"".join(pieces), response.sw)
            if not response.data:
                raise ProtocolViolation(
                    "GET RESPONSE brought nothing, and there is said to be more"
                )
            corrected, wanted = False, _length(response.sw)

    def _transmit(self, command: bytes, deadline: float | None) -> ResponseApdu:
        if deadline is None:
            answer = self.connection.transmit(command)
        else:
            left = deadline - monotonic()
            if left <= 0:
                raise TransferTimeout("the time was over before the whole command was sent")
            answer = self.connection.transmit(command, timeout=left)
        if len(answer) < 2:
            raise ProtocolViolation(f"an answer of {len(answer)} bytes has no status word")
        sw = answer[-2] << 8 | answer[-1]
        if not (0x6100 <= sw <= 0x6FFF or 0x9000 <= sw <= 0x9FFF):
            raise ProtocolViolation(f"{sw:04X} is no status word (ISO/IEC 7816-4, clause 5.6)")
        return ResponseApdu(answer[:-2], sw)


def _length(sw: int) -> int:
    """The number in SW2 of 61XX and 6CXX; 0 stands for 256."""
    return sw & 0xFF or MAX_SHORT_NE
