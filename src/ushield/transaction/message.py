"""The message: the one sequence of bytes that stands for a transaction and is signed.

UTF-8 XML in one fixed form: the declaration, then ``<T><D>..</D><E>..</E></T>`` where D holds the
fields the token shows, in their order, and E those it signs without showing. A field is
``<M><k>label</k><v>value</v></M>``. There is nothing else in it, so it is read by hand rather than
by an XML library: what is not written by `write_message` is no message.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ushield.errors import MessageInvalid, TransactionInvalid
from ushield.transaction.forms import FORMS, KIND_LABEL, Entry, Form, build, form_of
from ushield.transaction.model import Transaction

__all__ = ["MAX_MESSAGE", "Field", "Message", "compose_message", "parse_message", "write_message"]

MAX_MESSAGE = 4096
"""Longest message, in bytes; every transaction the model takes fits."""

_DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>'
_MAX_FIELDS = 16
_FORM_OF_TITLE = {form.title: form for form in FORMS.values()}
_REFERENCE = re.compile("&(?:(amp|lt|gt);)?")
_REFERENCED = {"amp": "&", "lt": "<", "gt": ">"}


class Field(NamedTuple):
    """A field of a message as the person reads it."""

    label: str
    value: str


@dataclass(frozen=True, slots=True)
class Message:
    """A message: its fields in their order, and the transaction they make."""

    transaction: Transaction
    shown: tuple[Field, ...]
    hidden: tuple[Field, ...]

    def encode(self) -> bytes:
        """The bytes to sign."""
        return "".join(
            (
                _DECLARATION,
                "<T><D>",
                *map(_write_field, self.shown),
                "</D><E>",
                *map(_write_field, self.hidden),
                "</E></T>",
            )
        ).encode()


def compose_message(transaction: Transaction) -> Message:
    """The message that stands for ``transaction``."""
    form = form_of(transaction)
    shown = [Field(KIND_LABEL, form.title)]
    hidden: list[Field] = []
    for entry in form.entries:
        text = entry.text(transaction)
        if text is not None:
            (shown if entry.shown else hidden).append(Field(entry.label, text))
    return Message(transaction, tuple(shown), tuple(hidden))


def write_message(transaction: Transaction) -> bytes:
    """The bytes to sign for ``transaction``."""
    return compose_message(transaction).encode()


def parse_message(data: bytes) -> Message:
    """Read a message; `MessageInvalid` says why it is none, and at which byte the form breaks.

    Only the form of `write_message` is taken: for every message read here, writing its transaction
    gives ``data`` again.
    """
    if len(data) > MAX_MESSAGE:
        raise MessageInvalid(f"{len(data)} bytes, at most {MAX_MESSAGE} are allowed")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise MessageInvalid(f"byte {error.start}: not UTF-8") from error
    reader = _Reader(text)
    reader.expect(_DECLARATION)
    reader.expect("<T><D>")
    shown = reader.fields()
    reader.expect("</D><E>")
    hidden = reader.fields()
    reader.expect("</E></T>")
    reader.finish()
    transaction = _read_transaction(shown, hidden)
    message = compose_message(transaction)
    if message.encode() != data:
        raise MessageInvalid("a value is not written in its one form")
    return message


def _write_field(field: Field) -> str:
    return f"<M><k>{_escape(field.label)}</k><v>{_escape(field.value)}</v></M>"


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


class _Reader:
    """A cursor over the text of a message."""

    __slots__ = ("_at", "_text")

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def expect(self, literal: str) -> None:
        if not self._text.startswith(literal, self._at):
            raise self._error(f"{literal} is due here")
        self._at += len(literal)

    def fields(self) -> tuple[Field, ...]:
        found: list[Field] = []
        while self._text.startswith("<M>", self._at):
            if len(found) == _MAX_FIELDS:
                raise self._error(f"more than {_MAX_FIELDS} fields")
            self._at += 3
            found.append(Field(self._element("k"), self._element("v")))
            self.expect("</M>")
        return tuple(found)

    def finish(self) -> None:
        if self._at != len(self._text):
            raise self._error("bytes after the end")

    def _element(self, name: str) -> str:
        self.expect(f"<{name}>")
        end = self._text.find("<", self._at)
        content = self._text[self._at : end] if end >= 0 else self._text[self._at :]
        bare = content.find(">")
        if bare >= 0:
            raise self._error("a bare > in a text", bare)
        value = _REFERENCE.sub(self._resolve, content)
        self._at += len(content)
        self.expect(f"</{name}>")
        return value

    def _resolve(self, match: re.Match[str]) -> str:
        name = match[1]
        if name is None:
            raise self._error("only &amp; &lt; and &gt; may stand in a text", match.start())
        return _REFERENCED[name]

    def _error(self, problem: str, offset: int = 0) -> MessageInvalid:
        position = len(self._text[: self._at + offset].encode())
        return MessageInvalid(f"byte {position}: {problem}")


def _read_transaction(shown: Sequence[Field], hidden: Sequence[Field]) -> Transaction:
    if not shown or shown[0].label != KIND_LABEL:
        raise MessageInvalid(f"the first field must be {KIND_LABEL}")
    form = _FORM_OF_TITLE.get(shown[0].value)
    if form is None:
        raise MessageInvalid(f"{KIND_LABEL}: no such kind of transaction")
    values = {
        **_read_fields(form, shown[1:], is_shown=True),
        **_read_fields(form, hidden, is_shown=False),
    }
    try:
        return build(form, values)
    except TransactionInvalid as error:
        raise MessageInvalid(str(error)) from error


def _read_fields(form: Form, fields: Iterable[Field], *, is_shown: bool) -> dict[str, Any]:
    entries = [entry for entry in form.entries if entry.shown is is_shown]
    position_of = {entry.label: position for position, entry in enumerate(entries)}
    values: dict[str, Any] = {}
    seen: set[str] = set()
    reached = -1
    for label, text in fields:
        position = position_of.get(label)
        if position is None:
            raise MessageInvalid(f"field {label!r} does not belong here")
        if label in seen:
            raise MessageInvalid(f"field {label} stands twice")
        if position < reached:
            raise MessageInvalid(f"field {label} is out of order")
        seen.add(label)
        reached = position
        values[entries[position].path] = _read_value(entries[position], text)
    for entry in entries:
        if entry.required and entry.label not in seen:
            raise MessageInvalid(f"field {entry.label} is missing")
    return values


def _read_value(entry: Entry, text: str) -> Any:
    try:
        return entry.shape.read(text)
    except (ValueError, TransactionInvalid) as error:
        raise MessageInvalid(f"field {entry.label}: {error}") from error
