"""A PIN entered on the reader's own keys: what PC_to_RDR_Secure carries (CCID Rev 1.1, 6.1.11).

Both sides use these: the host encodes them, a virtual reader decodes them. No PIN is in them.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar, Final, TypeAlias

from ushield.ccid.errors import FrameInvalid
from ushield.errors import InputInvalid

__all__ = ["PinEntry", "PinModification", "PinOperation", "PinVerification", "decode_pin_entry"]

_NO_PROLOGUE: Final = bytes(3)
_LEAST_PATIENCE: Final = 90.0
_AFTER_ENTRY: Final = 10.0
_ENGLISH: Final = 0x0409
_ON_KEY: Final = 0x02

_VERIFICATION: Final = struct.Struct("<BBBBHBBHB")
_MODIFICATION: Final = struct.Struct("<BBBBBBHBBBHB")


class PinOperation(IntEnum):
    """bPINOperation."""

    VERIFICATION = 0
    MODIFICATION = 1


@dataclass(frozen=True, slots=True)
class PinVerification:
    """One PIN to enter, field by field.

    ``timeout`` in seconds, 0 for the reader's own. ``min_digits`` and ``max_digits`` are the two
    halves of wPINMaxExtraDigit; ``validation`` is bEntryValidationCondition: 1 the last digit, 2 a
    key, 4 time. ``prologue`` is bTeoPrologue, for T=1 at TPDU level. ``apdu`` is the command, with
    the place for the PIN in it.
    """

    operation: ClassVar[PinOperation] = PinOperation.VERIFICATION
    entries: ClassVar[int] = 1

    timeout: int
    format_string: int
    block_string: int
    length_format: int
    min_digits: int
    max_digits: int
    apdu: bytes
    validation: int = _ON_KEY
    messages: int = 1
    language: int = _ENGLISH
    message_index: int = 0
    prologue: bytes = _NO_PROLOGUE

    @property
    def patience(self) -> float:
        """How long the host waits, in seconds."""
        return _patience(self.timeout, self.entries)

    def encode(self) -> bytes:
        """abData of the message; `InputInvalid` for a field out of range."""
        return _pack(
            _VERIFICATION,
            (
                self.timeout,
                self.format_string,
                self.block_string,
                self.length_format,
                _digits(self.min_digits, self.max_digits),
                self.validation,
                self.messages,
                self.language,
                self.message_index,
            ),
            self.operation,
            self.prologue + self.apdu,
        )


@dataclass(frozen=True, slots=True)
class PinModification:
    """An old PIN and a new one, the new one twice, as `PinVerification` has one.

    ``old_offset`` and ``new_offset`` are where their blocks begin, in bytes from the first one of
    the data field. ``confirm`` is bConfirmPIN: 1 to enter the new one twice, 2 to enter the old
    one. ``message_indices`` are as many as ``messages`` wants: one for 0, three for 3, else two.
    """

    operation: ClassVar[PinOperation] = PinOperation.MODIFICATION
    entries: ClassVar[int] = 3

    timeout: int
    format_string: int
    block_string: int
    length_format: int
    old_offset: int
    new_offset: int
    min_digits: int
    max_digits: int
    apdu: bytes
    confirm: int = 3
    validation: int = _ON_KEY
    messages: int = 3
    language: int = _ENGLISH
    message_indices: tuple[int, ...] = (0, 1, 2)
    prologue: bytes = _NO_PROLOGUE

    @property
    def patience(self) -> float:
        """How long the host waits, in seconds."""
        return _patience(self.timeout, self.entries)

    def encode(self) -> bytes:
        """abData of the message; `InputInvalid` for a field out of range."""
        if len(self.message_indices) != _index_count(self.messages):
            raise InputInvalid("a PIN modification has not the message indices that it announces")
        try:
            others = bytes(self.message_indices[1:])
        except ValueError as error:
            raise InputInvalid(f"a message index is out of range: {error}") from error
        return _pack(
            _MODIFICATION,
            (
                self.timeout,
                self.format_string,
                self.block_string,
                self.length_format,
                self.old_offset,
                self.new_offset,
                _digits(self.min_digits, self.max_digits),
                self.confirm,
                self.validation,
                self.messages,
                self.language,
                self.message_indices[0],
            ),
            self.operation,
            others + self.prologue + self.apdu,
        )


PinEntry: TypeAlias = PinVerification | PinModification


def decode_pin_entry(data: bytes) -> PinEntry:
    """Read abData of PC_to_RDR_Secure; `FrameInvalid`, its offset counted in the whole message."""
    if data[:1] == bytes([PinOperation.VERIFICATION]):
        return _decode_verification(data[1:])
    if data[:1] == bytes([PinOperation.MODIFICATION]):
        return _decode_modification(data[1:])
    raise FrameInvalid("no PIN operation that is known", offset=10 if data else 1)


def _decode_verification(body: bytes) -> PinVerification:
    values, rest = _unpack(_VERIFICATION, body)
    timeout, form, block, length, digits, validation, messages, language, index = values
    prologue, apdu = _tail(rest)
    return PinVerification(
        timeout,
        form,
        block,
        length,
        digits >> 8,
        digits & 0xFF,
        apdu,
        validation,
        messages,
        language,
        index,
        prologue,
    )


def _decode_modification(body: bytes) -> PinModification:
    values, rest = _unpack(_MODIFICATION, body)
    timeout, form, block, length, old, new, digits, confirm, validation, *last = values
    messages, language, index = last
    others = _index_count(messages) - 1
    prologue, apdu = _tail(rest[others:])
    return PinModification(
        timeout,
        form,
        block,
        length,
        old,
        new,
        digits >> 8,
        digits & 0xFF,
        apdu,
        confirm,
        validation,
        messages,
        language,
        (index, *rest[:others]),
        prologue,
    )


def _patience(timeout: int, entries: int) -> float:
    return max(_LEAST_PATIENCE, entries * timeout + _AFTER_ENTRY)


def _index_count(messages: int) -> int:
    return {0: 1, 3: 3}.get(messages, 2)


def _digits(least: int, most: int) -> int:
    if not 0 <= least <= most <= 0xFF:
        raise InputInvalid(f"{least} to {most} digits is no range for a PIN pad")
    return least << 8 | most


def _pack(
    layout: struct.Struct, values: tuple[int, ...], operation: PinOperation, rest: bytes
) -> bytes:
    try:
        return bytes([operation]) + layout.pack(*values) + rest
    except struct.error as error:
        raise InputInvalid(f"a field of a PIN entry is out of range: {error}") from error


def _unpack(layout: struct.Struct, body: bytes) -> tuple[tuple[int, ...], bytes]:
    if len(body) < layout.size:
        raise FrameInvalid("a PIN entry that was cut short", offset=1)
    return layout.unpack_from(body), body[layout.size :]


def _tail(rest: bytes) -> tuple[bytes, bytes]:
    if len(rest) < len(_NO_PROLOGUE) + 4:
        raise FrameInvalid("a PIN entry without a command", offset=1)
    return rest[:3], rest[3:]
