"""The JSON form of a transaction: what programs hand to ``ushield sign``.

`schema` gives its JSON Schema (draft 2020-12), which ships beside this module.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ushield.errors import TransactionInvalid
from ushield.transaction.forms import (
    COUNT,
    DIGEST,
    FORMS,
    MONEY,
    Entry,
    Form,
    Kind,
    Shape,
    build,
    form_of,
)
from ushield.transaction.json_members import Members, load_json
from ushield.transaction.model import Batch, Transaction
from ushield.transaction.money import Money
from ushield.transaction.tally import BatchTally

__all__ = ["batch_from_json", "from_json", "schema", "to_json"]

_HEX = Shape(bytes.hex, bytes.fromhex, "[0-9a-f]{64}")


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
        elif entry.shape is DIGEST:
            found[entry.path] = bytes.fromhex(text).hex()
        else:
            head, _, tail = entry.path.partition(".")
            if tail:
                found.setdefault(head, {})[tail] = text
            else:
                found[head] = text
    return found


def from_json(
    source: str | bytes | Mapping[str, Any], *, challenge: str | None = None
) -> Transaction:
    """Read a transaction from JSON text (UTF-8 if bytes), or from an object already read.

    ``challenge`` stands for the one that a draft does not have yet; a draft's own goes first.

    `TransactionInvalid` names the field that is missing, unknown, twice there, or not what it
    should be. Amounts are strings: a JSON number has been through binary floating point in too
    many programs to be money.
    """
    found = source if isinstance(source, Mapping) else load_json(source)
    if challenge is not None and isinstance(found, Mapping):
        found = {"challenge": challenge, **found}
    members = Members(found, "")
    kind = members.take("kind")
    form = FORMS.get(kind) if isinstance(kind, str) else None
    if form is None:
        raise TransactionInvalid(f"kind: one of {', '.join(Kind)} is due", field="kind")
    values = _read_values(form, members)
    members.finish()
    return build(form, values)


def batch_from_json(
    source: str | bytes | Mapping[str, Any], tally: BatchTally, *, challenge: str | None = None
) -> Batch:
    """Read a batch whose rows are at hand: ``count``, ``total``, ``currency`` and ``digest`` may be
    left out. ``challenge`` as in `from_json`.

    `TransactionInvalid` as `from_json`, for another kind, and where one of the four is there and
    the rows give another.
    """
    found = source if isinstance(source, Mapping) else load_json(source)
    members = Members(found, "")
    if members.take("kind") != Kind.BATCH:
        raise TransactionInvalid(f"kind: rows make a {Kind.BATCH}", field="kind")
    total = tally.total
    counted = {
        "count": tally.count,
        "total": total.text,
        "currency": total.currency.value,
        "digest": tally.digest.hex(),
    }
    for name, value in counted.items():
        if members.has(name) and members.take(name) != value:
            raise TransactionInvalid(f"{name}: the rows give {value}", field=name)
    batch = from_json({**members.left, "kind": Kind.BATCH.value, **counted}, challenge=challenge)
    # For the type checker: the kind was looked at before.
    assert isinstance(batch, Batch)  # noqa: S101
    return batch


def schema() -> dict[str, Any]:
    """The JSON Schema of this form."""
    from importlib.resources import files

    text = files("ushield.transaction").joinpath("transaction.schema.json").read_text("utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def _read_values(form: Form, members: Members) -> dict[str, Any]:
    values: dict[str, Any] = {}
    parties: dict[str, Members] = {}
    for entry in form.entries:
        head, _, tail = entry.path.partition(".")
        holder = members
        if tail:
            if head not in parties:
                parties[head] = Members(members.take(head), f"{head}.")
            holder = parties[head]
        name = tail or head
        if entry.required or holder.has(name):
            values[entry.path] = _read_value(entry, holder.take(name), members)
    for party in parties.values():
        party.finish()
    return values


def _read_value(entry: Entry, given: Any, members: Members) -> Any:
    if entry.shape is MONEY:
        return _read_money(entry.path, given, members.take("currency"))
    if entry.shape is COUNT:
        return given
    if not isinstance(given, str):
        raise TransactionInvalid(f"{entry.path}: a text is due", field=entry.path)
    # On a screen a digest stands in groups; here it is plain.
    shape = _HEX if entry.shape is DIGEST else entry.shape
    try:
        value = shape.read(given)
        one_form = shape.write(value) == given
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
