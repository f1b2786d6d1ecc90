"""What T=0 and T=1 have in common: the answer to reset, and PPS before the first command."""

from __future__ import annotations

from functools import reduce
from operator import xor
from typing import Final

from ushield.ccid.atr import DEFAULT_FI_DI
from ushield.ccid.parameters import pps_request

__all__ = ["answer_pps", "atr_t0", "atr_t1"]

_TS: Final = b"\x3b"
_PPSS: Final = 0xFF


def atr_t0(historical: bytes, fi_di: int) -> bytes:
    """An answer to reset that offers T=0 alone (ISO/IEC 7816-3, clause 8.2)."""
    if fi_di == DEFAULT_FI_DI:
        return _TS + bytes([len(historical)]) + historical
    return _TS + bytes([0x10 | len(historical), fi_di]) + historical


def atr_t1(historical: bytes, fi_di: int, ifsc: int, *, crc: bool) -> bytes:
    """An answer to reset that offers T=1 alone, with BWI 4 and CWI 5."""
    has_ta1 = fi_di != DEFAULT_FI_DI
    body = bytes([0x80 | has_ta1 << 4 | len(historical)])
    body += bytes([fi_di]) if has_ta1 else b""
    body += bytes([0x81, 0x71 if crc else 0x31, ifsc, 0x45]) + (b"\x01" if crc else b"")
    body += historical
    return _TS + body + bytes([reduce(xor, body)])


def answer_pps(data: bytes, protocol: int, fi_di: int) -> bytes | None:
    """The PPS response if ``data`` is a request for what the card offers; ``None`` if it is not.

    Clause 9.3: a card that does not agree stays mute, which is no bytes at all.
    """
    if data[:1] != bytes([_PPSS]):
        return None
    agreed = (pps_request(protocol, fi_di), pps_request(protocol, DEFAULT_FI_DI))
    return data if data in agreed else b""
