"""Protocol parameters: what PPS asks of a card and SetParameters tells the reader.

Sources: ISO/IEC 7816-3, clause 9 (PPS), 10.2 and 11.4 (waiting times); CCID Rev 1.1, section 6.1.7.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from functools import reduce
from operator import xor
from typing import ClassVar, Final, TypeAlias

from ushield.ccid.atr import BAUD_FACTORS, CLOCK_RATES, DEFAULT_FI_DI, Atr
from ushield.ccid.descriptor import ClassDescriptor
from ushield.ccid.errors import FrameInvalid
from ushield.errors import CapabilityMissing, InputInvalid, ProtocolViolation

__all__ = [
    "ProtocolParameters",
    "T0Parameters",
    "T1Parameters",
    "card_waiting_time",
    "choose_fi_di",
    "choose_protocol",
    "decode_parameters",
    "parameters_for",
    "pps_request",
    "pps_result",
]

_PPS1_PRESENT: Final = 0x10


@dataclass(frozen=True, slots=True)
class T0Parameters:
    """abProtocolDataStructure for T=0, field by field."""

    protocol: ClassVar[int] = 0

    fi_di: int = DEFAULT_FI_DI
    tcck: int = 0
    guard_time: int = 0
    waiting_integer: int = 10
    clock_stop: int = 0

    def encode(self) -> bytes:
        """The five bytes; `InputInvalid` for a value that is no byte."""
        return _encode(self)


@dataclass(frozen=True, slots=True)
class T1Parameters:
    """abProtocolDataStructure for T=1; ``tcck`` has 0x10 always set, bit 0 for a CRC."""

    protocol: ClassVar[int] = 1

    fi_di: int = DEFAULT_FI_DI
    tcck: int = 0x10
    guard_time: int = 0
    waiting_integers: int = 0x4D
    clock_stop: int = 0
    ifsc: int = 32
    nad: int = 0

    def encode(self) -> bytes:
        """The seven bytes; `InputInvalid` for a value that is no byte."""
        return _encode(self)


ProtocolParameters: TypeAlias = T0Parameters | T1Parameters


def _encode(parameters: ProtocolParameters) -> bytes:
    values = astuple(parameters)
    try:
        return struct.pack(f"<{len(values)}B", *values)
    except struct.error as error:
        raise InputInvalid(f"a protocol parameter is out of range: {error}") from error


def decode_parameters(protocol: int, data: bytes) -> ProtocolParameters:
    """Read abProtocolDataStructure of protocol 0 or 1; `FrameInvalid`."""
    if protocol == 0 and len(data) == 5:
        return T0Parameters(*data)
    if protocol == 1 and len(data) == 7:
        return T1Parameters(*data)
    if protocol > 1:
        raise FrameInvalid(f"unknown bProtocolNum {protocol}", offset=7)
    raise FrameInvalid(f"parameters of T={protocol} do not take {len(data)} bytes", offset=1)


def parameters_for(atr: Atr, protocol: int, fi_di: int) -> ProtocolParameters:
    """What the reader needs to know to speak ``protocol`` to the card with this ATR."""
    convention = 0x02 if atr.inverse_convention else 0
    if protocol == 0:
        return T0Parameters(
            fi_di, convention, atr.extra_guard_time, atr.waiting_integer, atr.clock_stop
        )
    return T1Parameters(
        fi_di,
        0x10 | convention | atr.uses_crc,
        atr.extra_guard_time,
        atr.waiting_integers,
        atr.clock_stop,
        atr.ifsc,
    )


def choose_protocol(atr: Atr, descriptor: ClassDescriptor) -> int:
    """The first protocol that the card offers and the reader speaks; `CapabilityMissing` if none.

    In specific mode the card leaves no choice.
    """
    specific = atr.specific_protocol
    offered = atr.protocols if specific is None else (specific,)
    for protocol in offered:
        if protocol < 2 and descriptor.protocols >> protocol & 1:
            return protocol
    names = ", ".join(f"T={protocol}" for protocol in offered)
    raise CapabilityMissing(
        f"the card speaks {names}, and this reader does not", capability="protocol"
    )


def choose_fi_di(atr: Atr, descriptor: ClassDescriptor, rates: Sequence[int] = ()) -> int:
    """The fastest F and D, coded as TA1, that card and reader can do.

    ``rates`` are the only data rates the reader has, in bit/s, where it has a list. F stays the
    card's and D is lowered until the rate fits; where none fits, it is the default of 0x11.
    """
    ta1 = DEFAULT_FI_DI if atr.ta1 is None else atr.ta1
    clock_rate, fastest = CLOCK_RATES.get(ta1 >> 4), BAUD_FACTORS.get(ta1 & 0x0F)
    if clock_rate is None or fastest is None:
        return DEFAULT_FI_DI
    clock = descriptor.default_clock * 1000
    for factor, code in sorted(((d, code) for code, d in BAUD_FACTORS.items()), reverse=True):
        rate = clock * factor // clock_rate
        # Readers round the rates of their list up or down.
        listed = not rates or any(abs(rate - known) <= 2 for known in rates)
        if factor <= fastest and rate <= descriptor.max_data_rate and listed:
            return ta1 & 0xF0 | code
    return DEFAULT_FI_DI


def card_waiting_time(atr: Atr, protocol: int, fi_di: int, descriptor: ClassDescriptor) -> float:
    """How long the card may stay silent before its answer, in seconds: WT at T=0, BWT at T=1.

    ``fi_di`` is F and D in force, coded as TA1; the clock is the reader's default.
    """
    clock = max(descriptor.default_clock, 1) * 1000
    if protocol == 0:
        return atr.waiting_integer * 960 * CLOCK_RATES.get(fi_di >> 4, 372) / clock
    return 372 * (11 + (960 << (atr.waiting_integers >> 4))) / clock


def pps_request(protocol: int, fi_di: int) -> bytes:
    """PPSS, PPS0, PPS1 unless it is the default, PCK (clause 9.2)."""
    if fi_di == DEFAULT_FI_DI:
        body = bytes([0xFF, protocol])
    else:
        body = bytes([0xFF, protocol | _PPS1_PRESENT, fi_di])
    return body + bytes([reduce(xor, body)])


def pps_result(request: bytes, response: bytes) -> int:
    """F and D in force after a PPS exchange, coded as TA1 (clause 9.3).

    A card may leave PPS1 out, which keeps the default. `ProtocolViolation` for an answer that
    accepts something else than was asked.
    """
    if response == request:
        return request[2] if request[1] & _PPS1_PRESENT else DEFAULT_FI_DI
    if response == pps_request(request[1] & 0x0F, DEFAULT_FI_DI):
        return DEFAULT_FI_DI
    raise ProtocolViolation(f"the card answers the PPS {request.hex()} with {response.hex()}")
