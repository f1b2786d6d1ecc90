"""What a challenge is to whoever signs it, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from ushield.transaction.model import Transaction

__all__ = ["Challenge", "ChallengeRecord", "ChallengeState"]


class ChallengeState(StrEnum):
    """Where a challenge stands; all states but the first are final."""

    ISSUED = "issued"
    CONSUMED = "consumed"
    EXPIRED = "expired"
    VOID = "void"


@dataclass(frozen=True, slots=True)
class Challenge:
    """What a customer is asked to sign: ``message``, the exact bytes, until ``expires_at``.

    ``transaction`` is the one that was handed in, with this challenge's ``id`` (128 random bits, in
    hexadecimal) and expiry: hand out this one, not the draft. ``repeated``: it was issued before,
    for the same draft.
    """

    id: str
    customer_id: str
    transaction: Transaction
    message: bytes
    issued_at: datetime
    expires_at: datetime
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class ChallengeRecord:
    """What became of a challenge.

    ``message``, and ``signature`` (the DER that was accepted), are ``None`` once they were erased;
    ``certificate_sha256`` and ``counter`` are those of the accepted signature.
    """

    id: str
    customer_id: str
    state: ChallengeState
    issued_at: datetime
    expires_at: datetime
    decided_at: datetime | None
    message: bytes | None
    signature: bytes | None
    certificate_sha256: bytes | None
    counter: int | None
