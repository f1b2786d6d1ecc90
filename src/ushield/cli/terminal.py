"""The terminal: asking for a secret, single keys, and its settings back on every way out."""

from __future__ import annotations

import os
import signal
import sys
import termios
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

import click

__all__ = ["ask_consent", "ask_secret", "has_terminal", "single_keys"]

_LFLAG = 3
_CC = 6
_MAX_LINE = 1024


def has_terminal() -> bool:
    """Whether a person can be asked, and can see the question: stdin and stderr are terminals."""
    return sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()


def ask_secret(prompt: str) -> bytearray:
    """One line from the terminal, not echoed. Ends as Ctrl-C does if the terminal hangs up."""
    descriptor = sys.stdin.fileno()
    with _settings(descriptor, off=termios.ECHO):
        click.echo(prompt, nl=False, err=True)
        line = bytearray()
        while not line.endswith(b"\n") and len(line) < _MAX_LINE:
            read = os.read(descriptor, _MAX_LINE)
            if not read:
                raise click.Abort
            line += read
    click.echo(err=True)
    while line.endswith((b"\n", b"\r")):
        del line[-1:]
    return line


def ask_consent(question: str) -> bool:
    """Whether a person answers yes. Ends as Ctrl-C does if the terminal hangs up."""
    click.echo(f"{question} [y/N] ", nl=False, err=True)
    answer = sys.stdin.readline()
    if not answer:
        raise click.Abort
    return answer.strip().lower() in ("y", "yes")


@contextmanager
def single_keys() -> Iterator[int]:
    """Deliver each key at once and unechoed from the descriptor given; Ctrl-C still interrupts.

    What was typed before is discarded: a second Enter after a PIN must not press OK.
    """
    descriptor = sys.stdin.fileno()
    with _settings(descriptor, off=termios.ECHO | termios.ICANON, suspendable=False):
        yield descriptor


@contextmanager
def _settings(descriptor: int, *, off: int, suspendable: bool = True) -> Iterator[None]:
    before = termios.tcgetattr(descriptor)
    changed: list[Any] = [*before]
    changed[_LFLAG] = before[_LFLAG] & ~off
    changed[_CC] = [*before[_CC]]
    if not suspendable:
        changed[_CC][termios.VSUSP] = b"\0"
    with _ended_politely():
        termios.tcsetattr(descriptor, termios.TCSAFLUSH, changed)
        try:
            yield
        finally:
            termios.tcsetattr(descriptor, termios.TCSAFLUSH, before)


@contextmanager
def _ended_politely() -> Iterator[None]:
    """Let SIGTERM and SIGHUP unwind the stack, so that the terminal gets its settings back."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(number: int, frame: FrameType | None) -> NoReturn:
        sys.exit(128 + number)

    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, leave) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
