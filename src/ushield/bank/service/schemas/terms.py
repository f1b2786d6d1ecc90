"""What schemas of several subjects are made of."""

from __future__ import annotations

from ushield.bank.service.json_schema import Schema, text

__all__ = ["BASE64", "COUNT", "INSTANT", "PRINTABLE", "TRANSACTION", "WITH_ROWS", "der"]

WITH_ROWS = 1 << 24
"""How long a body with the rows of a batch may be: room for as many as one signature is for."""
TRANSACTION = "Transaction"
"""The name of the schema of transactions; those of its parts begin with it."""
INSTANT = text(format="date-time")
COUNT: Schema = {"type": "integer", "minimum": 0, "maximum": (1 << 63) - 1}
BASE64 = "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"
PRINTABLE = "^[^\\u0000-\\u001f\\u007f]*$"


def der(what: str, media_type: str) -> Schema:
    return text(
        BASE64,
        contentEncoding="base64",
        contentMediaType=media_type,
        minLength=4,
        maxLength=22000,
        description=f"{what}, in base64.",
    )
