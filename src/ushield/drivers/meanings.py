"""What a status word means where it came: as the error that a caller can act on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from ushield.errors import StatusWordError, UShieldError
from ushield.iso7816.status import describe

__all__ = ["Meaning", "Meanings", "meant"]

Meaning = Callable[[], UShieldError]
"""Makes the error for one status word."""

Meanings: TypeAlias = Mapping[int, Meaning]
"""The errors by status word, of one command or of a whole application."""


def meant(sw: int, *tables: Meanings) -> UShieldError:
    """The error for ``sw`` by the first of ``tables`` that has it, else a `StatusWordError` in
    words.
    """
    for table in tables:
        if sw in table:
            return table[sw]()
    return StatusWordError(f"the token answered {describe(sw)}", sw=sw)
