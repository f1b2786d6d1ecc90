"""APDUs longer than one message at extended APDU level (CCID Rev 1.1, sections 6.1.4 and 6.2.1)."""

from __future__ import annotations

from typing import Final

from ushield.ccid.activation import required
from ushield.ccid.channel import Answer, Channel, Patience
from ushield.ccid.messages import (
    HEADER_LENGTH,
    MAX_EXTENDED_RESPONSE,
    ChainParameter,
    MessageType,
)
from ushield.ccid.steps import Program
from ushield.errors import ProtocolViolation

__all__ = ["collect_response", "send_command"]

_MORE: Final = frozenset({ChainParameter.FIRST, ChainParameter.MIDDLE})


def send_command(
    channel: Channel, slot: int, command: bytes, patience: Patience
) -> Program[Answer]:
    """Send a command APDU in as many messages as it takes; the answer to the last of them."""
    room = channel.descriptor.max_message_length - HEADER_LENGTH
    parts = [command[start : start + room] for start in range(0, len(command), room)]
    last = len(parts) - 1
    for index, part in enumerate(parts):
        if not last:
            level = ChainParameter.WHOLE
        elif not index:
            level = ChainParameter.FIRST
        else:
            level = ChainParameter.LAST if index == last else ChainParameter.MIDDLE
        answer = yield from _transfer(channel, slot, level, part, patience)
        if index < last and (answer.third != ChainParameter.CONTINUE or answer.data):
            raise _violation(
                channel, slot, "the reader answers before it has the whole command", answer
            )
    return answer


def collect_response(
    channel: Channel, slot: int, answer: Answer, patience: Patience
) -> Program[bytes]:
    """The response APDU that starts with ``answer``, asking for the rest of it.

    `ProtocolViolation` for parts out of order or a response longer than any APDU.
    """
    if answer.third == ChainParameter.WHOLE:
        return answer.data
    if answer.third != ChainParameter.FIRST:
        raise _violation(channel, slot, "a response starts in its middle", answer)
    response = bytearray(answer.data)
    while answer.third in _MORE:
        # A part without a byte would let a reader go on for ever.
        if not answer.data or len(response) > MAX_EXTENDED_RESPONSE:
            raise _violation(channel, slot, "a response never ends", answer)
        answer = yield from _transfer(channel, slot, ChainParameter.CONTINUE, b"", patience)
        if answer.third not in {ChainParameter.MIDDLE, ChainParameter.LAST}:
            raise _violation(channel, slot, "a response starts anew in its middle", answer)
        response += answer.data
    if len(response) > MAX_EXTENDED_RESPONSE:
        raise ProtocolViolation("a response is longer than any APDU")
    return bytes(response)


def _transfer(
    channel: Channel, slot: int, level: int, data: bytes, patience: Patience
) -> Program[Answer]:
    answer = yield from channel.command(MessageType.XFR_BLOCK, slot, patience, (0, level, 0), data)
    return required(answer, slot)


def _violation(channel: Channel, slot: int, what: str, answer: Answer) -> ProtocolViolation:
    # The reader is in the middle of a chain, which only an abort ends.
    channel.in_flight = slot
    return ProtocolViolation(f"{what} (bChainParameter {answer.third:#04x})")
