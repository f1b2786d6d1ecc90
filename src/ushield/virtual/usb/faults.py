"""Faults to order on a virtual device's bulk pipes: what cables, hubs and firmware do to frames.

A test orders a fault for the n-th message in one direction; the device lets it happen there and
then, below everything that should cope with it.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from enum import Enum

from ushield.errors import InputInvalid

__all__ = ["Direction", "Fault", "FaultKind", "UsbFaults"]


class FaultKind(Enum):
    """What happens to a message."""

    DROP = "drop"
    """It is lost, and nobody is told."""
    TRUNCATE = "truncate"
    """Its end is missing."""
    GARBLE = "garble"
    """One of its bytes arrives with all bits inverted."""
    DUPLICATE = "duplicate"
    """It arrives twice."""
    DELAY = "delay"
    """It arrives late; an OUT message keeps the host's transfer waiting meanwhile."""
    STALL = "stall"
    """The endpoint halts instead, until the host clears it."""
    STALE = "stale"
    """The message before it, in the same direction, arrives again ahead of it."""
    UNPLUG = "unplug"
    """The device goes away instead."""


class Direction(Enum):
    """Which way the message goes, from the host's side."""

    OUT = "out"
    IN = "in"


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault. ``seconds`` is for `FaultKind.DELAY`, ``offset`` the byte that is garbled, or the
    number of bytes that are left when truncated; counted from the end if negative.
    """

    kind: FaultKind
    direction: Direction
    seconds: float = 0.0
    offset: int = 0

    def spoil(self, message: bytes) -> bytes:
        """The message as a truncating or garbling fault leaves it; others do not change it."""
        if self.kind is FaultKind.TRUNCATE:
            return message[: self.offset]
        if self.kind is FaultKind.GARBLE:
            spoilt = bytearray(message)
            # An offset behind the end of a short message takes its last byte.
            spoilt[max(-len(spoilt), min(self.offset, len(spoilt) - 1))] ^= 0xFF
            return bytes(spoilt)
        return message


class UsbFaults:
    """The faults ordered for one device. Safe from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ordered: list[tuple[int, Fault]] = []
        self._happened: list[Fault] = []

    @property
    def happened(self) -> tuple[Fault, ...]:
        """The faults that came to pass, in their order."""
        with self._lock:
            return tuple(self._happened)

    def order(
        self,
        kind: FaultKind,
        direction: Direction,
        *,
        at: int = 1,
        seconds: float = 0.0,
        offset: int = 0,
    ) -> None:
        """Let it happen to the ``at``-th message from now in this direction, the next being 1."""
        if at < 1:
            raise InputInvalid(f"messages are counted from 1, not {at}")
        if seconds < 0:
            raise InputInvalid(f"a delay of {seconds} seconds would be in the past")
        with self._lock:
            self._ordered.append((at, Fault(kind, direction, seconds, offset)))

    def clear(self) -> None:
        """Withdraw what was ordered and has not happened."""
        with self._lock:
            self._ordered.clear()

    def next(self, direction: Direction) -> Fault | None:
        """Count one message; the fault it meets, if any. For the device."""
        if not self._ordered:
            return None
        with self._lock:
            met = None
            waiting = []
            for at, fault in self._ordered:
                if fault.direction is not direction:
                    waiting.append((at, fault))
                elif at > 1 or met is not None:
                    waiting.append((max(at - 1, 1), fault))
                else:
                    met = fault
            self._ordered = waiting
            if met is not None:
                self._happened.append(met)
            return met
