"""The extended APDU level, device's side: commands and answers longer than one message.

Source: CCID Rev 1.1, sections 6.1.4 and 6.2.1.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from ushield.ccid.errors import FrameInvalid
from ushield.ccid.messages import MAX_EXTENDED_COMMAND, ChainParameter

__all__ = ["ApduChains", "Part"]

_LENGTH_OFFSET, _LEVEL_PARAMETER_OFFSET = 1, 8


class Part(NamedTuple):
    """What one RDR_to_PC_DataBlock carries: abData and bChainParameter."""

    data: bytes
    chain: int


_GO_ON: Final = Part(b"", ChainParameter.CONTINUE)


class ApduChains:
    """What is under way in one slot: a command of which parts came, or an answer with parts left.

    ``room`` is how many bytes of data fit into one message.
    """

    def __init__(self, room: int) -> None:
        self._room = room
        self._command = bytearray()
        self._chaining = False
        self._response = b""

    def forget(self) -> None:
        """Nothing is under way."""
        self._command.clear()
        self._chaining = False
        self._response = b""

    def take(self, level_parameter: int, data: bytes) -> bytes | Part:
        """One XfrBlock: the whole command to carry out now, or what to answer at once.

        `FrameInvalid` for a part that does not belong here; nothing is under way then.
        """
        if not level_parameter and not self._chaining:
            return data
        if level_parameter == ChainParameter.CONTINUE and self._response and not data:
            return self._next(begun=True)
        begins = level_parameter == ChainParameter.FIRST
        goes_on = level_parameter in {ChainParameter.MIDDLE, ChainParameter.LAST}
        if not (begins or (goes_on and self._chaining)):
            self.forget()
            raise FrameInvalid("no such part is due", offset=_LEVEL_PARAMETER_OFFSET)
        if begins:
            self.forget()
        if len(self._command) + len(data) > MAX_EXTENDED_COMMAND:
            self.forget()
            raise FrameInvalid("longer than any command", offset=_LENGTH_OFFSET)
        self._command += data
        self._chaining = level_parameter != ChainParameter.LAST
        if self._chaining:
            return _GO_ON
        command = bytes(self._command)
        self._command.clear()
        return command

    def answer(self, response: bytes) -> Part:
        """The first part of an answer; the others follow when the host asks for them."""
        self._response = response
        return self._next(begun=False)

    def _next(self, *, begun: bool) -> Part:
        data, self._response = self._response[: self._room], self._response[self._room :]
        if self._response:
            return Part(data, ChainParameter.MIDDLE if begun else ChainParameter.FIRST)
        return Part(data, ChainParameter.LAST if begun else ChainParameter.WHOLE)
