"""The bank's side: what a signature says, and whether it holds.

cryptography is imported when something that needs it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ushield.lazy import lazy_names

if TYPE_CHECKING:
    from ushield.bank.authority import DevelopmentAuthority
    from ushield.bank.rejection import RejectionReason, TransactionRejected
    from ushield.bank.trust import TrustStore
    from ushield.bank.verification import (
        BlindTransaction,
        VerifiedTransaction,
        verify_transaction,
    )
else:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "authority": ("DevelopmentAuthority",),
            "rejection": ("RejectionReason", "TransactionRejected"),
            "trust": ("TrustStore",),
            "verification": ("BlindTransaction", "VerifiedTransaction", "verify_transaction"),
        },
    )

__all__ = [
    "BlindTransaction",
    "DevelopmentAuthority",
    "RejectionReason",
    "TransactionRejected",
    "TrustStore",
    "VerifiedTransaction",
    "verify_transaction",
]
