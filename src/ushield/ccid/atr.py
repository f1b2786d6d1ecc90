"""The answer to reset: what a card says about itself when it is powered (ISO/IEC 7816-3, 8.2)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from operator import xor
from typing import Final, NamedTuple

from ushield.ccid.errors import AtrInvalid

__all__ = ["BAUD_FACTORS", "CLOCK_RATES", "DEFAULT_FI_DI", "Atr", "InterfaceByte"]

DEFAULT_FI_DI: Final = 0x11

CLOCK_RATES: Final = {
    0: 372,
    1: 372,
    2: 558,
    3: 744,
    4: 1116,
    5: 1488,
    6: 1860,
    9: 512,
    10: 768,
    11: 1024,
    12: 1536,
    13: 2048,
}
"""Clock rate conversion integer F by the high half of TA1 (table 7)."""

BAUD_FACTORS: Final = {1: 1, 2: 2, 3: 4, 4: 8, 5: 16, 6: 32, 7: 64, 8: 12, 9: 20}
"""Baud rate adjustment integer D by the low half of TA1 (table 8)."""

_MAX_LENGTH: Final = 33
_CONVENTIONS: Final = {0x3B: False, 0x3F: True}
_T1: Final = 1
_GLOBAL: Final = 15


class InterfaceByte(NamedTuple):
    """One of TA, TB, TC: its letter, its position from 1, and the protocol it is specific to.

    Global bytes (position 1 and 2 but for TC2, and those for T=15) have protocol 15; TC2 has 0.
    """

    letter: str
    position: int
    protocol: int
    value: int


@dataclass(frozen=True, slots=True)
class Atr:
    """An ATR taken apart.

    ``protocols`` are those offered, in their order, the first being the default. ``checksum_ok`` is
    false for a wrong or missing TCK: readers that speak to the card by themselves are known to
    hand out such ATRs, so that only who uses the interface bytes has to refuse them. Properties
    raise `AtrInvalid` for reserved values.
    """

    raw: bytes
    inverse_convention: bool
    protocols: tuple[int, ...]
    interface: tuple[InterfaceByte, ...]
    historical: bytes
    checksum_ok: bool

    @classmethod
    def parse(cls, data: bytes) -> Atr:
        """Read an ATR from TS to TCK; `AtrInvalid` for too few or too many bytes, or a wrong TS."""
        if not 2 <= len(data) <= _MAX_LENGTH:
            raise AtrInvalid(f"an ATR has 2 to {_MAX_LENGTH} bytes, this one {len(data)}")
        inverse = _CONVENTIONS.get(data[0])
        if inverse is None:
            raise AtrInvalid(f"an ATR starts with 3B or 3F, this one with {data[0]:02X}")
        interface, offered, offset = _interface_bytes(data)
        end = offset + (data[1] & 0x0F)
        # Clause 8.2.5: TCK is absent if T=0 is the only protocol indicated.
        with_checksum = any(offered)
        if end > len(data):
            raise AtrInvalid(f"an ATR of {len(data)} bytes ends in its historical bytes")
        if len(data) > end + with_checksum:
            raise AtrInvalid(f"{len(data) - end - with_checksum} bytes follow the end of an ATR")
        checksum_ok = not with_checksum or (len(data) == end + 1 and not reduce(xor, data[1:]))
        protocols = tuple(dict.fromkeys(t for t in offered if t != _GLOBAL)) or (0,)
        return cls(bytes(data), inverse, protocols, interface, bytes(data[offset:end]), checksum_ok)

    @property
    def ta1(self) -> int | None:
        """FI and DI, or ``None``: then 0x11 is meant."""
        return self._byte("A", 1)

    @property
    def specific_protocol(self) -> int | None:
        """The protocol of TA2's specific mode, or ``None`` in negotiable mode (clause 6.3.1)."""
        ta2 = self._byte("A", 2)
        return None if ta2 is None else ta2 & 0x0F

    @property
    def implicit_parameters(self) -> bool:
        """Whether TA2 says that F and D are not those of TA1 but known by other means."""
        return bool((self._byte("A", 2) or 0) & 0x10)

    @property
    def extra_guard_time(self) -> int:
        """N of TC1, in etu; 255 is the least the protocol allows (clause 8.3)."""
        return self._byte("C", 1) or 0

    @property
    def waiting_integer(self) -> int:
        """WI of TC2, for T=0 (clause 10.2)."""
        value = self._byte("C", 2)
        if value == 0:
            raise AtrInvalid("WI 0 is reserved")
        return 10 if value is None else value

    @property
    def ifsc(self) -> int:
        """The longest information field the card takes at T=1 (clause 11.4.2)."""
        value = self._specific("A", _T1)
        if value in {0x00, 0xFF}:
            raise AtrInvalid(f"IFSC {value:#04x} is reserved")
        return 32 if value is None else value

    @property
    def waiting_integers(self) -> int:
        """BWI in the high half, CWI in the low one, for T=1 (clause 11.4.3)."""
        value = self._specific("B", _T1)
        if value is not None and value >> 4 > 9:
            raise AtrInvalid(f"BWI {value >> 4} is reserved")
        return 0x4D if value is None else value

    @property
    def uses_crc(self) -> bool:
        """Whether T=1 blocks end with a CRC instead of an LRC (clause 11.4.4)."""
        return bool((self._specific("C", _T1) or 0) & 0x01)

    @property
    def clock_stop(self) -> int:
        """Clock stop indicator X: 0 never, 1 low, 2 high, 3 either (table 9)."""
        return (self._specific("A", _GLOBAL) or 0) >> 6

    def _byte(self, letter: str, position: int) -> int | None:
        for byte in self.interface:
            if byte.letter == letter and byte.position == position:
                return byte.value
        return None

    def _specific(self, letter: str, protocol: int) -> int | None:
        for byte in self.interface:
            if byte.letter == letter and byte.protocol == protocol and byte.position > 2:
                return byte.value
        return None


def _interface_bytes(data: bytes) -> tuple[tuple[InterfaceByte, ...], list[int], int]:
    """The interface bytes, the T values of each TD, and the offset of what follows."""
    found: list[InterfaceByte] = []
    offered: list[int] = []
    offset, position, indicator, protocol = 2, 1, data[1] >> 4, _GLOBAL
    while True:
        present = indicator.bit_count()
        if offset + present > len(data):
            raise AtrInvalid(f"an ATR of {len(data)} bytes ends in its interface bytes")
        for bit, letter in enumerate(("A", "B", "C")):
            if indicator >> bit & 1:
                specific = 0 if (letter, position) == ("C", 2) else protocol
                if position == 2 and letter != "C":
                    specific = _GLOBAL
                found.append(InterfaceByte(letter, position, specific, data[offset]))
                offset += 1
        if not indicator & 0x8:
            return tuple(found), offered, offset
        protocol = data[offset] & 0x0F
        indicator = data[offset] >> 4
        offered.append(protocol)
        offset += 1
        position += 1
