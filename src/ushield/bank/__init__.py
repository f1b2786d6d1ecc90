"""The bank's side: what a signature says, and whether it holds.

cryptography is imported when something that needs it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ushield.lazy import lazy_names

if TYPE_CHECKING:
    from ushield.bank.attestation import (
        AttestationPolicy,
        AttestationRegister,
        EnrolledAttestation,
    )
    from ushield.bank.authority import DevelopmentAuthority
    from ushield.bank.rejection import RejectionReason, TransactionRejected
    from ushield.bank.trust import TrustStore
    from ushield.bank.verification import (
        BlindTransaction,
        LossRegister,
        VerifiedTransaction,
        Verifier,
        verify_transaction,
    )
else:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "attestation": (
                "AttestationPolicy",
                "AttestationRegister",
                "EnrolledAttestation",
            ),
            "authority": ("DevelopmentAuthority",),
            "rejection": ("RejectionReason", "TransactionRejected"),
            "trust": ("TrustStore",),
            "verification": (
                "BlindTransaction",
                "LossRegister",
                "VerifiedTransaction",
                "Verifier",
                "verify_transaction",
            ),
        },
    )

__all__ = [
    "AttestationPolicy",
    "AttestationRegister",
    "BlindTransaction",
    "DevelopmentAuthority",
    "EnrolledAttestation",
    "LossRegister",
    "RejectionReason",
    "TransactionRejected",
    "TrustStore",
    "VerifiedTransaction",
    "Verifier",
    "verify_transaction",
]
