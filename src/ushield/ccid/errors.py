"""What can go wrong between a reader and its slot, each told apart by its type."""

from __future__ import annotations

from enum import IntEnum

from ushield.errors import ProtocolViolation, TransferFailed

__all__ = [
    "AtrInvalid",
    "CardMute",
    "ChainAborted",
    "CommandAborted",
    "CommandUnsupported",
    "DescriptorInvalid",
    "EndpointHalted",
    "FrameInvalid",
    "ParameterRefused",
    "SlotBusy",
    "SlotError",
    "SlotErrorCode",
    "TransmissionCorrupted",
    "slot_error",
]


class SlotErrorCode(IntEnum):
    """bError of a failed command, where it is no offset of a refused field (table 6.2-2)."""

    CMD_NOT_SUPPORTED = 0x00
    CMD_SLOT_BUSY = 0xE0
    PIN_CANCELLED = 0xEF
    PIN_TIMEOUT = 0xF0
    BUSY_WITH_AUTO_SEQUENCE = 0xF2
    DEACTIVATED_PROTOCOL = 0xF3
    PROCEDURE_BYTE_CONFLICT = 0xF4
    ICC_CLASS_NOT_SUPPORTED = 0xF5
    ICC_PROTOCOL_NOT_SUPPORTED = 0xF6
    BAD_ATR_TCK = 0xF7
    BAD_ATR_TS = 0xF8
    HW_ERROR = 0xFB
    XFR_OVERRUN = 0xFC
    XFR_PARITY_ERROR = 0xFD
    ICC_MUTE = 0xFE
    CMD_ABORTED = 0xFF


class FrameInvalid(ProtocolViolation):
    """Bytes that are no CCID message.

    ``offset`` is where the wrong field starts: what a device answers as bError to a command whose
    field it refuses (CCID Rev 1.1, section 6.2.6).
    """

    code = "frame-invalid"
    carries = ("offset",)

    def __init__(self, message: str, *, offset: int) -> None:
        super().__init__(message)
        self.offset = offset


class DescriptorInvalid(ProtocolViolation):
    """No class descriptor of a smart-card reader, or one that contradicts itself."""

    code = "descriptor-invalid"


class AtrInvalid(ProtocolViolation):
    """An answer to reset that breaks ISO/IEC 7816-3, clause 8."""

    code = "atr-invalid"


class ChainAborted(TransferFailed):
    """The card ended a chain of T=1 blocks with S(ABORT); the command was not carried out."""

    code = "chain-aborted"


class EndpointHalted(TransferFailed):
    """A bulk or control transfer was answered with STALL.

    Whoever drives a program throws this in; the program asks for `ClearHalt` when it goes on.
    """

    code = "endpoint-halted"


class SlotError(TransferFailed):
    """The reader could not do a command; ``slot_error`` is its bError (section 6.2.6)."""

    code = "slot-error"
    carries = ("slot", "slot_error")

    def __init__(self, message: str, *, slot: int, slot_error: int) -> None:
        super().__init__(message)
        self.slot = slot
        self.slot_error = slot_error


class CardMute(SlotError):
    """The card did not answer the reader in its time (0xFE)."""

    code = "card-mute"
    default_remedy = "Pull the card or token out, put it back, and try again."


class TransmissionCorrupted(SlotError):
    """Parity error or overrun between reader and card (0xFD, 0xFC)."""

    code = "transmission-corrupted"
    default_remedy = "Clean the card's contacts and insert it again."


class CommandAborted(SlotError):
    """The command was ended by this side's abort (0xFF)."""

    code = "command-aborted"


class SlotBusy(SlotError):
    """The reader still works on an earlier command for this slot (0xE0, 0xF2)."""

    code = "slot-busy"
    default_remedy = "Wait a moment and try again."


class CommandUnsupported(SlotError):
    """The reader does not know this command (0x00)."""

    code = "command-unsupported"


class ParameterRefused(SlotError):
    """The reader refuses a field of the command; ``slot_error`` is that field's offset."""

    code = "parameter-refused"


_KNOWN: dict[int, tuple[type[SlotError], str]] = {
    SlotErrorCode.CMD_NOT_SUPPORTED: (
        CommandUnsupported,
        "the reader does not support this command",
    ),
    SlotErrorCode.CMD_SLOT_BUSY: (SlotBusy, "a command for this slot is already under way"),
    SlotErrorCode.PIN_CANCELLED: (SlotError, "PIN entry was cancelled on the reader"),
    SlotErrorCode.PIN_TIMEOUT: (SlotError, "PIN entry on the reader timed out"),
    SlotErrorCode.BUSY_WITH_AUTO_SEQUENCE: (SlotBusy, "the reader is busy with its own sequence"),
    SlotErrorCode.DEACTIVATED_PROTOCOL: (SlotError, "the protocol was deactivated"),
    SlotErrorCode.PROCEDURE_BYTE_CONFLICT: (
        SlotError,
        "the card sent a procedure byte that contradicts the command",
    ),
    SlotErrorCode.ICC_CLASS_NOT_SUPPORTED: (
        SlotError,
        "the reader does not support the card's voltage class",
    ),
    SlotErrorCode.ICC_PROTOCOL_NOT_SUPPORTED: (
        SlotError,
        "the reader does not support the card's protocol",
    ),
    SlotErrorCode.BAD_ATR_TCK: (SlotError, "the card's answer to reset has a wrong checksum"),
    SlotErrorCode.BAD_ATR_TS: (SlotError, "the card's answer to reset starts wrongly"),
    SlotErrorCode.HW_ERROR: (SlotError, "the reader reports a hardware error"),
    SlotErrorCode.XFR_OVERRUN: (
        TransmissionCorrupted,
        "the card sent faster than the reader could take",
    ),
    SlotErrorCode.XFR_PARITY_ERROR: (TransmissionCorrupted, "parity error between reader and card"),
    SlotErrorCode.ICC_MUTE: (CardMute, "the card does not answer"),
    SlotErrorCode.CMD_ABORTED: (CommandAborted, "the command was aborted"),
}


def slot_error(slot: int, error: int) -> SlotError:
    """The exception that stands for bError ``error`` of a failed command (section 6.2.6)."""
    kind, text = _KNOWN.get(error, (None, ""))
    if kind is None:
        if error < 0x80:
            kind, text = ParameterRefused, f"the reader refuses the command's field at byte {error}"
        else:
            kind, text = SlotError, f"the reader failed with its own error {error:#04x}"
    return kind(f"slot {slot}: {text}", slot=slot, slot_error=error)
