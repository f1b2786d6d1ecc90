"""A powered card through PC/SC: one lock a card, and a timeout for everything."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from ushield.errors import ApduInvalid, TokenBusy, TransferFailed, TransferTimeout
from ushield.transport.connection import ApduLimits, DeviceInfo
from ushield.transport.pcsc.caller import Caller, hand_back, take_caller
from ushield.transport.pcsc.card import PcscCard
from ushield.transport.pcsc.service import find_readers
from ushield.transport.turns import TURN_TIMEOUT, take_turn

__all__ = ["PcscConnection", "open_pcsc"]

_TRANSMIT_TIMEOUT: Final = 60.0
_CLOSE_TIMEOUT: Final = 2.0
_SERVICE_TIMEOUT: Final = 1.0


class PcscConnection:
    """A card as a `CardConnection`, made by `open_pcsc`.

    It has no panel: events come by asking for the state of a request. PC/SC ends no command once it
    is sent; after a timeout the card goes on with it, and the next command first waits for that,
    within its own time. The late answer is dropped.
    """

    def __init__(self, card: PcscCard, caller: Caller, info: DeviceInfo, *, timeout: float) -> None:
        self._card = card
        self._caller = caller
        self._info = info
        self._reset_timeout = timeout
        self._lock = threading.RLock()
        self._closing = threading.Event()

    @property
    def device(self) -> DeviceInfo:
        """Where this card is."""
        return self._info

    @property
    def atr(self) -> bytes:
        """The card's answer to reset."""
        return self._card.atr

    @property
    def limits(self) -> ApduLimits:
        """What fits into one APDU, by what reader and card tell."""
        return self._card.limits

    @property
    def has_panel(self) -> bool:
        """False: PC/SC knows no panel."""
        return False

    @contextmanager
    def hold(self, timeout: float | None = None) -> Iterator[None]:
        """Keep other threads out, as other programs are anyhow; `TokenBusy` if another thread does
        so for ``timeout`` seconds, two minutes if not given.
        """
        take_turn(self._lock, TURN_TIMEOUT if timeout is None else timeout)
        try:
            yield
        finally:
            self._lock.release()

    def transmit(self, command: bytes, *, timeout: float | None = None) -> bytes:
        """Send one command APDU; its response APDU. ``timeout`` seconds bound it, a minute if not
        given, waiting for other threads included. `ApduInvalid` for one that does not fit.
        """
        patience = _TRANSMIT_TIMEOUT if timeout is None else timeout
        if not self._lock.acquire(blocking=False):
            patience -= take_turn(self._lock, patience)
        try:
            if not 4 <= len(command) <= self.limits.max_command:
                raise ApduInvalid(f"a command APDU of {len(command)} bytes for this reader")
            card = self._card
            return self._caller.call(lambda: card.transmit(command), patience)
        finally:
            self._lock.release()

    def read_panel(self, timeout: float) -> bytes | None:
        """``None``, after ``timeout`` seconds; `TransferFailed` as soon as this is closed."""
        if self._closing.wait(timeout):
            raise TransferFailed("the connection is closed", remedy="Open the token again.")
        return None

    def reset(self) -> bytes:
        """Power the card off and on; its new ATR."""
        with self.hold():
            self._caller.call(self._card.reset, self._reset_timeout)
            return self.atr

    def close(self) -> None:
        """Power the card off and leave it to other programs.

        Where a command is still under way, that happens when it has ended, and is not waited for;
        a thread that waits for it gets `TransferFailed`.
        """
        self._closing.set()
        self._caller.dismiss(self._card.close, _CLOSE_TIMEOUT)


def open_pcsc(
    reader: str,
    *,
    describe: Callable[[PcscCard], DeviceInfo] | None = None,
    timeout: float = 5.0,
) -> PcscConnection:
    """Connect to the card in the reader of this name, for this program alone, and reset it.

    ``timeout`` seconds bound it; ``describe`` makes what the connection calls its device.
    `PcscUnavailable`, `TokenNotFound`, `SlotEmpty`, `TokenBusy` (another program keeps the card, or
    has a transaction that does not end), or another `TransportError`.
    """

    def connect() -> tuple[PcscCard, DeviceInfo]:
        card = PcscCard.open(reader)
        try:
            return card, DeviceInfo(f"pcsc:{reader}") if describe is None else describe(card)
        except BaseException:
            card.close()
            raise

    caller = take_caller(f"ushield-pcsc-{reader}")
    try:
        card, info = caller.call(connect, timeout, late=lambda opened: opened[0].close())
    except TransferTimeout as error:
        hand_back(caller)
        # It tells of its readers whoever has the card, unless it hangs itself.
        find_readers(_SERVICE_TIMEOUT)
        raise TokenBusy(
            f"another program has been using the card in {reader} for {timeout:g} seconds"
        ) from error
    except BaseException:
        hand_back(caller)
        raise
    return PcscConnection(card, caller, info, timeout=timeout)
