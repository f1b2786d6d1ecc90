"""Somebody at a virtual token's keys while the test itself waits for the card."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from ushield.shield.events import PanelKey
from ushield.virtual.panel import Panel

__all__ = ["finger_at"]


@contextmanager
def finger_at(panel: Panel, *keys: PanelKey) -> Iterator[list[tuple[str, ...]]]:
    """Presses ``keys`` at the first page that comes up; the pages that were seen."""
    seen: list[tuple[str, ...]] = []
    over = threading.Event()

    def press() -> None:
        while not over.wait(0.002):
            if panel.page:
                seen.append(tuple(panel.screen))
                for key in keys:
                    panel.press(key)
                return

    thread = threading.Thread(target=press)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()
