"""The token's screen as a box in the terminal."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import struct
import termios
from collections.abc import Iterator
from typing import TextIO

import pytest

from ushield.cli.live_panel import Drawing, terminal_width

PAGE = ("▸收款人", "张三", "", "2/3 ↑↓")


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[TextIO, int]]:
    """A pseudo-terminal of 80 columns: its writing end, and the descriptor that sees it."""
    monkeypatch.setenv("TERM", "xterm")
    outside, inside = pty.openpty()
    os.set_blocking(outside, False)
    fcntl.ioctl(inside, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    with open(inside, "w", encoding="utf-8") as stream:
        yield stream, outside
    os.close(outside)


def seen(descriptor: int) -> str:
    shown = b""
    while True:
        try:
            shown += os.read(descriptor, 65536)
        except BlockingIOError:
            return shown.decode().replace("\r\n", "\n")


def test_each_line_is_padded_to_the_screens_cells() -> None:
    stream = io.StringIO()
    Drawing(16, stream).show(PAGE)
    rows = stream.getvalue().splitlines()
    assert len(rows) == 6
    assert {terminal_width(row) for row in rows} == {18}
    assert rows[2] == "│张三            │"


def test_a_terminal_is_drawn_in_place(terminal: tuple[TextIO, int]) -> None:
    stream, outside = terminal
    drawing = Drawing(16, stream)
    drawing.show(PAGE, "60 s")
    first = seen(outside)
    assert first.count("\n") == 7
    assert "\x1b[7A" not in first
    drawing.show(PAGE, "59 s")
    again = seen(outside)
    assert again.startswith("\x1b[7A\r")
    assert "59 s" in again


def test_the_same_picture_is_not_drawn_again(terminal: tuple[TextIO, int]) -> None:
    stream, outside = terminal
    drawing = Drawing(16, stream)
    drawing.show(PAGE, "60 s")
    seen(outside)
    drawing.show(PAGE, "60 s")
    assert seen(outside) == ""


def test_a_resized_terminal_gets_a_new_picture(terminal: tuple[TextIO, int]) -> None:
    stream, outside = terminal
    drawing = Drawing(16, stream)
    drawing.show(PAGE, "60 s")
    seen(outside)
    fcntl.ioctl(stream.fileno(), termios.TIOCSWINSZ, struct.pack("HHHH", 24, 60, 0, 0))
    drawing.show(PAGE, "59 s")
    assert not seen(outside).startswith("\x1b[7A")


@pytest.mark.parametrize("term", ["dumb", ""])
def test_a_dumb_terminal_gets_a_picture_for_each_page_and_no_escapes(
    terminal: tuple[TextIO, int], monkeypatch: pytest.MonkeyPatch, term: str
) -> None:
    monkeypatch.setenv("TERM", term)
    stream, outside = terminal
    drawing = Drawing(16, stream)
    drawing.show(PAGE, "60 s")
    drawing.show(PAGE, "59 s")
    drawing.show((*PAGE[:3], "3/3 OK/C"), "58 s")
    text = seen(outside)
    assert "\x1b" not in text
    assert text.count("┌") == 2


def test_a_terminal_without_box_characters_gets_ascii_ones() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii", errors="backslashreplace")
    Drawing(16, stream).show(("pay", "1/1 OK/C"))
    assert raw.getvalue().decode("ascii").splitlines()[0] == "+----------------+"
