"""Status words SW1-SW2 of ISO/IEC 7816-4, clause 5.6, with their meaning in words."""

from __future__ import annotations

from enum import IntEnum

__all__ = ["StatusWord", "describe", "register_meanings", "tries_left"]


class StatusWord(IntEnum):
    """Status words of table 6; ``61XX``, ``6CXX`` and ``63CX`` carry a number: here with 0."""

    SUCCESS = 0x9000
    MORE_DATA = 0x6100
    NO_INFORMATION = 0x6200
    CORRUPTED_DATA = 0x6281
    END_OF_FILE = 0x6282
    SELECTED_FILE_DEACTIVATED = 0x6283
    CONTROL_INFORMATION_BADLY_FORMATTED = 0x6284
    SELECTED_FILE_TERMINATED = 0x6285
    STATE_CHANGED = 0x6300
    FILE_FILLED_UP = 0x6381
    TRIES_LEFT = 0x63C0
    EXECUTION_ERROR = 0x6400
    STATE_CHANGED_ERROR = 0x6500
    MEMORY_FAILURE = 0x6581
    WRONG_LENGTH = 0x6700
    CLASS_FUNCTION_UNSUPPORTED = 0x6800
    LOGICAL_CHANNEL_UNSUPPORTED = 0x6881
    SECURE_MESSAGING_UNSUPPORTED = 0x6882
    LAST_COMMAND_EXPECTED = 0x6883
    CHAINING_UNSUPPORTED = 0x6884
    NOT_ALLOWED = 0x6900
    COMMAND_INCOMPATIBLE = 0x6981
    SECURITY_STATUS_NOT_SATISFIED = 0x6982
    AUTHENTICATION_BLOCKED = 0x6983
    REFERENCE_DATA_NOT_USABLE = 0x6984
    CONDITIONS_NOT_SATISFIED = 0x6985
    COMMAND_NOT_ALLOWED = 0x6986
    SECURE_MESSAGING_MISSING = 0x6987
    SECURE_MESSAGING_INCORRECT = 0x6988
    WRONG_PARAMETERS_UNSPECIFIED = 0x6A00
    WRONG_DATA = 0x6A80
    FUNCTION_NOT_SUPPORTED = 0x6A81
    FILE_NOT_FOUND = 0x6A82
    RECORD_NOT_FOUND = 0x6A83
    NOT_ENOUGH_MEMORY = 0x6A84
    LENGTH_INCONSISTENT_WITH_TLV = 0x6A85
    WRONG_PARAMETERS = 0x6A86
    LENGTH_INCONSISTENT_WITH_PARAMETERS = 0x6A87
    REFERENCED_DATA_NOT_FOUND = 0x6A88
    FILE_ALREADY_EXISTS = 0x6A89
    NAME_ALREADY_EXISTS = 0x6A8A
    WRONG_P1_P2 = 0x6B00
    WRONG_LE = 0x6C00
    INS_NOT_SUPPORTED = 0x6D00
    CLA_NOT_SUPPORTED = 0x6E00
    NO_DIAGNOSIS = 0x6F00


