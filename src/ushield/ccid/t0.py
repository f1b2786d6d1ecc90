"""T=0 over a reader at TPDU level: APDUs to TPDUs and back (ISO/IEC 7816-3, clause 12.2).

The reader handles procedure bytes; what is left for the host is P3, GET RESPONSE and a wrong Le.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Final, TypeAlias

from ushield.errors import ApduInvalid, ProtocolViolation

__all__ = ["TpduProgram", "check_short_command", "exchange", "get_response_class"]

TpduProgram: TypeAlias = Generator[bytes, bytes, bytes]
"""Yields command TPDUs, takes response TPDUs, returns the response APDU."""

_MAX_DATA: Final = 256
_GET_RESPONSE: Final = 0xC0


def check_short_command(command: bytes) -> None:
    """`ApduInvalid` unless ``command`` is a short command APDU (ISO/IEC 7816-4, 5.2)."""
    length = len(command)
    if length < 4:
        raise ApduInvalid(f"a command APDU has at least 4 bytes, this one {length}")
    if length > 5 and (not command[4] or length not in {5 + command[4], 6 + command[4]}):
        raise ApduInvalid("this card and reader take short APDUs only, and this is none")


def exchange(command: bytes) -> TpduProgram:
    """Carry out one short command APDU.

    `ApduInvalid` for another one; `ProtocolViolation` for a response TPDU of a wrong length or a
    61xx that never brings a byte. All data is fetched up to Ne; a 61xx that is left after it, or
    that answers a command without Le, is the caller's.
    """
    check_short_command(command)
    header, length = command[:4], len(command)
    if length <= 5:
        p3 = command[4] if length == 5 else 0
        answer = yield from _ask(header + bytes([p3]))
        return answer if length == 4 else (yield from _case_2(header, p3 or _MAX_DATA, answer))
    lc = command[4]
    answer = yield from _ask(command[: 5 + lc])
    # Data here is against T=0, yet some readers that pass APDUs through answer so.
    if length == 5 + lc or len(answer) > 2:
        return answer
    ne = command[-1] or _MAX_DATA
    if answer == b"\x90\x00":
        fetched = yield from _fetch(header[0], ne, bytes([0x61, ne & 0xFF]))
        # Case 4S.2 asks for data that a card without any refuses; the command itself succeeded.
        return answer if len(fetched) == 2 and fetched[0] not in {0x62, 0x63, 0x90} else fetched
    return (yield from _fetch(header[0], ne, answer))


def _case_2(header: bytes, ne: int, answer: bytes) -> TpduProgram:
    if len(answer) == 2 and answer[0] == 0x6C:
        answer = yield from _ask(header + answer[1:])
        # Case 2S.3: what exceeds Ne is not part of the response APDU.
        answer = answer[:-2][:ne] + answer[-2:]
    return (yield from _fetch(header[0], ne, answer))


def _fetch(cla: int, ne: int, answer: bytes) -> TpduProgram:
    """Follow 61xx with GET RESPONSE until there are ``ne`` bytes or no more."""
    data, status = answer[:-2], answer[-2:]
    while status[0] == 0x61 and len(data) < ne:
        get_response = bytes([get_response_class(cla), _GET_RESPONSE, 0, 0])
        wanted = min(status[1] or _MAX_DATA, ne - len(data))
        answer = yield from _ask(get_response + bytes([wanted & 0xFF]))
        if len(answer) == 2 and answer[0] == 0x6C:
            answer = yield from _ask(get_response + answer[1:])
            answer = answer[:-2][: ne - len(data)] + answer[-2:]
        if len(answer) == 2 and answer[0] == 0x61:
            raise ProtocolViolation("the card answers GET RESPONSE with 61xx and no data")
        data, status = data + answer[:-2], answer[-2:]
    return data + status


def get_response_class(cla: int) -> int:
    """The class of GET RESPONSE after a command of class ``cla`` (ISO/IEC 7816-4, clause 5.4.1).

    It is interindustry: it keeps the logical channel, and nothing else. A proprietary class names
    no channel that we could know.
    """
    if cla & 0x80:
        return 0x00
    return cla & 0x4F if cla & 0x40 else cla & 0x03


def _ask(tpdu: bytes) -> TpduProgram:
    answer = yield tpdu
    if not 2 <= len(answer) <= _MAX_DATA + 2:
        raise ProtocolViolation(
            f"a response at T=0 has 2 to {_MAX_DATA + 2} bytes, this one {len(answer)}"
        )
    return answer
