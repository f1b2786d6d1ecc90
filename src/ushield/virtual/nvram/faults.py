"""Power cuts at the NVRAM's seam: between any two of its durable steps.

A step is one SQL statement that writes, or one COMMIT; they are numbered from 1 since the file was
opened. What a cut leaves is what was committed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from ushield.errors import TokenRemoved

__all__ = ["CutPower", "NvramFaults", "PowerCut"]


class PowerCut(TokenRemoved):
    """The virtual token lost power in the middle of a command; its file must be opened again."""

    code = "power-cut"


class NvramFaults(Protocol):
    """What may go wrong around a durable step; either method may raise `PowerCut`."""

    def before_write(self, number: int) -> None:
        """Called when step ``number`` is about to be done."""

    def after_write(self, number: int) -> None:
        """Called when step ``number`` was done."""


@dataclass(frozen=True, slots=True)
class CutPower:
    """Cut the power at step ``number``: once it was done or, with ``before``, when it is due."""

    number: int
    before: bool = False

    def before_write(self, number: int) -> None:
        """See `NvramFaults.before_write`."""
        if self.before:
            self._cut_at(number)

    def after_write(self, number: int) -> None:
        """See `NvramFaults.after_write`."""
        if not self.before:
            self._cut_at(number)

    def _cut_at(self, number: int) -> None:
        if number == self.number:
            raise PowerCut(f"power cut at NVRAM write {number}")
