"""The JSON form of a transaction: what programs hand to ``ushield sign``.

`schema` gives its JSON Schema (draft 2020-12), which ships beside this module.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ushield.errors import TransactionInvalid
from ushield.transaction.forms import COUNT, FORMS, MONEY, Entry, Form, Kind, build, form_of
from ushield.transaction.model import Transaction
from ushield.transaction.money import Money

__all__ = ["MAX_JSON", "from_json", "schema", "to_json"]

MAX_JSON = 65536
"""Longest JSON text, in characters."""


def to_json(transaction: Transaction) -> dict[str, Any]:
    """The transaction as a JSON object; fields it does not have are left out."""
    form = form_of(transaction)
    found: dict[str, Any] = {"kind": form.kind.value}
    for entry in form.entries:
        text = entry.text(transaction)
        if text is None:
            continue
        if entry.shape is MONEY:
            money: Money = getattr(transaction, entry.path)
            found[entry.path] = money.text
            found["currency"] = money.currency.value
        elif entry.shape is COUNT:
            found[entry.path] = int(text)
        else:
            head, _, tail = entry.path.partition(".")
            if tail:
                found.setdefault(head, {})[tail] = text
            else:
                found[head] = text
    return found


def from_json(source: str | bytes | Mapping[str, Any]) -> Transaction:
    """Read a transaction from JSON text (UTF-8 if bytes), or from an object already read.

    `TransactionInvalid` names the field that is missing, unknown, twice there, or not what it
    should be. Amounts are strings: a JSON number has been through binary floating point in too
    many programs to be money.
    """
    members = _Members(source if isinstance(source, Mapping) else _load(source), "")
    kind = members.take("kind")
    form = FORMS.get(kind) if isinstance(kind, str) else None
    if form is None:
        raise TransactionInvalid(f"kind: one of {', '.join(Kind)} is due", field="kind")
    values = _read_values(form, members)
    members.finish()
    return build(form, values)


def schema() -> dict[str, Any]:
    """The JSON Schema of this form."""
    from importlib.resources import files

    text = files("ushield.transaction").joinpath("transaction.schema.json").read_text("utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


class _Members:
    """The members of a JSON object, each to be taken once; what is left over is refused."""

    __slots__ = ("_left", "_prefix")

    def __init__(self, source: object, prefix: str) -> None:
        if not isinstance(source, Mapping):
            name = prefix.rstrip(".") or "transaction"
            raise TransactionInvalid(f"{name}: an object is due", field=name)
        self._left = dict(source)
        self._prefix = prefix

    def take(self, name: str) -> Any:
        if name not in self._left:
            path = self._prefix + name
            raise TransactionInvalid(f"{path}: missing", field=path)
        return self._left.pop(name)

    def has(self, name: str) -> bool:
        return name in self._left

    def finish(self) -> None:
        for name in self._left:
            path = f"{self._prefix}{name}"
            raise TransactionInvalid(f"{path}: unknown", field=path)


def _load(source: str | bytes) -> object:
    if len(source) > MAX_JSON:
        raise TransactionInvalid(f"JSON of more than {MAX_JSON} characters")
    try:
        text = source.decode() if isinstance(source, bytes) else source
        return json.loads(text, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise TransactionInvalid(f"not JSON: {error}") from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for name, value in pairs:
        if name in members:
            raise TransactionInvalid(f"{name}: stands twice", field=name)
        members[name] = value
    return members


def _read_values(form: Form, members: _Members) -> dict[str, Any]:
    values: dict[str, Any] = {}
    parties: dict[str, _Members] = {}
    for entry in form.entries:
        head, _, tail = entry.path.partition(".")
        holder = members
        if tail:
            if head not in parties:
                parties[head] = _Members(members.take(head), f"{head}.")
            holder = parties[head]
        name = tail or head
        if entry.required or holder.has(name):
            values[entry.path] = _read_value(entry, holder.take(name), members)
    for party in parties.values():
        party.finish()
    return values


def _read_value(entry: Entry, given: Any, members: _Members) -> Any:
    if entry.shape is MONEY:
        return _read_money(entry.path, given, members.take("currency"))
    if entry.shape is COUNT:
        return given
    if not isinstance(given, str):
        raise TransactionInvalid(f"{entry.path}: a text is due", field=entry.path)
    try:
        value = entry.shape.read(given)
        one_form = entry.shape.write(value) == given
    except ValueError:
        one_form = False
    if not one_form:
        raise TransactionInvalid(f"{entry.path}: not written as it should be", field=entry.path)
    return value


def _read_money(path: str, amount: Any, currency: Any) -> Money:
    try:
        return Money.parse(amount, currency)
    except TransactionInvalid as error:
        if error.field != "amount" or path == "amount":
            raise
        text = str(error).removeprefix("amount")
        raise TransactionInvalid(path + text, field=path) from error
