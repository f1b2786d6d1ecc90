"""Reading JSON strictly: no member twice, none unknown, none missing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ushield.errors import TransactionInvalid

__all__ = ["MAX_JSON", "Members", "load_json"]

MAX_JSON = 65536
"""Longest JSON text, in characters."""


class Members:
    """The members of a JSON object, each to be taken once; what is left over is refused."""

    __slots__ = ("_left", "_prefix")

    def __init__(self, source: object, prefix: str) -> None:
        if not isinstance(source, Mapping):
            name = prefix.rstrip(".") or "transaction"
            raise TransactionInvalid(f"{name}: an object is due", field=name)
        self._left = dict(source)
        self._prefix = prefix

    @property
    def left(self) -> dict[str, Any]:
        """Those that were not taken."""
        return self._left

    def take(self, name: str) -> Any:
        """A member that must be there."""
        if name not in self._left:
            path = self._prefix + name
            raise TransactionInvalid(f"{path}: missing", field=path)
        return self._left.pop(name)

    def has(self, name: str) -> bool:
        """Whether it is there, and was not taken."""
        return name in self._left

    def finish(self) -> None:
        """Refuse what nobody took."""
        for name in self._left:
            path = f"{self._prefix}{name}"
            raise TransactionInvalid(f"{path}: unknown", field=path)


def load_json(source: str | bytes) -> object:
    """The value of a JSON text (UTF-8 if bytes); `TransactionInvalid` if it is none."""
    if len(source) > MAX_JSON:
        raise TransactionInvalid(f"JSON of more than {MAX_JSON} characters")
    try:
        text = source.decode() if isinstance(source, bytes) else source
        return json.loads(text, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise TransactionInvalid(f"not JSON: {error}") from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for name, value in pairs:
        if name in members:
            raise TransactionInvalid(f"{name}: stands twice", field=name)
        members[name] = value
    return members
