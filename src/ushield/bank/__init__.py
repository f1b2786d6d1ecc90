"""The bank's side: what a signature says, whether it holds, and whether the bank asked for it.

cryptography is imported when something that needs it is used, SQLAlchemy (extra ``bank``) when
something that keeps a database is.
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
    from ushield.bank.authorities.development import DevelopmentAuthority
    from ushield.bank.challenge_records import Challenge, ChallengeRecord, ChallengeState
    from ushield.bank.customers import (
        CertificateState,
        EnrolledCertificate,
        TokenRecord,
        TokenState,
    )
    from ushield.bank.errors import (
        AuditBroken,
        CertificateUnknown,
        ChallengeSettled,
        ChallengeUnknown,
        ClockSkewed,
        CustomerUnknown,
        DuplicateEntry,
        DuplicateOrder,
        OutcomeUnknown,
        StoreBusy,
        StoreCorrupt,
        StoreFull,
        StoreOutdated,
        StoreRestored,
        StoreUnavailable,
        TokenUnknown,
    )
    from ushield.bank.facade import Bank
    from ushield.bank.judgement import Acceptance, AcceptedTransaction, Guard
    from ushield.bank.rejection import RejectionReason, TransactionRejected
    from ushield.bank.store.restoring import confirm_restored
    from ushield.bank.store.schema import create_store
    from ushield.bank.trust import TrustStore
    from ushield.bank.verification import LossRegister, Verifier, verify_transaction
    from ushield.bank.verified import BlindTransaction, VerifiedTransaction
    from ushield.bank.verifier import SignatureVerifier
else:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "attestation": ("AttestationPolicy", "AttestationRegister", "EnrolledAttestation"),
            "authorities.development": ("DevelopmentAuthority",),
            "challenge_records": ("Challenge", "ChallengeRecord", "ChallengeState"),
            "customers": ("CertificateState", "EnrolledCertificate", "TokenRecord", "TokenState"),
            "errors": (
                "AuditBroken",
                "CertificateUnknown",
                "ChallengeSettled",
                "ChallengeUnknown",
                "ClockSkewed",
                "CustomerUnknown",
                "DuplicateEntry",
                "DuplicateOrder",
                "OutcomeUnknown",
                "StoreBusy",
                "StoreCorrupt",
                "StoreFull",
                "StoreOutdated",
                "StoreRestored",
                "StoreUnavailable",
                "TokenUnknown",
            ),
            "facade": ("Bank",),
            "judgement": ("Acceptance", "AcceptedTransaction", "Guard"),
            "rejection": ("RejectionReason", "TransactionRejected"),
            "store.restoring": ("confirm_restored",),
            "store.schema": ("create_store",),
            "trust": ("TrustStore",),
            "verification": ("LossRegister", "Verifier", "verify_transaction"),
            "verified": ("BlindTransaction", "VerifiedTransaction"),
            "verifier": ("SignatureVerifier",),
        },
    )

__all__ = [
    "Acceptance",
    "AcceptedTransaction",
    "AttestationPolicy",
    "AttestationRegister",
    "AuditBroken",
    "Bank",
    "BlindTransaction",
    "CertificateState",
    "CertificateUnknown",
    "Challenge",
    "ChallengeRecord",
    "ChallengeSettled",
    "ChallengeState",
    "ChallengeUnknown",
    "ClockSkewed",
    "CustomerUnknown",
    "DevelopmentAuthority",
    "DuplicateEntry",
    "DuplicateOrder",
    "EnrolledAttestation",
    "EnrolledCertificate",
    "Guard",
    "LossRegister",
    "OutcomeUnknown",
    "RejectionReason",
    "SignatureVerifier",
    "StoreBusy",
    "StoreCorrupt",
    "StoreFull",
    "StoreOutdated",
    "StoreRestored",
    "StoreUnavailable",
    "TokenRecord",
    "TokenState",
    "TokenUnknown",
    "TransactionRejected",
    "TrustStore",
    "VerifiedTransaction",
    "Verifier",
    "confirm_restored",
    "create_store",
    "verify_transaction",
]
