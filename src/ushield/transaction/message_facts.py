"""What a signed message says, in JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ushield.transaction.message import Field, Message

__all__ = ["message_facts"]


def message_facts(message: Message) -> dict[str, Any]:
    """The transaction, the fields that the token showed, and those that it did not."""
    from ushield.transaction import to_json

    return {
        "transaction": to_json(message.transaction),
        "shown": _pairs(message.shown),
        "hidden": _pairs(message.hidden),
    }


def _pairs(fields: Sequence[Field]) -> dict[str, str]:
    return {each.label: each.value for each in fields}
