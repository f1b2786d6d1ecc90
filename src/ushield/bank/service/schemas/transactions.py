"""The schema of transactions, as `ushield.transaction` has it."""

from __future__ import annotations

from typing import Any

from ushield.bank.service.json_schema import Schema
from ushield.bank.service.schemas.terms import TRANSACTION
from ushield.transaction.json_form import schema as transaction_schema

__all__ = ["transactions"]


def transactions() -> dict[str, Schema]:
    """The schema of transactions, its parts under names of their own.

    A draft has no challenge yet, so that none is required.
    """
    whole = transaction_schema()
    found: dict[str, Schema] = {
        TRANSACTION: {
            "description": whole["title"] + "; the bank puts a challenge of its own in.",
            "oneOf": _moved(whole["oneOf"]),
        }
    }
    for name, part in whole["$defs"].items():
        moved = _moved(part)
        if "challenge" in moved.get("required", ()):
            moved["required"].remove("challenge")
        found[f"{TRANSACTION}.{name}"] = moved
    return found


def _moved(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: member.replace("#/$defs/", f"#/components/schemas/{TRANSACTION}.")
            if name == "$ref"
            else _moved(member)
            for name, member in value.items()
        }
    if isinstance(value, list):
        return [_moved(each) for each in value]
    return value
