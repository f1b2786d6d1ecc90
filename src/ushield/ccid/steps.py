"""What a program of this package asks of the outside: send, receive, control, wait.

A program is a generator. It yields steps, and whoever drives it does each one and sends the outcome
back: the bytes of one bulk IN message for `Receive`, the bytes of a reading `Control`, and ``None``
for the others. What fails is thrown in at the step: `TransferTimeout` when its time is over,
`EndpointHalted` on a stall, `TokenRemoved` or `TransferFailed` as the case is. A program ends by
returning its result or by raising; closing one half-way is safe.
"""

from __future__ import annotations

from collections.abc import Generator
from enum import IntEnum
from typing import Any, NamedTuple, TypeAlias, TypeVar

__all__ = ["ClassRequest", "ClearHalt", "Control", "Program", "Receive", "Send", "Step"]

_Result = TypeVar("_Result")


class ClassRequest(IntEnum):
    """CCID class-specific requests on the control pipe (CCID Rev 1.1, section 5.3)."""

    ABORT = 1
    GET_CLOCK_FREQUENCIES = 2
    GET_DATA_RATES = 3


# Steps are tuples because two are made for each APDU, and tuples are made fastest.


class Send(NamedTuple):
    """Write ``data`` as one bulk OUT transfer, with no zero-length packet after it.

    ``timeout`` in seconds, as everywhere here.
    """

    data: bytes
    timeout: float


class Receive(NamedTuple):
    """Read one bulk IN transfer of at most ``size`` bytes."""

    timeout: float
    size: int


class Control(NamedTuple):
    """A class request to the CCID interface: reads ``length`` bytes, or sends none if it is 0."""

    request: int
    value: int
    length: int
    timeout: float


class ClearHalt(NamedTuple):
    """Clear the halt of both bulk endpoints, whichever stalled."""

    timeout: float


Step: TypeAlias = Send | Receive | Control | ClearHalt

Program: TypeAlias = Generator[Step, Any, _Result]
"""Sent in: ``bytes`` after `Receive` and a reading `Control`, else ``None``."""
