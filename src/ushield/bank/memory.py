"""What was found out about a certificate is remembered, in bounded memory, without a lock."""

from __future__ import annotations

from typing import Generic, TypeVar

from ushield.errors import InputInvalid

__all__ = ["Memory"]

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


class Memory(Generic[_Key, _Value]):
    """At most ``size`` values by their keys; those not asked for longest are forgotten first.

    Two generations: what is asked for moves into the young one, and when that holds half of all,
    it becomes the old one and the old one is dropped. Every step is one operation of a dict or one
    assignment, so threads need no lock; when they meet, something is forgotten early.
    `InputInvalid` for a size below 2.
    """

    __slots__ = ("_half", "_old", "_young")

    def __init__(self, size: int) -> None:
        if size < 2:
            raise InputInvalid("room for two certificates at least")
        self._half = size // 2
        self._young: dict[_Key, _Value] = {}
        self._old: dict[_Key, _Value] = {}

    def __len__(self) -> int:
        return len(self._young.keys() | self._old.keys())

    def get(self, key: _Key) -> _Value | None:
        """The value of ``key``, if it is remembered."""
        value = self._young.get(key)
        if value is None:
            value = self._old.get(key)
            if value is not None:
                self.put(key, value)
        return value

    def put(self, key: _Key, value: _Value) -> None:
        """Remember ``value``; it is never ``None``."""
        young = self._young
        if len(young) >= self._half:
            self._old = young
            self._young = young = {}
        young[key] = value
