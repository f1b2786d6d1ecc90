"""The bank's side: what a signature says, and whether it holds.

cryptography is imported when something that needs it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ushield.bank.authority import DevelopmentAuthority
    from ushield.bank.rejection import RejectionReason, TransactionRejected
    from ushield.bank.trust import TrustStore
    from ushield.bank.verification import VerifiedTransaction, verify_transaction

__all__ = [
    "DevelopmentAuthority",
    "RejectionReason",
    "TransactionRejected",
    "TrustStore",
    "VerifiedTransaction",
    "verify_transaction",
]

_HOMES = {
    "DevelopmentAuthority": "authority",
    "RejectionReason": "rejection",
    "TransactionRejected": "rejection",
    "TrustStore": "trust",
    "VerifiedTransaction": "verification",
    "verify_transaction": "verification",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value
