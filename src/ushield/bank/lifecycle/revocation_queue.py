"""Certificates that the CA has to revoke: written down by the decision, carried out later.

The bank itself takes no signature by them from the decision on. The CA may be away then.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from ushield.bank.authorities.protocol import RevocationReason, new_transaction_id
from ushield.bank.store.statements import insert_unless_there
from ushield.bank.store.tables import revocation

__all__ = ["queue_revocations"]


def queue_revocations(
    connection: Connection, certificates: Sequence[bytes], reason: RevocationReason, at: int
) -> None:
    """Have ``certificates`` (SHA-256 each) revoked for ``reason``; the first reason stays."""
    for sha256 in certificates:
        insert_unless_there(
            connection,
            revocation,
            certificate_sha256=sha256,
            reason=reason.value,
            transaction_id=new_transaction_id().hex(),
            asked_at=at,
            attempts=0,
        )
