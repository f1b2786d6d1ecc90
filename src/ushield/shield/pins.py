"""The data fields that carry secrets: VERIFY, CHANGE REFERENCE DATA, RESET RETRY COUNTER.

VERIFY carries the bare digits. The other two carry two secrets whose lengths vary, so each is an
object of its own: 80 the one that proves the right to change, 81 the new PIN. A reader's PIN pad
cannot write such objects: it fills in two blocks of `PAD_BLOCK` bytes, each padded with FF.
"""

from __future__ import annotations

from ushield.errors import TlvInvalid
from ushield.iso7816.tlv import encode, parse

__all__ = ["PAD_BLOCK", "decode_change", "encode_change"]

PAD_BLOCK = 15
"""As many bytes as CCID's PIN structures can say (Rev 1.1, section 6.1.11)."""

_PROOF, _NEW = 0x80, 0x81
_PADDING = b"\xff"


def encode_change(proof: bytes, new: bytes) -> bytes:
    """80 old PIN or PUK, 81 new PIN or PUK."""
    return encode(_PROOF, proof) + encode(_NEW, new)


def decode_change(data: bytes) -> tuple[bytes, bytes]:
    """The proof and the new secret; `TlvInvalid`, without quoting either, for another form."""
    if len(data) == 2 * PAD_BLOCK and data[0] != _PROOF:
        return data[:PAD_BLOCK].rstrip(_PADDING), data[PAD_BLOCK:].rstrip(_PADDING)
    try:
        objects = parse(data)
    except TlvInvalid:
        objects = ()
    if [item.tag for item in objects] != [_PROOF, _NEW]:
        raise TlvInvalid("two objects 80 and 81 are due, or two blocks")
    return objects[0].value, objects[1].value