_MEANINGS: dict[int, str] = {
    StatusWord.SUCCESS: "done",
    StatusWord.NO_INFORMATION: "warning: no information given",
    StatusWord.CORRUPTED_DATA: "warning: part of the data may be corrupted",
    StatusWord.END_OF_FILE: "warning: end of file or record reached early",
    StatusWord.SELECTED_FILE_DEACTIVATED: "warning: the selected file is deactivated",
    StatusWord.CONTROL_INFORMATION_BADLY_FORMATTED: "warning: control information badly formatted",
    StatusWord.SELECTED_FILE_TERMINATED: "warning: the selected file is terminated",
    StatusWord.STATE_CHANGED: "warning: no information given, state changed",
    StatusWord.FILE_FILLED_UP: "warning: file filled up by the last write",
    StatusWord.EXECUTION_ERROR: "execution error, state unchanged",
    StatusWord.STATE_CHANGED_ERROR: "execution error, state changed",
    StatusWord.MEMORY_FAILURE: "memory failure",
    StatusWord.WRONG_LENGTH: "wrong length",
    StatusWord.LOGICAL_CHANNEL_UNSUPPORTED: "logical channel not supported",
    StatusWord.SECURE_MESSAGING_UNSUPPORTED: "secure messaging not supported",
    StatusWord.LAST_COMMAND_EXPECTED: "last command of the chain expected",
    StatusWord.CHAINING_UNSUPPORTED: "command chaining not supported",
    StatusWord.COMMAND_INCOMPATIBLE: "command incompatible with the file",
    StatusWord.SECURITY_STATUS_NOT_SATISFIED: "security status not satisfied (no PIN verified)",
    StatusWord.AUTHENTICATION_BLOCKED: "authentication method blocked (no tries left)",
    StatusWord.REFERENCE_DATA_NOT_USABLE: "reference data not usable",
    StatusWord.CONDITIONS_NOT_SATISFIED: "conditions of use not satisfied",
    StatusWord.COMMAND_NOT_ALLOWED: "command not allowed",
    StatusWord.SECURE_MESSAGING_MISSING: "secure messaging data objects missing",
    StatusWord.SECURE_MESSAGING_INCORRECT: "secure messaging data objects incorrect",
    StatusWord.WRONG_DATA: "incorrect parameters in the data field",
    StatusWord.FUNCTION_NOT_SUPPORTED: "function not supported",
    StatusWord.FILE_NOT_FOUND: "file or application not found",
    StatusWord.RECORD_NOT_FOUND: "record not found",
    StatusWord.NOT_ENOUGH_MEMORY: "not enough memory",
    StatusWord.LENGTH_INCONSISTENT_WITH_TLV: "Lc inconsistent with the data objects",
    StatusWord.WRONG_PARAMETERS: "incorrect P1 or P2",
    StatusWord.LENGTH_INCONSISTENT_WITH_PARAMETERS: "Lc inconsistent with P1 or P2",
    StatusWord.REFERENCED_DATA_NOT_FOUND: "referenced data not found",
    StatusWord.FILE_ALREADY_EXISTS: "file already exists",
    StatusWord.NAME_ALREADY_EXISTS: "an application of this name already exists",
    StatusWord.WRONG_P1_P2: "wrong P1 or P2",
    StatusWord.INS_NOT_SUPPORTED: "instruction not supported",
    StatusWord.CLA_NOT_SUPPORTED: "class not supported",
    StatusWord.NO_DIAGNOSIS: "no precise diagnosis",
}

# Table 5: what SW1 alone says of a status word whose SW2 nobody gave a meaning.
_CATEGORIES: dict[int, str] = {
    0x62: "warning, state unchanged",
    0x63: "warning, state changed",
    0x64: "execution error, state unchanged",
    0x65: "execution error, state changed",
    0x66: "security-related error",
    0x67: "wrong length",
    0x68: "function in the class byte not supported",
    0x69: "command not allowed",
    0x6A: "wrong parameters",
    0x6B: "wrong P1 or P2",
    0x6D: "instruction not supported",
    0x6E: "class not supported",
    0x6F: "no precise diagnosis",
}


def register_meanings(meanings: dict[int, str]) -> None:
    """Add the words for an applet's own status words; the standard's cannot be replaced."""
    for sw, text in meanings.items():
        _MEANINGS.setdefault(sw, text)


def tries_left(sw: int) -> int | None:
    """The number in ``63CX`` (15 stands for 15 or more), or ``None`` for another status word."""
    return sw & 0xF if sw & 0xFFF0 == StatusWord.TRIES_LEFT else None


def describe(sw: int) -> str:
    """``sw`` in hex with its meaning, for people."""
    tries = tries_left(sw)
    if tries is not None:
        meaning = f"not verified, {tries} {'try' if tries == 1 else 'tries'} left"
    elif sw >> 8 == 0x61:
        meaning = f"{sw & 0xFF or 256} more bytes to fetch"
    elif sw >> 8 == 0x6C:
        meaning = f"wrong Le, {sw & 0xFF or 256} bytes are there"
    else:
        meaning = _MEANINGS.get(sw) or _CATEGORIES.get(sw >> 8) or "unknown status word"
    return f"{sw:04X} ({meaning})"
