"""Signing: put a transaction on the token's screen, wait for OK, hand out a checked signature."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ushield.signing.opening import open_token
    from ushield.signing.pending import Pending
    from ushield.signing.progress import KeyPressed, PageShown, Progress, Waiting
    from ushield.signing.session import (
        PendingRequest,
        PendingSignature,
        SigningSession,
        SigningToken,
    )
    from ushield.signing.signature import TransactionSignature

__all__ = [
    "KeyPressed",
    "PageShown",
    "Pending",
    "PendingRequest",
    "PendingSignature",
    "Progress",
    "SigningSession",
    "SigningToken",
    "TransactionSignature",
    "Waiting",
    "open_token",
]

_HOMES = {
    "KeyPressed": "progress",
    "PageShown": "progress",
    "Pending": "pending",
    "PendingRequest": "session",
    "PendingSignature": "session",
    "Progress": "progress",
    "SigningSession": "session",
    "SigningToken": "session",
    "TransactionSignature": "signature",
    "Waiting": "progress",
    "open_token": "opening",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
