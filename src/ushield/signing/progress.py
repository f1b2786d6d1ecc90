"""What a caller may show while a person reads the token's screen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from ushield.shield.events import PanelKey

__all__ = ["KeyPressed", "PageShown", "Progress", "TouchDue", "Waiting"]


@dataclass(frozen=True, slots=True)
class PageShown:
    """A page stands on the screen; ``page`` counts from 1."""

    page: int
    pages: int


@dataclass(frozen=True, slots=True)
class KeyPressed:
    """A key of the token went down. It has not confirmed anything yet, whichever it was."""

    key: PanelKey


@dataclass(frozen=True, slots=True)
class Waiting:
    """The token still waits, for ``time_left`` more seconds."""

    time_left: float


@dataclass(frozen=True, slots=True)
class TouchDue:
    """The token waits to be touched from now on, or may do so: ``certain`` tells which.

    It shows nothing, and its wait cannot be ended from this side.
    """

    certain: bool


Progress: TypeAlias = PageShown | KeyPressed | Waiting | TouchDue
