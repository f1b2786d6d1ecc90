"""Status words and their words (ISO/IEC 7816-4, clause 5.6)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ushield.iso7816.status import StatusWord, describe, register_meanings, tries_left
from ushield.shield.commands import ShieldStatus


@pytest.mark.parametrize("status", [*StatusWord, *ShieldStatus])
def test_every_status_word_with_a_name_has_words(status: int) -> None:
    assert describe(status).startswith(f"{status:04X} (")
    assert "unknown" not in describe(status)


@pytest.mark.parametrize(
    ("sw", "words"),
    [
        (0x9000, "9000 (done)"),
        (0x63C0, "63C0 (not verified, 0 tries left)"),
        (0x63C1, "63C1 (not verified, 1 try left)"),
        (0x6100, "6100 (256 more bytes to fetch)"),
        (0x6112, "6112 (18 more bytes to fetch)"),
        (0x6C00, "6C00 (wrong Le, 256 bytes are there)"),
        (0x6C07, "6C07 (wrong Le, 7 bytes are there)"),
        (0x9502, "9502 (rejected on the token)"),
    ],
)
def test_numbers_in_a_status_word_are_told(sw: int, words: str) -> None:
    assert describe(sw) == words


@pytest.mark.parametrize(
    ("sw", "words"),
    [
        (0x6242, "6242 (warning, state unchanged)"),
        (0x6A99, "6A99 (wrong parameters)"),
        (0x6F42, "6F42 (no precise diagnosis)"),
        (0x9001, "9001 (unknown status word)"),
        (0x9512, "9512 (unknown status word)"),
    ],
)
def test_an_unknown_status_word_gets_no_words_of_another_one(sw: int, words: str) -> None:
    assert describe(sw) == words


@given(st.integers(0, 0xFFFF))
def test_any_number_can_be_described(sw: int) -> None:
    assert describe(sw).startswith(f"{sw:04X} (")
    assert (tries_left(sw) is not None) == (0x63C0 <= sw <= 0x63CF)


def test_an_applet_cannot_reword_the_standard() -> None:
    register_meanings({0x9000: "hacked"})
    assert describe(0x9000) == "9000 (done)"
