"""The pages of a message: what stands on the token's screen, line by line.

The token draws them; the bank draws them again from the signed message and compares, so the same
fields on the same screen always give the same pages.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from ushield.errors import DisplayRefused, InputInvalid
from ushield.transaction.digest import digest_texts
from ushield.transaction.forms import DIGEST_GROUP, GROUPED_LABELS, WHOLE_LABELS
from ushield.transaction.message import Field
from ushield.transaction.repertoire import Repertoire, text_width

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
        return _statuses(self.repertoire.value, self.banner, count)[number - 1]


def lay_out(fields: Sequence[Field], screen: Screen) -> tuple[Page, ...]:
    """The pages that show ``fields`` on ``screen``: a label and its value on one line if they fit,
    else the value below its label.

    A field that fits on a page is not split; a longer one runs on, but its label is never left
    alone at the foot of a page, an amount is never split, and a digest only between its groups.
    The last line of each page says which page it is and what the keys do. `DisplayRefused` with
    reason ``glyph`` (and the character) or ``too-long`` if any of it could not be seen.
    """
    room = screen.lines - 1
    repertoire, columns, codec = screen.repertoire, screen.columns, screen.repertoire.value
    mark = repertoire.label_mark
    pages: list[list[str]] = [[]]
    page = pages[0]
    for label, value in fields:
        if mark in value:
            raise _label_mark(repertoire)
        name, name_width, block = _label(codec, columns, label)
        width = text_width(codec, value)
        if name_width + width <= columns:
            if len(page) == room:
                page = []
                pages.append(page)
            page.append(name + value)
            continue
        lines = [*block, *_wrap(repertoire, value, width, _columns(label, columns))]
        if len(lines) <= room:
            together = len(lines)
        elif label in WHOLE_LABELS or len(block) >= room:
            raise DisplayRefused(
                f"{label} does not fit on one page of the screen", reason="too-long"
            )
        else:
            together = len(block) + 1
        if page and len(page) + together > room:
            page = []
            pages.append(page)
        for line in lines:
            if len(page) == room:
                page = []
                pages.append(page)
            page.append(line)
    count = len(pages)
    if count > screen.max_pages:
        raise DisplayRefused(
            f"{count} pages, the screen shows at most {screen.max_pages}", reason="too-long"
        )
    for page, status in zip(pages, _statuses(codec, screen.banner, count), strict=True):
        page.extend(("",) * (room - len(page)))
        page.append(status)
    return tuple(map(tuple, pages))


def pages_digest(pages: Sequence[Page]) -> bytes:
    """SHA-256 (32 bytes) of the pages as drawn, by `ushield.transaction.digest`."""
    return digest_texts("ushield pages 1", pages)


# The labels of a form are few, and drawn with every message.
@lru_cache(maxsize=1024)
def _label(codec: str, columns: int, label: str) -> tuple[str, int, tuple[str, ...]]:
    """The label as drawn, how wide it is, and its lines where the value does not fit beside it."""
    repertoire = Repertoire(codec)
    if repertoire.label_mark in label:
        raise _label_mark(repertoire)
    text = f"{repertoire.label_mark}{label}{LABEL_END}"
    width = repertoire.width(text)
    return text, width, tuple(_wrap(repertoire, text, width, columns))


@lru_cache(maxsize=256)
def _statuses(codec: str, banner: str, count: int) -> tuple[str, ...]:
    """The last lines of ``count`` pages."""
    up, down = Repertoire(codec).up, Repertoire(codec).down
    keys = [down, *(up + down,) * (count - 2), "OK/C"] if count > 1 else ["OK/C"]
    return tuple(
        f"{banner} {number}/{count} {each}".lstrip() for number, each in enumerate(keys, 1)
    )


def _label_mark(repertoire: Repertoire) -> DisplayRefused:
    mark = repertoire.label_mark
    return DisplayRefused(
        f"{mark} marks labels on this screen and stands in no text", reason="glyph", character=mark
    )


def _columns(label: str, columns: int) -> int:
    """How much of a line a value may take."""
    group = DIGEST_GROUP + 1
    return columns - columns % group if label in GROUPED_LABELS and columns >= group else columns


def _wrap(repertoire: Repertoire, text: str, width: int, columns: int) -> list[str]:
    if width <= columns:
        return [text]
    each, uneven = divmod(width, len(text))
    if not uneven:
        step = columns // each
        return [text[start : start + step] for start in range(0, len(text), step)]
    lines: list[str] = []
    start = used = 0
    for position, cells in enumerate(repertoire.cells(text)):
        if used + cells > columns:
            lines.append(text[start:position])
            start, used = position, 0
        used += cells
    lines.append(text[start:])
    return lines
