"""The smart-card class descriptor: what a reader says about itself (CCID Rev 1.1, section 5.1)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import Enum, IntFlag
from typing import Final

from ushield.ccid.errors import DescriptorInvalid
from ushield.errors import InputInvalid

__all__ = ["ClassDescriptor", "ExchangeLevel", "Feature", "PinSupport", "VoltageClass"]

_FORMAT: Final = struct.Struct("<BBHBBIIIBIIBIIIIIBBHBB")
_DESCRIPTOR_TYPE: Final = 0x21


class Feature(IntFlag):
    """Bits of dwFeatures: what the reader does by itself, and its level of exchange."""

    AUTO_CONFIGURATION = 0x2
    AUTO_ACTIVATION = 0x4
    AUTO_VOLTAGE = 0x8
    AUTO_CLOCK = 0x10
    AUTO_BAUD_RATE = 0x20
    AUTO_NEGOTIATION = 0x40
    AUTO_PPS = 0x80
    CLOCK_STOP = 0x100
    NAD = 0x200
    AUTO_IFSD = 0x400
    TPDU = 0x10000
    SHORT_APDU = 0x20000
    EXTENDED_APDU = 0x40000
    WAKE_UP = 0x100000


class VoltageClass(IntFlag):
    """Bits of bVoltageSupport."""

    V5 = 0x01
    V3 = 0x02
    V1_8 = 0x04


class PinSupport(IntFlag):
    """Bits of bPINSupport."""

    VERIFICATION = 0x01
    MODIFICATION = 0x02


class ExchangeLevel(Enum):
    """What PC_to_RDR_XfrBlock carries; dwFeatures bits 16 to 18."""

    CHARACTER = "character"
    TPDU = "TPDU"
    SHORT_APDU = "short APDU"
    EXTENDED_APDU = "extended APDU"


@dataclass(frozen=True, slots=True)
class ClassDescriptor:
    """The 54 bytes, field by field in their order.

    Frequencies in kHz, data rates in bit/s, lengths in bytes. ``max_slot_index`` counts from 0.
    ``protocols`` has bit 0 for T=0 and bit 1 for T=1. A count of 0 rates or frequencies means every
    value up to the maximum. ``lcd_layout`` is lines in its high byte and columns in its low one, 0
    for no screen.
    """

    max_slot_index: int
    voltage_support: int
    protocols: int
    features: int
    max_message_length: int
    version: int = 0x0110
    default_clock: int = 4000
    maximum_clock: int = 4000
    clock_count: int = 0
    data_rate: int = 10752
    max_data_rate: int = 344086
    data_rate_count: int = 0
    max_ifsd: int = 254
    synchronous_protocols: int = 0
    mechanical: int = 0
    class_get_response: int = 0xFF
    class_envelope: int = 0xFF
    lcd_layout: int = 0
    pin_support: int = 0
    max_busy_slots: int = 1

    @property
    def slot_count(self) -> int:
        """How many slots there are."""
        return self.max_slot_index + 1

    @property
    def level(self) -> ExchangeLevel:
        """The level of exchange."""
        if self.features & Feature.EXTENDED_APDU:
            return ExchangeLevel.EXTENDED_APDU
        if self.features & Feature.SHORT_APDU:
            return ExchangeLevel.SHORT_APDU
        if self.features & Feature.TPDU:
            return ExchangeLevel.TPDU
        return ExchangeLevel.CHARACTER

    def has(self, feature: Feature) -> bool:
        """Whether all bits of ``feature`` are set."""
        return self.features & feature == feature

    def encode(self) -> bytes:
        """The descriptor as it stands in a configuration; `InputInvalid` for a field too big."""
        try:
            return _FORMAT.pack(
                _FORMAT.size, _DESCRIPTOR_TYPE, *(getattr(self, name) for name in _WIRE_ORDER)
            )
        except struct.error as error:
            raise InputInvalid(f"a field of the class descriptor is too big: {error}") from error

    @classmethod
    def decode(cls, data: bytes) -> ClassDescriptor:
        """Read exactly one descriptor; `DescriptorInvalid` if it is none or contradicts itself."""
        if len(data) != _FORMAT.size:
            raise DescriptorInvalid(
                f"a CCID class descriptor has {_FORMAT.size} bytes, this one {len(data)}"
            )
        length, kind, *values = _FORMAT.unpack(data)
        if length != _FORMAT.size or kind != _DESCRIPTOR_TYPE:
            raise DescriptorInvalid(
                f"a CCID class descriptor starts with 36 21, this one with {length:02X} {kind:02X}"
            )
        descriptor = cls(**dict(zip(_WIRE_ORDER, values, strict=True)))
        # Header and one APDU header: less could not carry a single command.
        if descriptor.max_message_length < 14:
            raise DescriptorInvalid(
                f"dwMaxCCIDMessageLength {descriptor.max_message_length} fits no command"
            )
        return descriptor

    @classmethod
    def find(cls, *extras: bytes) -> ClassDescriptor:
        """Find it among the unparsed descriptors behind an interface and behind its endpoints.

        Most devices have it behind the interface, some behind the last endpoint. Type 0x21 is also
        HID's, so that length counts too. `DescriptorInvalid` if it is nowhere.
        """
        for extra in extras:
            offset = 0
            while offset + 2 <= len(extra) and extra[offset] >= 2:
                length = extra[offset]
                if extra[offset + 1] == _DESCRIPTOR_TYPE and length == _FORMAT.size:
                    return cls.decode(bytes(extra[offset : offset + length]))
                offset += length
        raise DescriptorInvalid("the interface has no CCID class descriptor")


_WIRE_ORDER: Final = (
    "version",
    "max_slot_index",
    "voltage_support",
    "protocols",
    "default_clock",
    "maximum_clock",
    "clock_count",
    "data_rate",
    "max_data_rate",
    "data_rate_count",
    "max_ifsd",
    "synchronous_protocols",
    "mechanical",
    "features",
    "max_message_length",
    "class_get_response",
    "class_envelope",
    "lcd_layout",
    "pin_support",
    "max_busy_slots",
)
