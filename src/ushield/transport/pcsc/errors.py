"""What PC/SC's return codes mean, in this library's terms."""

from __future__ import annotations

from typing import Final

from ushield.errors import (
    AccessDenied,
    ProtocolViolation,
    SlotEmpty,
    TokenBusy,
    TokenNotFound,
    TokenRemoved,
    TransferFailed,
    TransferTimeout,
    TransportError,
)

__all__ = ["INSTALL", "PcscUnavailable", "ReturnCode", "is_ambiguous", "transport_error"]

INSTALL: Final = "pip install 'ushield[pcsc]'"
"""The command that brings pyscard."""


class PcscUnavailable(TokenNotFound):
    """No PC/SC here: its service does not run, or pyscard is not installed."""

    code = "pcsc-unavailable"
    default_remedy = (
        "Start pcscd (Debian: apt-get install pcscd; systemctl start pcscd.socket), then try again."
    )


class ReturnCode:
    """Values of SCARDRETCODE (PC/SC part 5, as pcsc-lite numbers them), without loading pyscard."""

    SUCCESS: Final = 0
    INVALID_HANDLE: Final = 0x80100003
    UNKNOWN_READER: Final = 0x80100009
    TIMEOUT: Final = 0x8010000A
    SHARING_VIOLATION: Final = 0x8010000B
    NO_SMARTCARD: Final = 0x8010000C
    PROTO_MISMATCH: Final = 0x8010000F
    NOT_READY: Final = 0x80100010
    COMM_ERROR: Final = 0x80100013
    INVALID_ATR: Final = 0x80100015
    NOT_TRANSACTED: Final = 0x80100016
    READER_UNAVAILABLE: Final = 0x80100017
    NO_SERVICE: Final = 0x8010001D
    SERVICE_STOPPED: Final = 0x8010001E
    NO_READERS_AVAILABLE: Final = 0x8010002E
    UNSUPPORTED_CARD: Final = 0x80100065
    UNRESPONSIVE_CARD: Final = 0x80100066
    UNPOWERED_CARD: Final = 0x80100067
    RESET_CARD: Final = 0x80100068
    REMOVED_CARD: Final = 0x80100069
    SECURITY_VIOLATION: Final = 0x8010006A


_REASONS: Final[dict[int, tuple[type[TransportError], str]]] = {
    ReturnCode.INVALID_HANDLE: (TokenRemoved, "pcscd has dropped the connection"),
    ReturnCode.UNKNOWN_READER: (TokenNotFound, "pcscd has no such reader"),
    ReturnCode.TIMEOUT: (TransferTimeout, "the reader took too long"),
    ReturnCode.SHARING_VIOLATION: (TokenBusy, "another program is using the card"),
    ReturnCode.NO_SMARTCARD: (SlotEmpty, "no card is in the reader"),
    ReturnCode.PROTO_MISMATCH: (TransferFailed, "the card speaks neither T=0 nor T=1"),
    ReturnCode.NOT_READY: (TransferFailed, "the reader is not ready"),
    ReturnCode.INVALID_ATR: (ProtocolViolation, "the card's ATR makes no sense"),
    ReturnCode.READER_UNAVAILABLE: (TokenRemoved, "the reader was unplugged"),
    ReturnCode.NO_SERVICE: (PcscUnavailable, "pcscd does not run"),
    ReturnCode.SERVICE_STOPPED: (PcscUnavailable, "pcscd was stopped"),
    ReturnCode.NO_READERS_AVAILABLE: (TokenNotFound, "pcscd has no reader"),
    ReturnCode.UNSUPPORTED_CARD: (ProtocolViolation, "the reader cannot work with the card"),
    ReturnCode.UNRESPONSIVE_CARD: (ProtocolViolation, "the card does not answer to reset"),
    ReturnCode.UNPOWERED_CARD: (TokenRemoved, "another program switched the card off"),
    ReturnCode.RESET_CARD: (TokenRemoved, "another program reset the card"),
    ReturnCode.REMOVED_CARD: (TokenRemoved, "the card was pulled out"),
    ReturnCode.SECURITY_VIOLATION: (AccessDenied, "pcscd does not let this user in"),
}
_POLKIT: Final = (
    "Log in at the machine itself, or let this user in with a polkit rule (docs: Installing)."
)

# Whatever went wrong below comes up as one of these: among others, that the card is not there now.
_AMBIGUOUS: Final = frozenset({ReturnCode.NOT_TRANSACTED, ReturnCode.COMM_ERROR})


def is_ambiguous(code: int) -> bool:
    """Whether ``code`` may stand for a card or reader that is gone and not yet known to be."""
    return code in _AMBIGUOUS


def transport_error(code: int, doing: str) -> TransportError:
    """The typed error for ``code``, returned while ``doing`` something, a phrase in -ing."""
    error, reason = _REASONS.get(code, (TransferFailed, f"PC/SC error {code:08X}"))
    message = f"{reason} ({doing} failed)"
    if error is AccessDenied:
        return AccessDenied(message, remedy=_POLKIT)
    return error(message)
