"""Which characters a screen can draw, and how wide."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from enum import StrEnum
from functools import lru_cache

from ushield.errors import DisplayRefused

__all__ = ["Repertoire", "text_widths"]


class Repertoire(StrEnum):
    """Sets of glyphs by the id that profiles and receipts carry.

    ``GBK``: printable ASCII in one cell, and everything else that GBK encodes in two. Fonts made
    for GBK draw all its two-byte characters full-width, those of ambiguous width in UAX #11
    among them, so the width is the length in GBK and needs no Unicode table, whose version could
    differ between the token and the bank. ``ASCII``: printable ASCII only.
    """

    GBK = "gbk"
    ASCII = "ascii"

    @property
    def label_mark(self) -> str:
        """What a label line begins with; no text may hold it, so no text can look like a label."""
        return "◆" if self is Repertoire.GBK else "#"

    @property
    def up(self) -> str:
        """The sign for the key that turns back a page."""
        return "↑" if self is Repertoire.GBK else "^"

    @property
    def down(self) -> str:
        """The sign for the key that turns to the next page."""
        return "↓" if self is Repertoire.GBK else "v"

    def width(self, text: str) -> int:
        """How many half-width cells ``text`` takes in all; `DisplayRefused` as `cells`."""
        return sum(self.cells(text))

    def cells(self, text: str) -> list[int]:
        """How many half-width cells each character of ``text`` takes.

        `DisplayRefused` names the first one without a glyph.
        """
        codec = self.value
        cells = [_cells(codec, character) for character in text]
        if 0 in cells:
            character = text[cells.index(0)]
            name = unicodedata.name(character, "a character without a name")
            raise DisplayRefused(
                f"the token has no glyph for U+{ord(character):04X} ({name})",
                reason="glyph",
                character=character,
            )
        return cells


def text_widths(codec: str, texts: Sequence[str]) -> list[int]:
    """`Repertoire.width` of each of ``texts``, by the id of the repertoire."""
    # Where one character needs a look of its own, `cells` takes it: a control, U+3000, no glyph.
    if texts and "".join(texts).isprintable():
        try:
            return [*map(len, "\n".join(texts).encode(codec).split(b"\n"))]
        except UnicodeEncodeError:
            pass
    repertoire = Repertoire(codec)
    return [sum(repertoire.cells(text)) for text in texts]


@lru_cache(maxsize=4096)
def _cells(codec: str, character: str) -> int:
    try:
        encoded = character.encode(codec)
    except UnicodeEncodeError:
        return 0
    return len(encoded) if len(encoded) > 1 or character.isprintable() else 0
