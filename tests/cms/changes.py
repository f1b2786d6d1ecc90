"""Signatures changed the way an attacker or other software would, by asn1crypto."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from asn1crypto import cms

Change = Callable[[Any], None]


def changed(signature: bytes, change: Change) -> bytes:
    """``signature`` encoded again after ``change`` was made to its SignedData."""
    info = cms.ContentInfo.load(signature)
    change(info["content"])
    encoded: bytes = info.dump(force=True)
    return encoded


def signer_changed(signature: bytes, change: Change) -> bytes:
    """The same for its only SignerInfo."""
    return changed(signature, lambda signed_data: change(signed_data["signer_infos"][0]))


def with_members(sequence: Any, **members: Any) -> None:
    """Set several members of an asn1crypto Sequence."""
    for name, value in members.items():
        sequence[name] = value


def in_ber(der: bytes) -> bytes:
    """The same outermost element with its length in one octet more than DER allows."""
    length = der[1]
    if length < 0x80:
        return der[:1] + bytes((0x81, length)) + der[2:]
    octets = length & 0x7F
    return der[:1] + bytes((0x80 | octets + 1, 0)) + der[2:]


def with_indefinite_length(der: bytes) -> bytes:
    """The same outermost element with an indefinite length, as BER allows."""
    octets = der[1] & 0x7F if der[1] >= 0x80 else 0
    return der[:1] + b"\x80" + der[2 + octets :] + b"\0\0"
