"""What applications of the tests' own have in common on a virtual card's OS."""

from __future__ import annotations

__all__ = ["StillApplet"]


class StillApplet:
    """An application that power, selection and the end of a session leave as it is."""

    answers_without_le = False
    slow_instructions: frozenset[int] = frozenset()

    def power_on(self) -> None:
        pass

    def power_off(self) -> None:
        pass

    def select(self) -> bytes:
        return b""

    def deselect(self) -> None:
        pass

    def end_session(self) -> None:
        pass
