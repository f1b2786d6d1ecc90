"""Waiting for the keys of the token: by a person at the token or the terminal, or as ordered."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ushield.cli.live_panel import Drawing, keyboard
from ushield.cli.output import Output
from ushield.cli.terminal import has_terminal
from ushield.errors import HostCancelled
from ushield.shield.events import PanelKey

if TYPE_CHECKING:
    from ushield.signing import Pending
    from ushield.virtual.panel import Panel
    from ushield.virtual.token import VirtualToken

__all__ = ["Confirmer", "Press", "check_press", "press_keys", "press_option", "timeout_option"]

_KEYS = "Enter: OK   Esc: C   Up, Down: page"

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")


class Press(StrEnum):
    """What to press on a virtual token when no person does."""

    OK = "ok"
    CANCEL = "cancel"
    NONE = "none"


def press_option(function: F) -> F:
    """``--virtual-press`` as ``press``."""
    return click.option(
        "--virtual-press",
        "press",
        type=click.Choice([press.value for press in Press]),
        callback=lambda context, parameter, value: value and Press(value),
        help="Press this on the virtual token: OK after its last page, C, or nothing.",
    )(function)


def timeout_option(function: F) -> F:
    """``--timeout`` as ``timeout``, in seconds."""
    return click.option(
        "--timeout",
        metavar="S",
        type=click.FloatRange(min=0, min_open=True),
        help="Wait at most S seconds for the keys; the token itself may wait less.",
    )(function)


@dataclass(frozen=True, slots=True)
class Confirmer:
    """How requests get their answer in this run of the command.

    ``virtual`` is the virtual token if it is one, ``press`` what was ordered to be pressed on it,
    ``timeout`` in seconds. `click.UsageError` where nobody could press anything.
    """

    output: Output
    virtual: VirtualToken | None
    press: Press | None = None
    timeout: float | None = None

    def __post_init__(self) -> None:
        check_press(self.virtual, self.press)
        if self.virtual is not None and self.press is None and not has_terminal():
            raise click.UsageError(
                "no terminal to show the virtual token's screen on: give --virtual-press"
            )

    def wait(self, pending: Pending[T]) -> T:
        """Let the request be answered: what it gives, or its `ConfirmationError`.

        Ctrl-C takes it off the token's screen and raises `HostCancelled`.
        """
        try:
            pages = "1 page" if pending.pages == 1 else f"{pending.pages} pages"
            if self.virtual is None:
                self.output.say(f"Read the {pages} on the token's screen, then press OK there.")
            elif self.press is None:
                self._show(pending, self.virtual)
            else:
                self.output.say(f"Shown on the virtual token: {pages}. Pressing: {self.press}.")
                press_keys(self.virtual.panel, self.press)
            return pending.result(self.timeout)
        except KeyboardInterrupt:
            pending.cancel()
            raise HostCancelled("cancelled here; nothing was signed") from None

    def _show(self, pending: Pending[T], virtual: VirtualToken) -> None:
        from ushield.signing import Waiting

        panel, drawing = virtual.panel, Drawing(virtual.profile.screen.columns)
        end = math.inf if self.timeout is None else time.monotonic() + self.timeout
        note = _KEYS
        with keyboard(panel):
            drawing.show(panel.screen, note)
            for event in pending.events(self.timeout):
                if isinstance(event, Waiting):
                    left = min(event.time_left, end - time.monotonic())
                    note = f"{_KEYS}   {max(0, math.ceil(left))} s left"
                drawing.show(panel.screen, note)
            drawing.show(panel.screen)


def check_press(virtual: VirtualToken | None, press: Press | None) -> None:
    """`click.UsageError` where a press was ordered on a token that no program can press."""
    if virtual is None and press is not None:
        raise click.UsageError("--virtual-press is for a virtual token: --token virtual:PATH")


def press_keys(panel: Panel, press: Press) -> None:
    """Press what was ordered, at once."""
    if press is Press.CANCEL:
        panel.press(PanelKey.CANCEL)
    elif press is Press.OK:
        for _ in panel.pages[1:]:
            panel.press(PanelKey.DOWN)
        panel.press(PanelKey.OK)
