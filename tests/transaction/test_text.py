"""The quick way to see that a text is plain takes nothing that the thorough one refuses."""

from __future__ import annotations

import sys
import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from ushield.transaction.text import _PLAIN, check_text


def test_every_plain_character_is_visible_and_normalised() -> None:
    plain = [chr(code) for code in range(sys.maxunicode + 1) if _PLAIN.fullmatch(chr(code))]
    assert len(plain) > 20_000
    for character in plain:
        assert unicodedata.category(character)[0] in "LNPS"
        assert unicodedata.combining(character) == 0
        assert unicodedata.is_normalized("NFC", character)
        # What could join with a character before it is no NFC by itself when that stands there.
        assert unicodedata.is_normalized("NFC", "a" + character)


@given(st.lists(st.sampled_from(["a", "~", "张", "三", " ", "\u3000", "\u00a0", "\n", "\u0301"])))
def test_plain_texts_pass_the_thorough_check(characters: list[str]) -> None:
    text = "".join(characters)
    if _PLAIN.fullmatch(text):
        assert "  " not in text
        assert text == text.strip()
        # One character that is not plain makes the thorough check look at all of them.
        check_text("é" + text, "text", 100)
