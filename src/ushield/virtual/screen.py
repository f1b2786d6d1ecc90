"""What stands on a virtual token's screen when no page of a request does."""

from __future__ import annotations

from itertools import zip_longest

from ushield.errors import DisplayRefused
from ushield.transaction.pages import Page, Screen
from ushield.transaction.repertoire import Repertoire

__all__ = ["blank_screen", "confirmed_screen", "idle_screen"]

_IDLE = {Repertoire.GBK: "虚拟U盾", Repertoire.ASCII: "Virtual token"}
_CONFIRMED = {Repertoire.GBK: "已确认", Repertoire.ASCII: "Confirmed"}


def idle_screen(screen: Screen, serial: str) -> Page:
    """The screen of a token that waits: that it is virtual, and which one."""
    return _fill(screen, (_IDLE[screen.repertoire], serial))


def confirmed_screen(screen: Screen) -> Page:
    """The screen between OK and the signature."""
    return _fill(screen, (_CONFIRMED[screen.repertoire],))


def blank_screen(screen: Screen) -> Page:
    """The screen without power."""
    return ("",) * screen.lines


def _fit(text: str, screen: Screen) -> str:
    """As much of ``text`` as one line has room and glyphs for; for titles, never for a request."""
    used = 0
    for position, character in enumerate(text):
        try:
            used += screen.repertoire.cells(character)[0]
        except DisplayRefused:
            return text[:position]
        if used > screen.columns:
            return text[:position]
    return text


def _fill(screen: Screen, texts: tuple[str, ...]) -> Page:
    lines = [_fit(text, screen) for text in texts[: screen.lines]]
    return tuple(line for line, _ in zip_longest(lines, range(screen.lines), fillvalue=""))
