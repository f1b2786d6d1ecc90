"""The pages of a message: what stands on the token's screen, line by line.

The token draws them; the bank draws them again from the signed message and compares, so the same
fields on the same screen always give the same pages.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ushield.errors import DisplayRefused, InputInvalid
from ushield.transaction.digest import digest_texts
from ushield.transaction.forms import WHOLE_LABELS
from ushield.transaction.message import Field
from ushield.transaction.repertoire import Repertoire

__all__ = ["LABEL_END", "MOST_PAGES", "Page", "Screen", "lay_out", "pages_digest"]

MOST_PAGES = 99
LABEL_END = ":"
"""What ends a label; no label has one, so the first one on a label's line does."""

Page = tuple[str, ...]
"""The lines of a screen from top to bottom; the last is the status line."""


@dataclass(frozen=True, slots=True)
class Screen:
    """A screen of characters: lines, half-width cells a line, glyphs, and a text always shown.

    ``max_pages`` is how much a person is asked to read at most. `InputInvalid` for a screen that
    cannot hold its own status line.
    """

    lines: int = 4
    columns: int = 16
    repertoire: Repertoire = Repertoire.GBK
    banner: str = ""
    max_pages: int = 20

    def __post_init__(self) -> None:
        if not (
            2 <= self.lines <= 64 and 2 <= self.columns <= 128 and 1 <= self.max_pages <= MOST_PAGES
        ):
            raise InputInvalid(
                f"no screen has {self.lines} lines of {self.columns} cells"
                f" and {self.max_pages} pages"
            )
        try:
            widest = max(
                sum(self.repertoire.cells(self.status(number, MOST_PAGES)))
                for number in (MOST_PAGES - 1, MOST_PAGES)
            )
        except DisplayRefused as error:
            raise InputInvalid(f"banner: {error}") from error
        if widest > self.columns:
            raise InputInvalid(f"{self.columns} cells are too few for the status line")

    def status(self, number: int, count: int) -> str:
        """The last line of page ``number`` (from 1) of ``count``: banner, page, what keys do."""
        if number == count:
            keys = "OK/C"
        elif number == 1:
            keys = self.repertoire.down
        else:
            keys = self.repertoire.up + self.repertoire.down
        return f"{self.banner} {number}/{count} {keys}".lstrip()


def lay_out(fields: Sequence[Field], screen: Screen) -> tuple[Page, ...]:
    """The pages that show ``fields`` on ``screen``: a label and its value on one line if they fit,
    else the value below its label.

    A field that fits on a page is not split; a longer one runs on, but its label is never left
    alone at the foot of a page, and an amount is never split. The last line of each page says
    which page it is and what the keys do. `DisplayRefused` with reason ``glyph`` (and the
    character) or ``too-long`` if any of it could not be seen.
    """
    room = screen.lines - 1
    contents: list[list[str]] = [[]]
    for field in fields:
        label, value = _draw(field, screen)
        block = label + value
        if len(block) <= room:
            together = len(block)
        elif field.label in WHOLE_LABELS or len(label) >= room:
            raise DisplayRefused(
                f"{field.label} does not fit on one page of the screen", reason="too-long"
            )
        else:
            together = len(label) + 1
        if contents[-1] and len(contents[-1]) + together > room:
            contents.append([])
        for line in block:
            if len(contents[-1]) == room:
                contents.append([])
            contents[-1].append(line)
    count = len(contents)
    if count > screen.max_pages:
        raise DisplayRefused(
            f"{count} pages, the screen shows at most {screen.max_pages}", reason="too-long"
        )
    return tuple(
        (*lines, *("",) * (room - len(lines)), screen.status(number, count))
        for number, lines in enumerate(contents, 1)
    )


def pages_digest(pages: Sequence[Page]) -> bytes:
    """SHA-256 (32 bytes) of the pages as drawn, by `ushield.transaction.digest`."""
    return digest_texts("ushield pages 1", pages)


def _draw(field: Field, screen: Screen) -> tuple[list[str], list[str]]:
    repertoire = screen.repertoire
    mark = repertoire.label_mark
    if mark in field.label or mark in field.value:
        raise DisplayRefused(
            f"{mark} marks labels on this screen and stands in no text",
            reason="glyph",
            character=mark,
        )
    label = f"{mark}{field.label}{LABEL_END}"
    label_cells, value_cells = repertoire.cells(label), repertoire.cells(field.value)
    if sum(label_cells) + sum(value_cells) <= screen.columns:
        return [], [label + field.value]
    return (
        _wrap(label, label_cells, screen.columns),
        _wrap(field.value, value_cells, screen.columns),
    )


def _wrap(text: str, cells: Sequence[int], columns: int) -> list[str]:
    lines: list[str] = []
    start = used = 0
    for position, width in enumerate(cells):
        if used + width > columns:
            lines.append(text[start:position])
            start, used = position, 0
        used += width
    lines.append(text[start:])
    return lines
