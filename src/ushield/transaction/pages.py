"""The pages of a message: what stands on the token's screen, line by line.

The token draws them; the bank draws them again from the signed message and compares, so the same
fields on the same screen always give the same pages.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from typing import NamedTuple

from ushield.errors import DisplayRefused, InputInvalid
from ushield.transaction.fields import Field
from ushield.transaction.forms import DIGEST_GROUP, GROUPED_LABELS, WHOLE_LABELS
from ushield.transaction.repertoire import Repertoire, text_widths

__all__ = [
    "LABEL_END",
    "MOST_PAGES",
    "Page",
    "Screen",
    "draw",
    "drawn_digest",
    "lay_out",
    "pages_digest",
]

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
    codec: str = field(init=False, repr=False, compare=False)
    label_mark: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "codec", self.repertoire.value)
        object.__setattr__(self, "label_mark", self.repertoire.label_mark)
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
    labels = tuple(label for label, _ in fields)
    drawn = draw(labels, [value for _, value in fields], screen)
    return tuple(zip(*[iter(drawn)] * screen.lines, strict=True))


def pages_digest(pages: Sequence[Page]) -> bytes:
    """SHA-256 (32 bytes) of the pages as drawn, by `drawn_digest` of all their lines."""
    return drawn_digest([line for page in pages for line in page])


def drawn_digest(drawn: Sequence[str]) -> bytes:
    """SHA-256 (32 bytes) of the lines of all pages, as `draw` gives them.

    What is hashed, in UTF-8: ``ushield pages 2`` and the lines, a line feed between any two. No
    screen draws one, `InputInvalid` if a line has it; and each page has as many as the screen.
    """
    text = "\n".join(drawn)
    if text.count("\n") != len(drawn) - 1:
        raise InputInvalid("no screen draws no line, or a line feed")
    return sha256(f"ushield pages 2\n{text}".encode()).digest()


def draw(labels: tuple[str, ...], values: Sequence[str], screen: Screen) -> list[str]:
    """The lines of all pages of `lay_out`, one after the other, of fields with these labels."""
    columns, codec, mark = screen.columns, screen.codec, screen.label_mark
    room = left = screen.lines - 1
    # The line of a status is filled in when it is known how many pages there are.
    drawn: list[str] = []
    if mark in "".join(values):
        raise _label_mark(screen.repertoire)
    for (label, name, name_width, block, value_columns, is_whole), value, width in zip(
        _labels(codec, columns, labels), values, text_widths(codec, values), strict=True
    ):
        if name_width + width <= columns:
            if not left:
                drawn.append("")
                left = room
            drawn.append(name + value)
            left -= 1
            continue
        lines = (*block, *_wrap(codec, value, width, value_columns))
        together = count = len(lines)
        if count > room:
            if is_whole or len(block) >= room:
                raise DisplayRefused(
                    f"{label} does not fit on one page of the screen", reason="too-long"
                )
            together = len(block) + 1
        if left < together and left < room:
            drawn += ("",) * (left + 1)
            left = room
        while count > left:
            drawn += lines[:left]
            drawn.append("")
            lines = lines[left:]
            count -= left
            left = room
        drawn += lines
        left -= count
    drawn += ("",) * (left + 1)
    count = len(drawn) // screen.lines
    if count > screen.max_pages:
        raise DisplayRefused(
            f"{count} pages, the screen shows at most {screen.max_pages}", reason="too-long"
        )
    drawn[room :: screen.lines] = _statuses(codec, screen.banner, count)
    return drawn


class _Label(NamedTuple):
    """A label, as it is drawn, and how wide; its lines where the value does not fit beside it, and
    how much of a line the value may take then; whether the field must be seen on one page.
    """

    label: str
    text: str
    width: int
    block: tuple[str, ...]
    value_columns: int
    is_whole: bool


# The labels of a form are few, and drawn with every message.
@lru_cache(maxsize=1024)
def _labels(codec: str, columns: int, labels: tuple[str, ...]) -> tuple[_Label, ...]:
    repertoire = Repertoire(codec)
    return tuple(_label(repertoire, columns, label) for label in labels)


def _label(repertoire: Repertoire, columns: int, label: str) -> _Label:
    if repertoire.label_mark in label:
        raise _label_mark(repertoire)
    text = f"{repertoire.label_mark}{label}{LABEL_END}"
    width = repertoire.width(text)
    group = DIGEST_GROUP + 1
    grouped = label in GROUPED_LABELS and columns >= group
    return _Label(
        label,
        text,
        width,
        tuple(_wrap(repertoire.value, text, width, columns)),
        columns - columns % group if grouped else columns,
        label in WHOLE_LABELS,
    )


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


def _wrap(codec: str, text: str, width: int, columns: int) -> list[str]:
    if width <= columns:
        return [text]
    each, uneven = divmod(width, len(text))
    if not uneven:
        step = columns // each
        return [text[start : start + step] for start in range(0, len(text), step)]
    lines: list[str] = []
    start = used = 0
    for position, cells in enumerate(Repertoire(codec).cells(text)):
        if used + cells > columns:
            lines.append(text[start:position])
            start, used = position, 0
        used += cells
    lines.append(text[start:])
    return lines
