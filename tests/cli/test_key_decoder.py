"""What a person types, as keys of the token."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ushield.cli.key_decoder import KeyDecoder
from ushield.shield.events import PanelKey


@pytest.mark.parametrize(
    ("typed", "key"),
    [
        (b"\r", PanelKey.OK),
        (b"\n", PanelKey.OK),
        (b"\x1b[A", PanelKey.UP),
        (b"\x1bOA", PanelKey.UP),
        (b"\x1b[5~", PanelKey.UP),
        (b"\x1b[B", PanelKey.DOWN),
        (b"\x1bOB", PanelKey.DOWN),
        (b"\x1b[6~", PanelKey.DOWN),
    ],
)
def test_a_key_is_known_by_its_bytes(typed: bytes, key: PanelKey) -> None:
    assert KeyDecoder().feed(typed) == [key]


def test_escape_alone_is_c_once_nothing_follows() -> None:
    decoder = KeyDecoder()
    assert decoder.feed(b"\x1b") == []
    assert decoder.undecided
    assert decoder.settle() == [PanelKey.CANCEL]
    assert not decoder.undecided


def test_an_arrow_cut_in_two_is_no_c() -> None:
    decoder = KeyDecoder()
    assert decoder.feed(b"\x1b") == []
    assert decoder.feed(b"[B") == [PanelKey.DOWN]


def test_a_sequence_that_never_ends_is_no_key() -> None:
    decoder = KeyDecoder()
    assert decoder.feed(b"\x1b[1;") == []
    assert decoder.settle() == []


def test_escape_and_then_enter_are_two_keys() -> None:
    assert KeyDecoder().feed(b"\x1b\r") == [PanelKey.CANCEL, PanelKey.OK]


def test_escape_twice_is_c_twice() -> None:
    decoder = KeyDecoder()
    assert [*decoder.feed(b"\x1b\x1b"), *decoder.settle()] == [PanelKey.CANCEL] * 2


def test_letters_and_unknown_sequences_are_no_keys() -> None:
    assert KeyDecoder().feed("yes ok 好 \x1b[15~\x1b[H\x1bOP".encode()) == []


@given(st.binary(max_size=40), st.lists(st.integers(1, 8), max_size=20))
def test_how_the_bytes_are_cut_does_not_matter(typed: bytes, cuts: list[int]) -> None:
    whole, parts = KeyDecoder(), KeyDecoder()
    expected = whole.feed(typed) + whole.settle()
    found: list[PanelKey] = []
    rest = typed
    for cut in cuts:
        found += parts.feed(rest[:cut])
        rest = rest[cut:]
    assert found + parts.feed(rest) + parts.settle() == expected
