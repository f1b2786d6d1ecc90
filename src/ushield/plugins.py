"""What installed packages add to ushield by entry points; a broken one stops no other."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar

__all__ = ["BrokenPlugin", "Plugins"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class BrokenPlugin:
    """An entry point whose object cannot be imported: its name, its module, and why."""

    name: str
    module: str
    reason: str


@cache
def _load(entry: EntryPoint) -> Any:
    try:
        return entry.load()
    except (ImportError, AttributeError) as error:
        return BrokenPlugin(entry.name, entry.module, str(error))


class Plugins(Generic[T]):
    """The objects, each a ``T``, that the entry points of one ``group`` name."""

    def __init__(self, group: str) -> None:
        self._group = group

    def get(self, name: str) -> T | BrokenPlugin | None:
        """The one with this name; nothing else is imported."""
        entry = self._entries().get(name)
        loaded: T | BrokenPlugin | None = None if entry is None else _load(entry)
        return loaded

    def working(self) -> tuple[T, ...]:
        """Those that can be imported, in the order of their names."""
        return tuple(one for one in self._all() if not isinstance(one, BrokenPlugin))

    def broken(self) -> tuple[BrokenPlugin, ...]:
        """The others."""
        return tuple(one for one in self._all() if isinstance(one, BrokenPlugin))

    def _entries(self) -> dict[str, EntryPoint]:
        return {entry.name: entry for entry in entry_points(group=self._group)}

    def _all(self) -> list[T | BrokenPlugin]:
        return [_load(entry) for _, entry in sorted(self._entries().items())]
