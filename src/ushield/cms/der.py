"""A writer of DER (X.690) for the few structures of a signature.

The token writes its attributes within a confirmation, and asn1crypto takes milliseconds to build
them; these functions take microseconds. Reading is asn1crypto's part.
"""

from __future__ import annotations

from functools import cache

__all__ = [
    "boolean",
    "integer",
    "null",
    "object_identifier",
    "octet_string",
    "sequence",
    "set_of",
    "tagged",
    "utf8_string",
]


def tagged(tag: int, *contents: bytes) -> bytes:
    """An encoding with the identifier octet ``tag``, in the shortest definite form."""
    content = b"".join(contents)
    length = len(content)
    if length < 0x80:
        return bytes((tag, length)) + content
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(octets))) + octets + content


def sequence(*members: bytes) -> bytes:
    """A SEQUENCE of encoded members."""
    return tagged(0x30, *members)


def set_of(*members: bytes) -> bytes:
    """A SET OF encoded members, in the order DER wants (X.690, 11.6)."""
    return tagged(0x31, *sorted(members))


def boolean(value: bool) -> bytes:
    """A BOOLEAN."""
    return b"\x01\x01\xff" if value else b"\x01\x01\x00"


def integer(value: int) -> bytes:
    """An INTEGER, not negative."""
    return tagged(0x02, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def null() -> bytes:
    """A NULL."""
    return b"\x05\x00"


def octet_string(value: bytes) -> bytes:
    """An OCTET STRING."""
    return tagged(0x04, value)


def utf8_string(value: str) -> bytes:
    """A UTF8String."""
    return tagged(0x0C, value.encode())


@cache
def object_identifier(dotted: str) -> bytes:
    """An OBJECT IDENTIFIER from its dotted form."""
    first, second, *rest = map(int, dotted.split("."))
    octets = bytearray()
    for arc in (first * 40 + second, *rest):
        groups = [arc & 0x7F]
        while arc := arc >> 7:
            groups.append(0x80 | arc & 0x7F)
        octets += bytes(reversed(groups))
    return tagged(0x06, bytes(octets))
