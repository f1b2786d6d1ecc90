"""One card through PC/SC, for one thread, waiting for as long as it takes."""

from __future__ import annotations

import sys
import time
from types import ModuleType
from typing import Final

from ushield.errors import SlotEmpty, TokenRemoved, TransportError
from ushield.transport.connection import ApduLimits
from ushield.transport.pcsc.errors import (
    PcscUnavailable,
    ReturnCode,
    is_ambiguous,
    transport_error,
)
from ushield.transport.pcsc.features import (
    GET_FEATURE_REQUEST,
    GET_TLV_PROPERTIES,
    feature_codes,
    limits_of,
    reader_properties,
)
from ushield.transport.pcsc.service import check, library, service_context

__all__ = ["PcscCard", "find_usb_address"]

_USB_CHANNEL: Final = 0x20
_T1: Final = 1
_MAX_RESETS: Final = 5
# pcscd looks at its readers every 0.4 s.
_NOTICE_SECONDS: Final = 1.5
_NOTICE_STEP: Final = 0.05


class PcscCard:
    """A card that this program has for itself, made by `open`. Every method may take for ever.

    Exclusively where nobody else is connected to it. Else in one transaction from the beginning to
    the end, which keeps the others waiting: between two of our commands nobody selects another
    application, or uses a PIN that was verified for us.
    """

    def __init__(
        self, scard: ModuleType, context: int, handle: int, reader: str, *, exclusive: bool
    ) -> None:
        self._scard = scard
        self._context = context
        self._handle = handle
        self._reader = reader
        self._exclusive = exclusive
        self._protocol = 0
        self.atr = b""
        self.limits = ApduLimits(0, 0, extended=False)

    @classmethod
    def open(cls, reader: str) -> PcscCard:
        """Connect to the card in ``reader`` and reset it.

        `PcscUnavailable`, `TokenNotFound`, `TokenBusy`, `SlotEmpty` or another `TransportError`.
        """
        scard = library()
        code, context = scard.SCardEstablishContext(scard.SCARD_SCOPE_SYSTEM)
        check(code, "reaching PC/SC")
        try:
            handle, exclusive = _connect(scard, context, reader)
            card = cls(scard, context, handle, reader, exclusive=exclusive)
            try:
                if not exclusive:
                    _begin(scard, handle)
                card.reset()
            except BaseException:
                scard.SCardDisconnect(handle, scard.SCARD_LEAVE_CARD)
                raise
        except BaseException:
            scard.SCardReleaseContext(context)
            raise
        return card

    def transmit(self, command: bytes) -> bytes:
        """One command APDU; its response APDU."""
        scard = self._scard
        pci = scard.SCARD_PCI_T1 if self._protocol == _T1 else scard.SCARD_PCI_T0
        code, response = scard.SCardTransmit(self._handle, pci, list(command))
        if code:
            # What comes with an error is whatever was in the buffer.
            raise self._failure(code & 0xFFFFFFFF, "talking to the card")
        return bytes(response)

    def reset(self) -> None:
        """Power the card off and on, and learn its ATR and what fits into an APDU."""
        scard = self._scard
        share = scard.SCARD_SHARE_EXCLUSIVE if self._exclusive else scard.SCARD_SHARE_SHARED
        protocols = scard.SCARD_PROTOCOL_T0 | scard.SCARD_PROTOCOL_T1
        code, protocol = scard.SCardReconnect(
            self._handle, share, protocols, scard.SCARD_UNPOWER_CARD
        )
        if code:
            raise self._failure(code & 0xFFFFFFFF, "resetting the card")
        self._protocol = _T1 if protocol == scard.SCARD_PROTOCOL_T1 else 0
        code, _, _, _, atr = scard.SCardStatus(self._handle)
        if code:
            raise self._failure(code & 0xFFFFFFFF, "reading the ATR")
        self.atr = bytes(atr)
        self.limits = limits_of(self._protocol, self._properties(), self.atr)

    def usb_address(self) -> tuple[int, int] | None:
        """Bus and device number of the reader, or ``None``."""
        return _usb_address(self._scard, self._handle)

    def close(self) -> None:
        """Power the card off and leave it to others. Nothing that fails here is told."""
        self._scard.SCardDisconnect(self._handle, self._scard.SCARD_UNPOWER_CARD)
        self._scard.SCardReleaseContext(self._context)

    def _properties(self) -> dict[int, int]:
        """What the reader tells of itself; nothing where it tells nothing."""
        features = feature_codes(self._ask(self._scard.SCARD_CTL_CODE(GET_FEATURE_REQUEST)))
        code = features.get(GET_TLV_PROPERTIES)
        return {} if code is None else reader_properties(self._ask(code))

    def _ask(self, control_code: int) -> bytes:
        code, answer = self._scard.SCardControl(self._handle, control_code, [])
        return b"" if code else bytes(answer)

    def _failure(self, code: int, doing: str) -> TransportError:
        if is_ambiguous(code) and self._is_gone():
            return TokenRemoved(f"the card is gone ({doing} failed)")
        error = transport_error(code, doing)
        if isinstance(error, SlotEmpty | PcscUnavailable):
            # There was a card, and there was a service.
            return TokenRemoved(str(error))
        return error

    def _is_gone(self) -> bool:
        """Whether reader or card are found missing within the time pcscd needs to notice."""
        scard = self._scard
        end = time.monotonic() + _NOTICE_SECONDS
        while time.monotonic() < end:
            code, states = scard.SCardGetStatusChange(
                self._context, 0, [(self._reader, scard.SCARD_STATE_UNAWARE)]
            )
            if code or not states[0][1] & scard.SCARD_STATE_PRESENT:
                return True
            time.sleep(_NOTICE_STEP)
        return False


