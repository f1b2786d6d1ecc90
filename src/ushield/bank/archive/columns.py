"""The columns of an archive's shards, and of the outcomes that are written for each."""

from __future__ import annotations

import pyarrow as pa

from ushield.bank.archive.errors import ShardInvalid

__all__ = ["OPTIONAL", "OUTCOME_SCHEMA", "SHARD_SCHEMA", "check_schema"]

_INSTANT = pa.timestamp("us", tz="UTC")

SHARD_SCHEMA = pa.schema(
    [
        # What the row is called in the outcomes: at a bank, its challenge's id.
        pa.field("record_id", pa.string()),
        # When the bank accepted it, by its own records.
        pa.field("signed_at", _INSTANT),
        # CMS SignedData (DER).
        pa.field("signature", pa.binary()),
        # The challenge that the message must name; null or left out if that is not to be looked at.
        pa.field("challenge", pa.string()),
        # The bytes that must have been signed; null or left out if that is not to be looked at.
        pa.field("message", pa.binary()),
    ]
)
"""The columns of a shard; those in `OPTIONAL` may be missing."""

OPTIONAL = frozenset(("challenge", "message"))

OUTCOME_SCHEMA = pa.schema(
    [
        pa.field("record_id", pa.string()),
        # "holds", or the reason why it does not.
        pa.field("outcome", pa.string()),
        # The reason in words; null if it holds.
        pa.field("detail", pa.string()),
        # The time at which it was verified: the row's own.
        pa.field("verified_at", _INSTANT),
        # SHA-256 of what was verified.
        pa.field("signature_sha256", pa.binary(32)),
        # SHA-256 of the signer's certificate; null if none could be read.
        pa.field("certificate_sha256", pa.binary(32)),
    ]
)
"""The columns of a shard's outcomes, in the order of its rows."""


def check_schema(schema: pa.Schema) -> None:
    """`ShardInvalid` names the first column that is missing, unknown, doubled or of another type.

    The order is free.
    """
    for name in SHARD_SCHEMA.names:
        found = schema.get_all_field_indices(name)
        if not found and name not in OPTIONAL:
            raise ShardInvalid(f"the column {name} is missing", column=name)
        if len(found) > 1:
            raise ShardInvalid(f"the column {name} is there twice", column=name)
        wanted = SHARD_SCHEMA.field(name).type
        if found and schema.field(found[0]).type != wanted:
            raise ShardInvalid(
                f"the column {name} is of type {schema.field(found[0]).type}, not {wanted}",
                column=name,
            )
    for name in schema.names:
        if name not in SHARD_SCHEMA.names:
            # Perhaps an optional one that is misspelt, which would go unnoticed.
            raise ShardInvalid(f"the column {name} is unknown", column=name)
