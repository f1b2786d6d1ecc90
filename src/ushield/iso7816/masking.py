"""Which commands carry secrets, so that no log, trace or repr ever holds one.

Decided by INS alone, wherever that is enough: the class byte changes with chaining (0x10), secure
messaging and vendor, and hiding one harmless command too many costs nothing.
"""

from __future__ import annotations

__all__ = ["SECRET_INSTRUCTIONS", "carries_secret"]

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

_DATA_OBJECTS = frozenset({0xCA, 0xCB, 0xDA, 0xDB})
# "Printed information" of PIV, where some cards keep their management key, in a tag list.
_SECRET_OBJECT = bytes.fromhex("5C035FC109")


def carries_secret(command: bytes) -> bool:
    """Whether ``command`` or the answer to it may hold a secret."""
    ins = command[1] if len(command) > 4 else -1
    return ins in SECRET_INSTRUCTIONS or (ins in _DATA_OBJECTS and _SECRET_OBJECT in command)
