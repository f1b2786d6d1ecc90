"""The message: the one sequence of bytes that stands for a transaction and is signed.

UTF-8 XML in one fixed form: the declaration, then ``<T><D>..</D><E>..</E></T>`` where D holds the
fields the token shows, in their order, and E those it signs without showing. A field is
``<M><k>label</k><v>value</v></M>``. There is nothing else in it, so it is read by hand rather than
by an XML library: what is not written by `write_message` is no message.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ushield.errors import MessageInvalid, TransactionInvalid
from ushield.transaction.fields import DECLARATION, Field, write_fields
from ushield.transaction.forms import (
    CHALLENGE_LABEL,
    FORMS,
    KIND_LABEL,
    Entry,
    Form,
    build,
    form_of,
)
from ushield.transaction.model import Transaction
from ushield.transaction.plain_messages import read_plain

__all__ = [
    "MAX_MESSAGE",
    "Field",
    "Message",
    "compose_message",
    "examine_message",
    "parse_message",
    "write_message",
]

MAX_MESSAGE = 4096
"""Longest message, in bytes; every transaction the model takes fits."""

_MAX_FIELDS = 16
_REFERENCE = re.compile("&(?:(amp|lt|gt);)?")
_REFERENCED = {"amp": "&", "lt": "<", "gt": ">"}
# Possessive repetitions: a text is read once, however it ends.
_TEXT = "[^<>&]*+(?:&(?:amp|lt|gt);[^<>&]*+)*+"
_FIELDS = f"((?:<M><k>{_TEXT}</k><v>{_TEXT}</v></M>){{0,{_MAX_FIELDS}}}+)"
_STRUCTURE = re.compile(f"{re.escape(DECLARATION)}<T><D>{_FIELDS}</D><E>{_FIELDS}</E></T>")
_FIELD = re.compile("<M><k>([^<]*+)</k><v>([^<]*+)</v></M>")


@dataclass(frozen=True, slots=True)
class Message:
    """A message: its bytes, and its fields in their order.

    ``labels`` and ``values`` are those of all fields, of which the token shows the first
    ``shown_count``.
    """

    encoded: bytes
    labels: tuple[str, ...] = field(compare=False)
    values: tuple[str, ...] = field(compare=False)
    shown_count: int = field(compare=False)
    _transaction: Transaction | None = field(compare=False, repr=False)

    @property
    def shown(self) -> tuple[Field, ...]:
        """The fields that the token shows."""
        return self._fields[: self.shown_count]

    @property
    def hidden(self) -> tuple[Field, ...]:
        """The fields that it signs without showing them."""
        return self._fields[self.shown_count :]

    @property
    def _fields(self) -> tuple[Field, ...]:
        return tuple(map(Field, self.labels, self.values))

    @property
    def transaction(self) -> Transaction:
        """The transaction that the fields make."""
        made = self._transaction
        if made is None:
            # Who only wants to know that there is one, such as a verifier, does not wait for it.
            fields = self._fields
            made = _read_transaction(fields[: self.shown_count], fields[self.shown_count :])
            object.__setattr__(self, "_transaction", made)
        return made

    @property
    def challenge(self) -> str:
        """The id of the challenge that it is for."""
        return self.values[self.labels.index(CHALLENGE_LABEL, self.shown_count)]


def compose_message(transaction: Transaction) -> Message:
    """The message that stands for ``transaction``."""
    form = form_of(transaction)
    shown = [Field(KIND_LABEL, form.title)]
    hidden: list[Field] = []
    for entry in form.entries:
        text = entry.text(transaction)
        if text is not None:
            (shown if entry.shown else hidden).append(Field(entry.label, text))
    return _message(write_fields(shown, hidden), shown, hidden, transaction)


def _message(
    encoded: bytes, shown: Sequence[Field], hidden: Sequence[Field], transaction: Transaction
) -> Message:
    labels, values = zip(*shown, *hidden, strict=True)
    return Message(encoded, labels, values, len(shown), transaction)


def write_message(transaction: Transaction) -> bytes:
    """The bytes to sign for ``transaction``."""
    return compose_message(transaction).encoded


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
    plain = read_plain(text)
    if plain is not None:
        return Message(data, *plain, None)
    return examine_message(data)


def examine_message(data: bytes) -> Message:
    """The same in one's own time, also for messages that are not plain; of at most `MAX_MESSAGE`
    bytes of UTF-8.
    """
    text = data.decode()
    found = _STRUCTURE.fullmatch(text)
    if found is None:
        raise _Reader(text).problem()
    shown = [*map(_field, _FIELD.findall(found[1]))]
    hidden = [*map(_field, _FIELD.findall(found[2]))]
    return _message(data, shown, hidden, _read_transaction(shown, hidden))


def _field(texts: tuple[str, str]) -> Field:
    label, value = texts
    return Field(_REFERENCE.sub(_resolve, label), _REFERENCE.sub(_resolve, value))


def _resolve(match: re.Match[str]) -> str:
    return _REFERENCED[match[1]]


class _Reader:
    """A cursor over what is no message, to find the place where it ceases to be one."""

    __slots__ = ("_at", "_text")

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def problem(self) -> MessageInvalid:
        try:
            self._expect(DECLARATION)
            self._expect("<T><D>")
            self._fields()
            self._expect("</D><E>")
            self._fields()
            self._expect("</E></T>")
        except MessageInvalid as error:
            return error
        return self._error("bytes after the end")

    def _expect(self, literal: str) -> None:
        if not self._text.startswith(literal, self._at):
            raise self._error(f"{literal} is due here")
        self._at += len(literal)

    def _fields(self) -> None:
        found = 0
        while self._text.startswith("<M>", self._at):
            if found == _MAX_FIELDS:
                raise self._error(f"more than {_MAX_FIELDS} fields")
            found += 1
            self._at += 3
            self._element("k")
            self._element("v")
            self._expect("</M>")

    def _element(self, name: str) -> None:
        self._expect(f"<{name}>")
        end = self._text.find("<", self._at)
        content = self._text[self._at : end] if end >= 0 else self._text[self._at :]
        bare = content.find(">")
        if bare >= 0:
            raise self._error("a bare > in a text", bare)
        for match in _REFERENCE.finditer(content):
            if match[1] is None:
                raise self._error("only &amp; &lt; and &gt; may stand in a text", match.start())
        self._at += len(content)
        self._expect(f"</{name}>")

    def _error(self, problem: str, offset: int = 0) -> MessageInvalid:
        position = len(self._text[: self._at + offset].encode())
        return MessageInvalid(f"byte {position}: {problem}")


class _Part:
    """The fields that one half of a form may have, by their labels."""

    __slots__ = ("by_label", "required")

    def __init__(self, form: Form, *, is_shown: bool) -> None:
        entries = [entry for entry in form.entries if entry.shown is is_shown]
        self.by_label = {entry.label: (place, entry) for place, entry in enumerate(entries)}
        self.required = tuple(entry for entry in entries if entry.required)

    def read(self, fields: Iterable[Field], values: dict[str, Any]) -> None:
        reached = -1
        for label, text in fields:
            known = self.by_label.get(label)
            if known is None:
                raise MessageInvalid(f"field {label!r} does not belong here")
            place, entry = known
            if entry.path in values:
                raise MessageInvalid(f"field {label} stands twice")
            if place < reached:
                raise MessageInvalid(f"field {label} is out of order")
            reached = place
            values[entry.path] = _read_value(entry, text)
        for entry in self.required:
            if entry.path not in values:
                raise MessageInvalid(f"field {entry.label} is missing")


_PARTS = {
    form.title: (form, _Part(form, is_shown=True), _Part(form, is_shown=False))
    for form in FORMS.values()
}


def _read_transaction(shown: Sequence[Field], hidden: Sequence[Field]) -> Transaction:
    if not shown or shown[0].label != KIND_LABEL:
        raise MessageInvalid(f"the first field must be {KIND_LABEL}")
    parts = _PARTS.get(shown[0].value)
    if parts is None:
        raise MessageInvalid(f"{KIND_LABEL}: no such kind of transaction")
    form, shown_part, hidden_part = parts
    values: dict[str, Any] = {}
    shown_part.read(shown[1:], values)
    hidden_part.read(hidden, values)
    try:
        return build(form, values)
    except TransactionInvalid as error:
        raise MessageInvalid(str(error)) from error


def _read_value(entry: Entry, text: str) -> Any:
    try:
        value = entry.shape.read(text)
    except (ValueError, TransactionInvalid) as error:
        raise MessageInvalid(f"field {entry.label}: {error}") from error
    if not entry.shape.is_exact and entry.shape.write(value) != text:
        raise MessageInvalid("a value is not written in its one form")
    return value
