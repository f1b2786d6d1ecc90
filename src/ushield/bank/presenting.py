"""Verifying what is presented, before the database is asked about it."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from ushield.bank.acceptance import Presented
from ushield.bank.batch import BatchMismatch, BatchRule
from ushield.bank.rejection import TransactionRejected

if TYPE_CHECKING:
    from ushield.bank.batch import VerifiedRows
    from ushield.bank.verifier import SignatureVerifier

__all__ = ["present"]


def present(
    verifier: SignatureVerifier,
    challenge_id: str,
    signature: bytes,
    at: datetime,
    rows: VerifiedRows | None = None,
) -> Presented:
    """What ``verifier`` says of a signature (DER) at ``at``, with the rows that belong to it."""
    try:
        verified = verifier.verify(signature, at)
        if rows is not None and rows.batch != verified.transaction:
            raise BatchMismatch("the rows are those of another batch", rule=BatchRule.DIGEST)
    except TransactionRejected as rejected:
        return Presented(challenge_id, signature, rejected)
    return Presented(challenge_id, signature, verified, None if rows is None else rows.facts)
