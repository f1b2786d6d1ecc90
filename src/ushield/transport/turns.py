"""Threads of one program that want the same card: one after the other."""

from __future__ import annotations

import os
import threading
import time
from typing import Final

from ushield.errors import TokenBusy

__all__ = ["TURN_TIMEOUT", "take_turn"]

TURN_TIMEOUT: Final = 120.0
"""How long a thread waits for its turn where nothing else is said, in seconds."""


def take_turn(lock: threading.RLock, timeout: float) -> float:
    """Take ``lock``; how many seconds that took. `TokenBusy` after ``timeout`` of them."""
    began = time.monotonic()
    if not lock.acquire(timeout=max(timeout, 0)):
        raise TokenBusy(
            "another thread of this program is using the token",
            pid=os.getpid(),
            program="this program",
        )
    return time.monotonic() - began