def _usb_address(scard: ModuleType, handle: int) -> tuple[int, int] | None:
    """Bus and device number of an open reader (SCARD_ATTR_CHANNEL_ID); ``None`` if not on USB."""
    code, value = scard.SCardGetAttrib(handle, scard.SCARD_ATTR_CHANNEL_ID)
    if code or len(value) < 4:
        return None
    channel = int.from_bytes(bytes(value[:4]), sys.byteorder)
    if channel >> 16 != _USB_CHANNEL:
        return None
    return channel >> 8 & 0xFF, channel & 0xFF


def _begin(scard: ModuleType, handle: int) -> None:
    """Begin the transaction that keeps others out."""
    for _ in range(_MAX_RESETS):
        code = scard.SCardBeginTransaction(handle)
        if code & 0xFFFFFFFF != ReturnCode.RESET_CARD:
            break
        # Whoever had the card before has left it with a reset, which has to be taken note of.
        protocols = scard.SCARD_PROTOCOL_T0 | scard.SCARD_PROTOCOL_T1
        scard.SCardReconnect(handle, scard.SCARD_SHARE_SHARED, protocols, scard.SCARD_LEAVE_CARD)
    check(code, "getting the card for ourselves")


def _connect(scard: ModuleType, context: int, reader: str) -> tuple[int, bool]:
    """A handle to the card, and whether it is exclusive."""
    protocols = scard.SCARD_PROTOCOL_T0 | scard.SCARD_PROTOCOL_T1
    for share in (scard.SCARD_SHARE_EXCLUSIVE, scard.SCARD_SHARE_SHARED):
        code, handle, _ = scard.SCardConnect(context, reader, share, protocols)
        if code & 0xFFFFFFFF != ReturnCode.SHARING_VIOLATION:
            break
    check(code, "opening the card")
    return handle, share == scard.SCARD_SHARE_EXCLUSIVE


def find_usb_address(reader: str) -> tuple[int, int] | None:
    """Bus and device number of a reader, whether or not it has a card; the card is left alone.

    `TransportError` while another program has the reader for itself.
    """
    scard = library()
    with service_context(scard) as handle:
        code, card, _ = scard.SCardConnect(handle, reader, scard.SCARD_SHARE_DIRECT, 0)
        check(code, "opening the reader")
        try:
            return _usb_address(scard, card)
        finally:
            scard.SCardDisconnect(card, scard.SCARD_LEAVE_CARD)
