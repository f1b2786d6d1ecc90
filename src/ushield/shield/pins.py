"""The data fields that carry secrets: VERIFY, CHANGE REFERENCE DATA, RESET RETRY COUNTER.

VERIFY carries the bare digits. The other two carry two secrets whose lengths vary, so each is an
object of its own: 80 the one that proves the right to change, 81 the new PIN.
"""

from __future__ import annotations

from ushield.errors import TlvInvalid
from ushield.iso7816.tlv import encode, parse

__all__ = ["decode_change", "encode_change"]


def encode_change(proof: bytes, new: bytes) -> bytes:
    """80 old PIN or PUK, 81 new PIN or PUK."""
    return encode(0x80, proof) + encode(0x81, new)


def decode_change(data: bytes) -> tuple[bytes, bytes]:
    """The proof and the new secret; `TlvInvalid`, without quoting either, for another form."""
    try:
        objects = parse(data)
    except TlvInvalid:
        objects = ()
    if [item.tag for item in objects] != [0x80, 0x81]:
        raise TlvInvalid("two objects 80 and 81 are due")
    return objects[0].value, objects[1].value
