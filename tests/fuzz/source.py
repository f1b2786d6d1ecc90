"""A fuzzer's bytes, read as decisions: what is drawn first comes first, and zeros when none are
left."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

__all__ = ["Source", "blob"]

_Choice = TypeVar("_Choice")


class Source:
    """A cursor over one input."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def byte(self) -> int:
        """The next byte."""
        if self._at >= len(self._data):
            return 0
        self._at += 1
        return self._data[self._at - 1]

    def word(self) -> int:
        """The next two bytes, the high one first."""
        return self.byte() << 8 | self.byte()

    def pick(self, among: Sequence[_Choice]) -> _Choice:
        """One of up to 256 things."""
        return among[self.byte() % len(among)]

    def take(self, length: int) -> bytes:
        """The next ``length`` bytes, or what is left of them."""
        taken = self._data[self._at : self._at + length]
        self._at += len(taken)
        return taken

    def blob(self) -> bytes:
        """As many bytes as the next byte says; FF stands for a length of two more bytes."""
        length = self.byte()
        return self.take(self.word() if length == 0xFF else length)

    def rest(self) -> bytes:
        """All that is left."""
        return self.take(len(self._data))


def blob(data: bytes) -> bytes:
    """What `Source.blob` reads as ``data``: for seeds."""
    if len(data) < 0xFF:
        return bytes((len(data),)) + data
    return b"\xff" + len(data).to_bytes(2, "big") + data
