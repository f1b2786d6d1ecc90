"""What is signed: the message's parser, the JSON form beside it, and the pages that are drawn.

The first byte says which. Bytes that are a message are the one way to write its transaction.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final

from tests.fuzz.examples import examples
from tests.fuzz.source import Source, blob
from tests.fuzz.target import Target
from tests.transaction.strategies import EXAMPLES, transactions
from ushield.errors import DisplayRefused, MessageInvalid, TransactionInvalid
from ushield.transaction import (
    Field,
    Screen,
    lay_out,
    pages_digest,
    parse_message,
    write_message,
)
from ushield.transaction.forms import FORMS, KIND_LABEL, form_of
from ushield.transaction.json_form import from_json, to_json
from ushield.transaction.message import MAX_MESSAGE, examine_message
from ushield.transaction.pages import LABEL_END, MOST_PAGES
from ushield.transaction.repertoire import Repertoire

__all__ = ["TARGET"]

_SCREENS: Final = (
    Screen(),
    Screen(lines=3, columns=16, repertoire=Repertoire.ASCII, max_pages=MOST_PAGES),
    Screen(lines=8, columns=20),
)
_FORMS: Final = tuple(FORMS.values())
_LABELS: Final = tuple(sorted({entry.label for form in _FORMS for entry in form.entries}))
_HEAD: Final = b'<?xml version="1.0" encoding="UTF-8"?><T><D>'
_LEFT_OUT: Final = 0xFF
_MESSAGE, _JSON, _PAGES, _FORM = range(4)


def _run(data: bytes) -> None:
    if not data:
        return
    (_parse, _read_json, _draw, _parse_form)[data[0] % 4](data[1:])


def _parse(data: bytes) -> None:
    try:
        message = parse_message(data)
    except MessageInvalid:
        return
    assert message.encoded == data
    examined = examine_message(data)
    assert (message.labels, message.values) == (examined.labels, examined.values)
    assert (message.shown_count, message.transaction) == (
        examined.shown_count,
        examined.transaction,
    )
    assert write_message(message.transaction) == data
    assert from_json(json.dumps(to_json(message.transaction))) == message.transaction
    for screen in _SCREENS:
        _check_pages(message.shown, screen)


def _parse_form(data: bytes) -> None:
    """A message in the right form, or nearly, with any texts for values."""
    source = Source(data)
    form = source.pick(_FORMS)
    written = bytearray(_HEAD + _field(KIND_LABEL, form.title.encode()))
    for shown in (True, False):
        for entry in form.entries:
            choice = source.byte()
            if entry.shown is shown and choice != _LEFT_OUT:
                written += _field(entry.label, source.blob())
            if choice == _LEFT_OUT - 1:
                written += _field(source.pick(_LABELS), source.blob())
        written += b"</D><E>" if shown else b"</E></T>"
    _parse(bytes(written))


def _field(label: str, value: bytes) -> bytes:
    return b"<M><k>" + label.encode() + b"</k><v>" + value + b"</v></M>"


def _check_pages(fields: tuple[Field, ...], screen: Screen) -> None:
    try:
        pages = lay_out(fields, screen)
    except DisplayRefused:
        return
    assert len(pages_digest(pages)) == 32
    assert all(len(page) == screen.lines for page in pages)
    drawn = [line for page in pages for line in page[:-1]]
    assert all(sum(screen.repertoire.cells(line)) <= screen.columns for line in drawn)
    mark = screen.repertoire.label_mark
    said = [mark + field.label + LABEL_END + field.value for field in fields]
    assert "".join(drawn) == "".join(said)


def _read_json(data: bytes) -> None:
    try:
        transaction = from_json(data)
    except TransactionInvalid:
        return
    message = write_message(transaction)
    assert len(message) <= MAX_MESSAGE
    assert parse_message(message).transaction == transaction
    assert from_json(json.dumps(to_json(transaction))) == transaction


def _draw(data: bytes) -> None:
    """Texts that no transaction would let through: the screen has its own guard."""
    source = Source(data)
    screen = source.pick(_SCREENS)
    fields = []
    while source:
        fields.append(
            Field(
                source.blob().decode(errors="replace"),
                source.blob().decode(errors="replace"),
            )
        )
    _check_pages(tuple(fields), screen)


def _seeds() -> Iterator[bytes]:
    for transaction in (*EXAMPLES, *examples(transactions(), 40)):
        yield bytes((_MESSAGE,)) + write_message(transaction)
        yield bytes((_JSON,)) + json.dumps(to_json(transaction), ensure_ascii=False).encode()
        form, texts = form_of(transaction), bytearray()
        for shown in (True, False):
            for entry in form.entries:
                text = entry.text(transaction)
                texts.append(_LEFT_OUT if entry.shown is shown and text is None else 0)
                if entry.shown is shown and text is not None:
                    texts += blob(text.encode())
        yield bytes((_FORM, _FORMS.index(form))) + texts
    for text in ("付款", "1,000.00", "a b", "é", "\u200b", "\u202e"):
        encoded = text.encode()
        yield bytes((_PAGES, 0, len(encoded))) + encoded + bytes((len(encoded),)) + encoded


_WORDS: Final = (
    *(label.encode() for label in _LABELS),
    *(form.title.encode() for form in _FORMS),
    *(b"<M><k>", b"</k><v>", b"</v></M>", b"&amp;", b"&lt;", b"&gt;", b"</D><E>", b"</E></T>"),
    *(
        "人民币".encode(),
        "\u200b".encode(),
        "\u202e".encode(),
        "\u0301".encode(),
        b"Infinity",
        b"1e9",
    ),
)

TARGET = Target(_run, _seeds, max_length=2 * MAX_MESSAGE, words=_WORDS)
