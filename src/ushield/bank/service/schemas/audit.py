"""The log, and archives."""

from __future__ import annotations

from ushield.bank.service.json_schema import (
    Schema,
    array_of,
    hexadecimal,
    nullable,
    object_of,
    reference,
    text,
)
from ushield.bank.service.schemas.terms import COUNT

__all__ = ["SCHEMAS"]

SCHEMAS: dict[str, Schema] = {
    "Head": object_of(
        {
            "instance": text(description="The database's id."),
            "number": {**COUNT, "description": "Heads are counted from 1."},
            "first": {**COUNT, "description": "The first entry under it."},
            "count": {**COUNT, "description": "How many entries are under it."},
            "root": reference("Sha256"),
            "previous": {**hexadecimal(64), "description": "The head before; zeros for the first."},
            "at": {**COUNT, "description": "Microseconds since 1970."},
            "key_id": {**hexadecimal(64), "description": "SHA-256 of the audit key's public half."},
            "signature": {**hexadecimal(128), "description": "Ed25519 (RFC 8032)."},
        },
        description="A signed head of the audit log, as `ushield bank audit export` writes it.",
    ),
    "LastHead": object_of({"head": nullable(reference("Head"))}),
    "Heads": object_of({"heads": array_of(reference("Head"))}),
    "Sealed": object_of({"sealed": COUNT, "heads": array_of(reference("Head"))}),
    "Anchors": object_of(
        {
            "anchors": array_of(
                reference("Head"), maxItems=1000, description="Heads that were kept elsewhere."
            )
        },
        optional=("anchors",),
    ),
    "AuditReport": object_of(
        dict.fromkeys(("heads", "entries", "erased", "pending", "anchors", "anchored"), COUNT)
    ),
    "ArchiveReport": object_of(
        {
            "rows": COUNT,
            "failed_rows": COUNT,
            "outcomes": {
                "type": "object",
                "additionalProperties": COUNT,
                "description": "How many rows had which outcome: `holds`, or why not.",
            },
            "failed": array_of(
                object_of(
                    {
                        "record_id": nullable(text()),
                        "outcome": text(),
                        "detail": nullable(text()),
                        "verified_at": nullable(text()),
                    }
                ),
                description="Rows that do not hold, the first thousand of them.",
            ),
            "revocation": nullable(
                object_of({"lists": COUNT, "responses": COUNT, "ignored": COUNT})
            ),
        },
        description="Without `revocation` it was not looked at: the bank names no"
        " `revocation_history`.",
    ),
}
