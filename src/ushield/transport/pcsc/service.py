"""The PC/SC service: its readers, and one context of its own for whoever asks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Final

from ushield.errors import TransferTimeout
from ushield.transport.pcsc.caller import lent
from ushield.transport.pcsc.errors import (
    INSTALL,
    PcscUnavailable,
    ReturnCode,
    transport_error,
)

__all__ = ["PcscReader", "check", "find_readers", "library", "service_context"]

_RESTART: Final = "Start it anew: systemctl restart pcscd.service."


@dataclass(frozen=True, slots=True)
class PcscReader:
    """A reader as the service tells of it. ``atr`` is empty where no card is in it."""

    name: str
    has_card: bool
    atr: bytes = b""


def library() -> ModuleType:
    """pyscard's thin face of PC/SC; `PcscUnavailable` where it is not installed."""
    try:
        from smartcard import scard
    except ImportError as error:
        raise PcscUnavailable(
            f"pyscard, which PC/SC is used by, is not installed ({error})", remedy=f"{INSTALL}"
        ) from error
    module: ModuleType = scard
    return module


def check(code: int, doing: str) -> None:
    """Raise the typed error for ``code``, unless it is success."""
    if code & 0xFFFFFFFF != ReturnCode.SUCCESS:
        raise transport_error(code & 0xFFFFFFFF, doing)


@contextmanager
def service_context(scard: ModuleType) -> Iterator[int]:
    """A context with the service; `PcscUnavailable` where none runs."""
    code, handle = scard.SCardEstablishContext(scard.SCARD_SCOPE_SYSTEM)
    check(code, "reaching PC/SC")
    try:
        yield handle
    finally:
        scard.SCardReleaseContext(handle)


def find_readers(timeout: float = 3.0) -> tuple[PcscReader, ...]:
    """The readers that the service has now, none of them opened.

    `PcscUnavailable` also where it does not answer within ``timeout`` seconds.
    """
    try:
        with lent("ushield-pcsc-readers") as caller:
            return caller.call(_find_readers, timeout)
    except TransferTimeout as error:
        raise PcscUnavailable(
            f"pcscd has not answered for {timeout:g} seconds", remedy=_RESTART
        ) from error


def _find_readers() -> tuple[PcscReader, ...]:
    scard = library()
    with service_context(scard) as handle:
        code, names = scard.SCardListReaders(handle, [])
        if code & 0xFFFFFFFF == ReturnCode.NO_READERS_AVAILABLE:
            return ()
        check(code, "listing readers")
        return tuple(_states(scard, handle, names))


def _states(scard: ModuleType, handle: int, names: Iterable[str]) -> Iterator[PcscReader]:
    for name in names:
        code, states = scard.SCardGetStatusChange(handle, 0, [(name, scard.SCARD_STATE_UNAWARE)])
        if code & 0xFFFFFFFF != ReturnCode.SUCCESS:
            # Unplugged between the two questions.
            continue
        ((_, state, atr),) = states
        present = bool(state & scard.SCARD_STATE_PRESENT)
        yield PcscReader(name, present, bytes(atr) if present else b"")
