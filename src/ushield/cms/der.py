"""A writer of DER (X.690) for the few structures of a signature.

The token writes its attributes within a confirmation, and asn1crypto takes milliseconds to build
them; these functions take microseconds. Reading is asn1crypto's part; `value_at` only cuts out
what is written again to be compared.
"""

from __future__ import annotations

from functools import cache, lru_cache

__all__ = [
    "boolean",
    "header",
    "integer",
    "null",
    "object_identifier",
    "octet_string",
    "sequence",
    "set_of",
    "tagged",
    "utf8_string",
    "value_at",
]


def tagged(tag: int, *contents: bytes) -> bytes:
    """An encoding with the identifier octet ``tag``, in the shortest definite form."""
    content = contents[0] if len(contents) == 1 else b"".join(contents)
    return header(tag, len(content)) + content


def value_at(data: bytes, at: int) -> tuple[int, int]:
    """Where the value of the element at ``at`` begins and ends, if all of it is in DER.

    This only cuts: tags, and whether lengths are in their shortest form or beyond the end, are not
    looked at. `LookupError` past the end, `ValueError` for a length of more than two bytes.
    """
    length = data[at + 1]
    if length < 0x80:
        start = at + 2
    elif length == 0x81:
        start, length = at + 3, data[at + 2]
    elif length == 0x82:
        start, length = at + 4, data[at + 2] << 8 | data[at + 3]
    else:
        raise ValueError("a length of more than two bytes")
    return start, start + length


# Signatures are alike: most of their lengths come again.
@lru_cache(maxsize=4096)
def header(tag: int, length: int) -> bytes:
    """What stands before a value of ``length`` bytes: the identifier octet, the length."""
    if length < 0x80:
        return bytes((tag, length))
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(octets))) + octets


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
