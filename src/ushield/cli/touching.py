"""The touch that a key of a token without a screen wants: by a person, or as ordered."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from ushield.cli.confirming import Press, check_press, press_keys
from ushield.cli.live_panel import Drawing, keyboard
from ushield.cli.output import Output
from ushield.cli.terminal import has_terminal

if TYPE_CHECKING:
    from ushield.signing import Progress
    from ushield.virtual.token import VirtualToken

__all__ = ["Toucher"]

_LOOK = 0.02
_KEYS = "Enter: OK   Esc: C"


@dataclass(frozen=True, slots=True)
class Toucher:
    """How a touch is given in this run of the command; arguments as those of `Confirmer`."""

    output: Output
    virtual: VirtualToken | None
    press: Press | None = None

    def __post_init__(self) -> None:
        check_press(self.virtual, self.press)

    def told(self, progress: Progress) -> None:
        """Tell a person that the token is about to wait for them."""
        from ushield.signing import TouchDue

        if not isinstance(progress, TouchDue):
            return
        if self.virtual is not None and self.press is None and not has_terminal():
            raise click.UsageError(
                "no terminal to show the virtual token's screen on: give --virtual-press"
            )
        if progress.certain:
            self.output.say("Touch the token now: its light blinks.")
        else:
            self.output.say("If the token's light blinks now, touch it.")

    @contextmanager
    def attending(self) -> Iterator[None]:
        """While inside, a virtual token that asks for a touch gets it as ordered, or typed."""
        if self.virtual is None:
            yield
            return
        over = threading.Event()
        thread = threading.Thread(
            target=self._attend, args=(self.virtual, over), name="ushield-toucher", daemon=True
        )
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _attend(self, virtual: VirtualToken, over: threading.Event) -> None:
        panel = virtual.panel
        while not panel.pages:
            if over.wait(_LOOK):
                return
        if self.press is not None:
            press_keys(panel, self.press)
            return
        drawing = Drawing(virtual.profile.screen.columns)
        with keyboard(panel):
            while panel.pages and not over.wait(_LOOK):
                drawing.show(panel.screen, _KEYS)
        drawing.show(panel.screen)
