"""At a terminal: the PIN is asked for unseen, the token's screen is shown, its keys are typed."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.cli.conftest import Enrolled, told

DOWN, UP, ENTER, ESCAPE, CTRL_C = b"\x1b[B", b"\x1b[A", b"\r", b"\x1b", b"\x03"

# A session's first terminal becomes the one that its Ctrl-C comes from.
_IN_A_SESSION = (
    "import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0);"
    "from ushield.cli import main; main()"
)


class Terminal:
    """A terminal of 80 columns with the command in it; ``typed`` was typed before that."""

    def __init__(self, arguments: list[str], term: str, typed: bytes) -> None:
        self._outside, inside = pty.openpty()
        fcntl.ioctl(inside, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.before = self.settings()
        self.type(typed)
        self.process = subprocess.Popen(
            [sys.executable, "-c", _IN_A_SESSION, *arguments],
            stdin=inside,
            stdout=inside,
            stderr=inside,
            start_new_session=True,
            env=os.environ | {"TERM": term},
        )
        os.close(inside)
        self.seen = ""

    def settings(self) -> list[Any]:
        """Its modes now."""
        return termios.tcgetattr(self._outside)

    def expect(self, text: str) -> None:
        """Wait until ``text`` is seen after what was expected last."""
        deadline = time.monotonic() + 30
        while text not in self.seen:
            if not self._read(deadline):
                pytest.fail(f"{text!r} never came after: {self.seen}")
        self.seen = self.seen.partition(text)[2]

    def number_of_pages(self) -> int:
        """Wait for the first page, which tells how many there are."""
        self.expect("虚拟 1/")
        while not self.seen:
            self._read(time.monotonic() + 30)
        return int(self.seen[0])

    def type(self, keys: bytes) -> None:
        """Press keys."""
        os.write(self._outside, keys)

    def hang_up(self) -> None:
        """Close the window."""
        os.close(self._outside)
        self._outside = -1

    def exit_code(self) -> int:
        """Wait for the end; what is left on the screen is in `seen`."""
        deadline = time.monotonic() + 30
        while self._read(deadline):
            pass
        return self.process.wait(timeout=30)

    def _read(self, deadline: float) -> bool:
        ready, _, _ = select.select([self._outside], [], [], max(0, deadline - time.monotonic()))
        if not ready:
            return False
        try:
            data = os.read(self._outside, 65536)
        except OSError:  # nobody is left inside
            return False
        self.seen += data.decode(errors="replace")
        return bool(data)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        if self._outside >= 0:
            os.close(self._outside)


@contextmanager
def terminal(*arguments: str, term: str = "xterm", typed: bytes = b"") -> Iterator[Terminal]:
    opened = Terminal(list(arguments), term, typed)
    try:
        yield opened
    finally:
        opened.close()


@contextmanager
def signing(enrolled: Enrolled, *more: str, term: str = "xterm") -> Iterator[Terminal]:
    """``ushield sign`` with the PIN typed and the first page on the screen."""
    out = str(enrolled.folder / "new.p7s")
    arguments = ["--token", enrolled.spec, "sign", enrolled.payment(), "-o", out, *more]
    with terminal(*arguments, term=term) as opened:
        opened.expect("PIN: ")
        opened.type(enrolled.pin.encode() + ENTER)
        opened.expect("转账汇款")
        yield opened


def page_to_the_end(opened: Terminal) -> None:
    pages = opened.number_of_pages()
    for number in range(2, pages + 1):
        opened.type(DOWN)
        opened.expect(f"虚拟 {number}/{pages}")


def signed(enrolled: Enrolled) -> bool:
    return (enrolled.folder / "new.p7s").exists()


def test_a_person_types_the_pin_pages_to_the_end_and_presses_enter(enrolled: Enrolled) -> None:
    with signing(enrolled) as opened:
        page_to_the_end(opened)
        opened.type(ENTER)
        opened.expect("Signed, and written to")
        assert opened.exit_code() == 0
        assert opened.settings() == opened.before
    assert signed(enrolled)


def test_the_pin_is_not_seen(enrolled: Enrolled) -> None:
    with terminal("--token", enrolled.spec, "pin", "verify") as opened:
        opened.expect("PIN: ")
        opened.type(enrolled.pin.encode() + ENTER)
        assert opened.exit_code() == 0
        assert enrolled.pin not in opened.seen
        assert "The PIN is right." in opened.seen
        assert opened.settings() == opened.before


def test_enter_before_the_last_page_confirms_nothing(enrolled: Enrolled) -> None:
    with signing(enrolled) as opened:
        opened.type(ENTER + DOWN)
        opened.expect("虚拟 2/")
        opened.type(ENTER + UP)
        page_to_the_end(opened)
        opened.type(ENTER)
        assert opened.exit_code() == 0


def test_escape_rejects(enrolled: Enrolled) -> None:
    with signing(enrolled) as opened:
        opened.type(ESCAPE)
        assert opened.exit_code() == 30
        assert opened.settings() == opened.before
    assert not signed(enrolled)


def test_keys_typed_before_the_screen_was_shown_press_nothing(enrolled: Enrolled) -> None:
    pin, out = enrolled.secret(enrolled.pin), str(enrolled.folder / "new.p7s")
    sign = ["--token", enrolled.spec, "sign", enrolled.payment(), "-o", out, "--pin-file", pin]
    with terminal(*sign, typed=ESCAPE) as opened:
        page_to_the_end(opened)
        opened.type(ENTER)
        assert opened.exit_code() == 0
    assert signed(enrolled)


def test_the_time_that_is_left_is_shown_and_runs_out(enrolled: Enrolled) -> None:
    with signing(enrolled, "--timeout", "2") as opened:
        opened.expect("1 s left")
        assert opened.exit_code() == 31
        assert opened.settings() == opened.before
    assert not signed(enrolled)


def test_ctrl_c_withdraws_the_payment(enrolled: Enrolled) -> None:
    with signing(enrolled) as opened:
        opened.expect("Enter: OK")
        opened.type(CTRL_C)
        assert opened.exit_code() == 33
        assert opened.settings() == opened.before
    assert not signed(enrolled)


def test_a_terminal_gets_its_settings_back_when_the_command_is_ended(enrolled: Enrolled) -> None:
    with signing(enrolled) as opened:
        opened.expect("Enter: OK")
        assert opened.settings() != opened.before
        opened.process.send_signal(signal.SIGTERM)
        assert opened.exit_code() == 128 + signal.SIGTERM
        assert opened.settings() == opened.before
    assert not signed(enrolled)


def test_a_closed_window_ends_the_command_without_a_signature(enrolled: Enrolled) -> None:
    with signing(enrolled) as opened:
        opened.expect("Enter: OK")
        opened.hang_up()
        assert opened.process.wait(timeout=30) != 0
    assert not signed(enrolled)
    assert enrolled.run("pin", "status").exit_code == 0


def test_a_dumb_terminal_shows_each_page_without_escapes(enrolled: Enrolled) -> None:
    with signing(enrolled, term="dumb") as opened:
        page_to_the_end(opened)
        opened.type(ENTER)
        assert opened.exit_code() == 0
        assert "\x1b" not in opened.seen


def test_ctrl_c_at_the_question_for_the_pin_leaves_the_terminal_as_it_was(
    enrolled: Enrolled,
) -> None:
    with terminal("--token", enrolled.spec, "pin", "verify") as opened:
        opened.expect("PIN: ")
        opened.type(CTRL_C)
        assert opened.exit_code() == 130
        assert opened.settings() == opened.before


def test_nothing_typed_is_no_pin_and_costs_no_try(enrolled: Enrolled) -> None:
    with terminal("--token", enrolled.spec, "pin", "verify") as opened:
        opened.expect("PIN: ")
        opened.type(ENTER)
        assert opened.exit_code() == 50
    assert enrolled.tries_left() == 6


@pytest.mark.parametrize(("again", "code"), [(b"314159", 0), (b"314158", 50)])
def test_a_new_pin_is_typed_twice(enrolled: Enrolled, again: bytes, code: int) -> None:
    with terminal("--token", enrolled.spec, "pin", "change") as opened:
        opened.expect("PIN: ")
        opened.type(enrolled.pin.encode() + ENTER)
        opened.expect("new PIN: ")
        opened.type(b"314159" + ENTER)
        opened.expect("new PIN again: ")
        opened.type(again + ENTER)
        assert opened.exit_code() == code
    assert enrolled.tries_left() == 6
    changed = enrolled.run("pin", "verify", "--pin-file", enrolled.secret("314159"))
    assert changed.exit_code == (0 if code == 0 else 20)


@pytest.mark.parametrize(
    ("answer", "code", "left"), [(b"y", 0, 0), (b"", 33, 1), (b"no", 33, 1), (CTRL_C, 130, 1)]
)
def test_a_key_is_deleted_after_yes_only(
    enrolled: Enrolled, answer: bytes, code: int, left: int
) -> None:
    delete = ["key", "delete", "signing", "--pin-file", enrolled.secret(enrolled.pin)]
    with terminal("--token", enrolled.spec, *delete) as opened:
        opened.expect("p256  display  signing")
        opened.expect("[y/N] ")
        opened.type(answer + ENTER if answer != CTRL_C else answer)
        assert opened.exit_code() == code
    assert len(told(enrolled.run("--json", "key", "list"))["keys"]) == left


def test_in_a_terminal_the_demo_lets_a_person_press_the_keys(enrolled: Enrolled) -> None:
    folder = enrolled.folder / "demo"
    with terminal("demo", "--key", "p256", "--out", str(folder)) as opened:
        for _ in ("certificate request", "payment"):
            page_to_the_end(opened)
            opened.type(ENTER)
        assert opened.exit_code() == 0
    assert (folder / "payment.p7s").exists()
