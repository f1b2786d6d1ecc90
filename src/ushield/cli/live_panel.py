"""A virtual token's panel in the terminal: its screen drawn in place, its keys on the keyboard."""

from __future__ import annotations

import os
import select
import sys
import threading
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol, TextIO

from ushield.cli.key_decoder import KeyDecoder
from ushield.cli.terminal import single_keys
from ushield.shield.events import PanelKey

__all__ = ["Drawing", "PressablePanel", "boxed", "keyboard", "terminal_width"]

# How long the rest of an escape sequence may take; slower, and Esc was pressed alone.
_SEQUENCE_SECONDS = 0.05
_BOX = ("┌", "─", "┐", "│", "└", "┘")
_ASCII_BOX = ("+", "-", "+", "|", "+", "+")


class PressablePanel(Protocol):
    """What of a virtual token's panel is wanted here."""

    @property
    def screen(self) -> Sequence[str]:
        """The lines as drawn."""

    def press(self, key: PanelKey) -> None:
        """Press a key and let it go."""


def terminal_width(text: str) -> int:
    """Columns that ``text`` takes on a terminal (UAX #11; ambiguous ones are narrow there)."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def boxed(lines: Sequence[str], columns: int, stream: TextIO) -> tuple[str, ...]:
    """``lines`` in a box ``columns`` wide inside, of characters that ``stream`` can show."""
    box = _BOX if _can_show(stream, "".join(_BOX)) else _ASCII_BOX
    left_top, flat, right_top, side, left_bottom, right_bottom = box
    bar = flat * columns
    body = (f"{side}{line}{' ' * max(0, columns - terminal_width(line))}{side}" for line in lines)
    return (left_top + bar + right_top, *body, left_bottom + bar + right_bottom)


class Drawing:
    """The screen as a box in the terminal, drawn over its last picture where that is possible.

    A dumb terminal, one narrower than the box, or one that was resized meanwhile gets a new
    picture below the old one, and only when the token's screen has changed.
    """

    __slots__ = ("_columns", "_drawn", "_height", "_lines", "_stream", "_width")

    def __init__(self, columns: int, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._columns = columns
        self._drawn: tuple[str, ...] = ()
        self._lines: Sequence[str] | None = None
        self._height = 0
        self._width = 0

    def show(self, lines: Sequence[str], note: str = "") -> None:
        """Draw ``lines`` in the box and ``note`` under it; nothing if that is what stands there."""
        picture = boxed(lines, self._columns, self._stream)
        if note:
            picture = (*picture, note)
        width = self._room()
        in_place = width > max(terminal_width(line) for line in picture)
        moved = width != self._width
        if picture == self._drawn or (not in_place and tuple(lines) == self._lines):
            return
        back = f"\x1b[{self._height}A\r" if self._height and in_place and not moved else ""
        end = "\x1b[K\n" if in_place else "\n"
        # One write, so that no half-drawn picture is seen; \x1b[J clears what was longer before.
        rest = "\x1b[J" if in_place else ""
        self._stream.write(back + "".join(line + end for line in picture) + rest)
        self._stream.flush()
        self._drawn, self._lines = picture, tuple(lines)
        self._height, self._width = len(picture), width

    def _room(self) -> int:
        if os.environ.get("TERM", "dumb") in ("", "dumb"):
            return 0
        try:
            return os.get_terminal_size(self._stream.fileno()).columns
        except (OSError, ValueError):
            return 0


def _can_show(stream: TextIO, text: str) -> bool:
    try:
        text.encode(stream.encoding or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


@contextmanager
def keyboard(panel: PressablePanel) -> Iterator[None]:
    """While inside, keys typed in the terminal are pressed on the panel."""
    with single_keys() as descriptor:
        stop, stopper = os.pipe()
        thread = threading.Thread(
            target=_press, args=(descriptor, stop, panel), name="ushield-keyboard", daemon=True
        )
        thread.start()
        try:
            yield
        finally:
            os.close(stopper)
            thread.join()
            os.close(stop)


def _press(descriptor: int, stop: int, panel: PressablePanel) -> None:
    decoder = KeyDecoder()
    while True:
        timeout = _SEQUENCE_SECONDS if decoder.undecided else None
        ready, _, _ = select.select([descriptor, stop], [], [], timeout)
        if stop in ready:
            return
        if not ready:
            keys = decoder.settle()
        else:
            try:
                typed = os.read(descriptor, 64)
            except OSError:
                return
            if not typed:
                return
            keys = decoder.feed(typed)
        for key in keys:
            panel.press(key)
