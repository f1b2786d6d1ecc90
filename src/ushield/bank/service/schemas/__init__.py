"""The shapes of what comes and goes, as JSON Schema (draft 2020-12), by name.

The OpenAPI document has these very objects, and requests are checked against that document: what
it tells and what is taken are one thing.
"""

from __future__ import annotations

from ushield.bank.service.json_schema import Schema
from ushield.bank.service.schemas import (
    approvals,
    audit,
    challenges,
    general,
    identifiers,
    lifecycle,
    register,
)
from ushield.bank.service.schemas.terms import WITH_ROWS
from ushield.bank.service.schemas.transactions import transactions

__all__ = ["WITH_ROWS", "components"]


def components() -> dict[str, Schema]:
    """All named schemas."""
    subjects = (identifiers, register, approvals, lifecycle, challenges, audit, general)
    found: dict[str, Schema] = {}
    for each in subjects:
        found |= each.SCHEMAS
    return found | transactions()
