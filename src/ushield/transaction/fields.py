"""The fields of a message, and how the bytes to sign have them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

__all__ = ["DECLARATION", "Field", "write_fields"]

DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>'


class Field(NamedTuple):
    """A field of a message as the person reads it."""

    label: str
    value: str


def write_fields(shown: Iterable[Field], hidden: Iterable[Field]) -> bytes:
    """The message of these fields."""
    return "".join(
        (
            DECLARATION,
            "<T><D>",
            *map(_write_field, shown),
            "</D><E>",
            *map(_write_field, hidden),
            "</E></T>",
        )
    ).encode()


def _write_field(field: Field) -> str:
    return f"<M><k>{_escape(field.label)}</k><v>{_escape(field.value)}</v></M>"


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
