"""Plain messages: those that one regular expression for each kind of transaction tells to be such.

A bank reads a message with every signature, and almost all are plain: their texts are of ASCII
and the common Chinese characters, with nothing to escape, their amounts are not below one. What is
matched here keeps every rule of the model (`ushield.transaction.forms.Shape.plain`), so that the
transaction needs not be made to know that there is one. What is not is read at leisure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import cache
from itertools import compress
from typing import NamedTuple

from ushield.transaction.fields import DECLARATION
from ushield.transaction.forms import FORMS, KIND_LABEL, Entry

__all__ = ["read_plain"]

_BEFORE_TITLE = f"{DECLARATION}<T><D><M><k>{KIND_LABEL}</k><v>"
_TITLE_AT = len(_BEFORE_TITLE)


class _PlainForm(NamedTuple):
    """How plain messages of a kind look: a group for each field, whose labels are these."""

    match: Callable[[str], re.Match[str] | None]
    labels: tuple[str, ...]
    shown_count: int


# Compiling them all takes longer than starting a program that reads no message.
@cache
def _plain_form(title: str) -> _PlainForm:
    form = _FORMS[title]
    shown = [entry for entry in form.entries if entry.shown]
    hidden = [entry for entry in form.entries if not entry.shown]
    pattern = (
        f"{re.escape(_BEFORE_TITLE)}({title})</v></M>{_pattern(shown)}</D>"
        f"<E>{_pattern(hidden)}</E></T>"
    )
    return _PlainForm(
        re.compile(pattern).fullmatch,
        (KIND_LABEL, *(entry.label for entry in (*shown, *hidden))),
        1 + len(shown),
    )


def _pattern(entries: Iterable[Entry]) -> str:
    return "".join(
        f"(?:<M><k>{entry.label}</k><v>({entry.shape.plain})</v></M>)"
        f"{'' if entry.required else '?+'}"
        for entry in entries
    )


_FORMS = {form.title: form for form in FORMS.values()}


def read_plain(text: str) -> tuple[tuple[str, ...], tuple[str, ...], int] | None:
    """The labels and values of a plain message's fields, and how many of them are shown; nothing
    if it is not plain, or no message.
    """
    title = text[_TITLE_AT : text.find("<", _TITLE_AT)]
    if title not in _FORMS:
        return None
    form = _plain_form(title)
    found = form.match(text)
    if found is None:
        return None
    values = found.groups()
    if None not in values:
        return form.labels, values, form.shown_count
    labels, shown_count = _present(title, tuple(map(bool, values)))
    return labels, tuple(filter(None, values)), shown_count


@cache
def _present(title: str, present: tuple[bool, ...]) -> tuple[tuple[str, ...], int]:
    """The labels of those that are present, and how many of them are shown. There are few kinds,
    and few fields of each may be missing.
    """
    form = _plain_form(title)
    return tuple(compress(form.labels, present)), sum(present[: form.shown_count])
