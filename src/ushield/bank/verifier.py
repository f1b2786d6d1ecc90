"""What the bank asks of whatever verifies signatures for it."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from ushield.bank.verification import BlindTransaction, VerifiedTransaction

__all__ = ["SignatureVerifier"]


class SignatureVerifier(Protocol):
    """Tells whether a signature holds, such as `Verifier`. Several threads use it at once."""

    def verify(self, signature: bytes, at: datetime) -> VerifiedTransaction | BlindTransaction:
        """What ``signature`` (CMS SignedData in DER) says, if it holds at ``at``.

        `TransactionRejected` carries the reason if it does not. Challenges are no concern of it.
        A `BlindTransaction` only where the bank wants such signatures.
        """
