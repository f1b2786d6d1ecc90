"""A card as a virtual reader's slot meets it, and its power while it is in there."""

from __future__ import annotations

import threading
from typing import Protocol

__all__ = ["Card", "Contact"]


class Card(Protocol):
    """What stands in the slot. `transmit` never raises: a refusal is a status word.

    What a command is, depends on the reader: a command APDU, or at TPDU level what
    `ushield.virtual.contacts` makes of one. No bytes for an answer mean a mute card.
    """

    def power_on(self) -> bytes:
        """Reset the card; its ATR."""

    def power_off(self) -> None:
        """Take its power; it forgets what it had under way."""

    def transmit(self, command: bytes) -> bytes:
        """Answer one command."""

    def is_slow(self, command: bytes) -> bool:
        """Whether `transmit` would keep the host waiting longer than its patience."""


class Contact:
    """A card while it is in the slot: whose turn it is, and whether it is to lose its power."""

    def __init__(self, card: Card) -> None:
        self.card = card
        self.lock = threading.Lock()
        self.worker_waits = False
        self._power_lost = False

    def take_power(self) -> None:
        """Switch it off. A running command cannot be stopped; whoever runs it does so after it."""
        if self.lock.acquire(blocking=False):
            self._power_lost = True
            self.leave()
        else:
            self._power_lost = True

    def leave(self) -> None:
        """Let the next one have the card.

        With the slot's lock held, so that no loss of power slips in between.
        """
        if self._power_lost:
            self._power_lost = False
            self.card.power_off()
        self.lock.release()
