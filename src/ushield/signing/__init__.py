"""Signing: put a transaction on the token's screen, wait for OK, hand out a checked signature."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ushield.lazy import lazy_names

if TYPE_CHECKING:
    from ushield.signing.blind import BlindSignature
    from ushield.signing.opening import open_token
    from ushield.signing.pending import Pending
    from ushield.signing.progress import KeyPressed, PageShown, Progress, TouchDue, Waiting
    from ushield.signing.session import (
        PendingRequest,
        PendingSignature,
        SigningSession,
        SigningToken,
    )
    from ushield.signing.signature import TransactionSignature
else:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "blind": ("BlindSignature",),
            "opening": ("open_token",),
            "pending": ("Pending",),
            "progress": ("KeyPressed", "PageShown", "Progress", "TouchDue", "Waiting"),
            "session": ("PendingRequest", "PendingSignature", "SigningSession", "SigningToken"),
            "signature": ("TransactionSignature",),
        },
    )

__all__ = [
    "BlindSignature",
    "KeyPressed",
    "PageShown",
    "Pending",
    "PendingRequest",
    "PendingSignature",
    "Progress",
    "SigningSession",
    "SigningToken",
    "TouchDue",
    "TransactionSignature",
    "Waiting",
    "open_token",
]
