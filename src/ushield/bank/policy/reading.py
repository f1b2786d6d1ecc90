"""Reading TOML strictly: each entry is taken once, by a reader that names what is wrong with it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from enum import StrEnum
from typing import Any, TypeVar

from ushield.errors import InputInvalid

__all__ = [
    "Path",
    "PolicyInvalid",
    "Read",
    "Table",
    "integer",
    "list_of",
    "member",
    "name_of",
    "named",
    "refused",
    "set_of",
    "text",
]

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_MOST_NAME = 64

T = TypeVar("T")
E = TypeVar("E", bound=StrEnum)


class PolicyInvalid(InputInvalid):
    """A policy file that says too little, too much, or nonsense; ``path`` names the entry."""

    code = "policy-invalid"
    default_remedy = "Correct the policy's file, then check it: `ushield bank policy check FILE`."
    carries = ("path",)

    def __init__(self, message: str, *, path: str | None = None) -> None:
        super().__init__(message if path is None else f"{path}: {message}")
        self.path = path


Path = tuple[str | int, ...]
"""Where an entry stands: names of tables, and positions in lists from 0."""
Read = Callable[[Any, Path], T]
"""Makes something of an entry's value, or raises `PolicyInvalid` with its path."""

_REQUIRED: Any = object()


def _dotted(path: Path) -> str:
    found = ""
    for name in path:
        if isinstance(name, int):
            found += f"[{name}]"
        else:
            bare = _BARE_KEY.fullmatch(name) is not None
            found += "." + (name if bare else json.dumps(name, ensure_ascii=False))
    return found.removeprefix(".")


def refused(path: Path, problem: str) -> PolicyInvalid:
    """The error about the entry at ``path``."""
    return PolicyInvalid(problem, path=_dotted(path))


class Table:
    """The entries of a TOML table, each to be taken once; what is left over is refused."""

    __slots__ = ("_known", "_left", "_path")

    def __init__(self, value: Any, path: Path) -> None:
        if not isinstance(value, Mapping):
            raise refused(path, f"a table is due, not {name_of(value)}")
        self._left = dict(value)
        self._path = path
        self._known: list[str] = []

    def take(self, name: str, read: Read[T], *, missing: Any = _REQUIRED) -> T:
        """The entry of this name, read by ``read``; ``missing`` where there is none."""
        self._known.append(name)
        if name in self._left:
            return read(self._left.pop(name), (*self._path, name))
        if missing is _REQUIRED:
            raise self.error(name, "missing")
        absent: T = missing
        return absent

    def error(self, name: str, problem: str) -> PolicyInvalid:
        """The error about the entry of this name."""
        return refused((*self._path, name), problem)

    def finish(self) -> None:
        """Refuse what nobody took, with a guess at what was meant."""
        for name in self._left:
            close = get_close_matches(name, self._known, 1)
            hint = f"; did you mean {close[0]}?" if close else f"; known: {', '.join(self._known)}"
            raise self.error(name, f"unknown{hint}")


_TYPES = {str: "a text", bool: "a truth value", int: "an integer", float: "a float", list: "a list"}


def name_of(value: Any) -> str:
    """What a value of TOML is, in words."""
    return _TYPES.get(type(value), "a table" if isinstance(value, Mapping) else "a date or time")


def integer(least: int, most: int) -> Read[int]:
    """Reads an integer in a range, both ends included."""

    def read(value: Any, path: Path) -> int:
        if type(value) is not int or not least <= value <= most:
            raise refused(path, f"an integer from {least} to {most} is due")
        return value

    return read


def text(value: Any, path: Path) -> str:
    """Reads a name of 1 to 64 characters."""
    if not isinstance(value, str):
        raise refused(path, f"a text is due, not {name_of(value)}")
    if not 1 <= len(value) <= _MOST_NAME:
        raise refused(path, f"a text of 1 to {_MOST_NAME} characters is due")
    return value


def member(names: type[E]) -> Read[E]:
    """Reads one of some names, with a guess at what was meant instead of another."""

    def read(value: Any, path: Path) -> E:
        try:
            return names(text(value, path))
        except ValueError:
            close = get_close_matches(value, list(names), 1)
            hint = f"; did you mean {close[0]}?" if close else f"; one of {', '.join(names)}"
            raise refused(path, f"{value!r} is unknown{hint}") from None

    return read


def list_of(read: Read[T]) -> Read[tuple[T, ...]]:
    """Reads a list, each item by ``read``."""

    def read_all(value: Any, path: Path) -> tuple[T, ...]:
        if not isinstance(value, list):
            raise refused(path, f"a list is due, not {name_of(value)}")
        return tuple(read(each, (*path, position)) for position, each in enumerate(value))

    return read_all


def set_of(read: Read[T]) -> Read[frozenset[T]]:
    """Reads a list whose items differ."""

    def read_all(value: Any, path: Path) -> frozenset[T]:
        items = list_of(read)(value, path)
        for position, item in enumerate(items):
            if item in items[:position]:
                raise refused((*path, position), f"{item} stands twice")
        return frozenset(items)

    return read_all


def named(read: Read[T]) -> Read[Mapping[str, T]]:
    """Reads a table of any names, each entry by ``read``."""

    def read_all(value: Any, path: Path) -> Mapping[str, T]:
        table = Table(value, path)
        names = [text(name, (*path, name)) for name in value]
        return {name: table.take(name, read) for name in names}

    return read_all
