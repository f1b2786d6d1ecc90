"""What a search in the key store found: a sequence, with a word for "there must be just one"."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Self, TypeVar, overload

from ushield.errors import ObjectNotFound, SeveralObjects

__all__ = ["Query"]

T_co = TypeVar("T_co", covariant=True)


class Query(Sequence[T_co]):
    """The objects found, in the order of the token's directory."""

    __slots__ = ("_found", "_wanted")

    def __init__(self, found: Iterable[T_co], wanted: str) -> None:
        self._found = tuple(found)
        self._wanted = wanted

    def some(self) -> Self:
        """This query, if it found anything; else `ObjectNotFound`."""
        if not self._found:
            raise ObjectNotFound(f"no {self._wanted} on the token")
        return self

    def one(self) -> T_co:
        """The only object found; `ObjectNotFound` or `SeveralObjects` otherwise."""
        self.some()
        if len(self._found) > 1:
            raise SeveralObjects(f"{self._wanted}: there are {len(self._found)}, not one")
        return self._found[0]

    @overload
    def __getitem__(self, index: int) -> T_co: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[T_co, ...]: ...
    def __getitem__(self, index: int | slice) -> T_co | tuple[T_co, ...]:
        return self._found[index]

    def __len__(self) -> int:
        return len(self._found)

    def __repr__(self) -> str:
        return f"Query({self._wanted}: {list(self._found)!r})"
