"""Which commands carry secrets, so that no log, trace or repr ever holds one.

Decided by INS alone: the class byte changes with chaining (0x10), secure messaging and vendor, and
hiding one harmless command too many costs nothing.
"""

from __future__ import annotations

__all__ = ["SECRET_INSTRUCTIONS"]

SECRET_INSTRUCTIONS = frozenset(
    {
        0x20,  # VERIFY (ISO/IEC 7816-4, clause 11.5.6), and with its data in BER-TLV
        0x21,
        0x24,  # CHANGE REFERENCE DATA
        0x25,
        0x26,  # DISABLE VERIFICATION REQUIREMENT
        0x28,  # ENABLE VERIFICATION REQUIREMENT
        0x2C,  # RESET RETRY COUNTER
        0x2D,
        0x5C,  # UNBLOCK of the reference token: carries the new PIN
        0xC2,  # ENVELOPE: any command may be inside
        0xC3,
        0xFE,  # PIV's import of a private key
        0xFF,  # PIV's SET MANAGEMENT KEY
    }
)
