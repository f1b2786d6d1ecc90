"""The names of the people at the bank who decide; they are distinct, and stand in the log."""

from __future__ import annotations

import re

from ushield.errors import InputInvalid

__all__ = ["check_clerk", "is_same_clerk"]

_NAME = re.compile(r"[0-9A-Za-z._@-]{1,64}")


def check_clerk(name: str) -> str:
    """The name; `InputInvalid` unless it is 1 to 64 of A-Z a-z 0-9 . _ @ -."""
    if _NAME.fullmatch(name) is None:
        raise InputInvalid("a clerk's name: 1 to 64 of A-Z a-z 0-9 . _ @ -")
    return name


def is_same_clerk(one: str, other: str) -> bool:
    """Whether two names are one person's: their case makes no other person."""
    return one.lower() == other.lower()
