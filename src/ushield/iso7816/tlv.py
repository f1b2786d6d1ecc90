"""BER-TLV data objects of ISO/IEC 7816-4, clause 6.3: a strict reader and a writer.

Strict: definite lengths in their shortest form, tags in their shortest form, no padding between
objects, nothing after the last one, and a bound on depth.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from ushield.errors import TlvInvalid

__all__ = ["MAX_DEPTH", "Template", "Tlv", "encode", "parse", "parse_one", "read_template"]

MAX_DEPTH = 16
_MAX_TAG_BYTES = 3
_MAX_LENGTH_BYTES = 3


@lru_cache(maxsize=256)
def _tag_bytes(tag: int) -> bytes:
    if not 0 < tag < 1 << 8 * _MAX_TAG_BYTES:
        raise ValueError(f"{tag:#x} is no tag")
    octets = tag.to_bytes((tag.bit_length() + 7) // 8, "big")
    *leading, last = octets[1:] or b"\0"
    wrong_form = (octets[0] & 0x1F == 0x1F) != (len(octets) > 1)
    wrong_end = last >= 0x80 or any(octet < 0x80 for octet in leading)
    not_shortest = len(octets) > 1 and (octets[1] < 0x1F or octets[1] == 0x80)
    if wrong_form or wrong_end or not_shortest:
        raise ValueError(f"{tag:X} is not a tag in its shortest form")
    return octets


def encode(tag: int, value: bytes) -> bytes:
    """One data object: ``tag`` as its big-endian bytes read as a number (0x7F49), then ``value``.

    ``ValueError`` for a value of 16 MiB or more, or a number that is no tag.
    """
    length = len(value)
    if length < 0x80:
        return _tag_bytes(tag) + bytes((length,)) + value
    if length < 0x100:
        return _tag_bytes(tag) + bytes((0x81, length)) + value
    if length < 0x10000:
        return _tag_bytes(tag) + b"\x82" + length.to_bytes(2, "big") + value
    if length < 0x1000000:
        return _tag_bytes(tag) + b"\x83" + length.to_bytes(3, "big") + value
    raise ValueError("a data object of 16 MiB or more")


def _read_header(data: bytes, at: int, end: int, *, shortest: bool = True) -> tuple[int, int, int]:
    """Tag, start of the value and its end, of the object at ``at``."""
    start = at
    tag = data[at]
    at += 1
    if tag == 0:
        raise TlvInvalid(f"padding at byte {start}")
    if tag & 0x1F == 0x1F:
        first = True
        while True:
            if at >= end:
                raise TlvInvalid(f"tag cut short at byte {start}")
            octet = data[at]
            at += 1
            if first and (octet < 0x1F or octet == 0x80):
                raise TlvInvalid(f"tag at byte {start} is not in its shortest form")
            first = False
            tag = tag << 8 | octet
            if at - start > _MAX_TAG_BYTES:
                raise TlvInvalid(f"tag at byte {start} is longer than {_MAX_TAG_BYTES} bytes")
            if not octet & 0x80:
                break
    if at >= end:
        raise TlvInvalid(f"no length after the tag at byte {start}")
    length = data[at]
    at += 1
    if length >= 0x80:
        count = length & 0x7F
        if count == 0:
            raise TlvInvalid(f"indefinite length at byte {at - 1}")
        if count > _MAX_LENGTH_BYTES:
            raise TlvInvalid(f"length of {count} bytes at byte {at - 1}")
        if at + count > end:
            raise TlvInvalid(f"length cut short at byte {at - 1}")
        length = int.from_bytes(data[at : at + count], "big")
        if shortest and (length < 0x80 or length >> (8 * (count - 1)) == 0):
            raise TlvInvalid(f"length at byte {at - 1} is not in its shortest form")
        at += count
    if at + length > end:
        raise TlvInvalid(f"value at byte {at} should have {length} bytes, {end - at} are left")
    return tag, at, at + length


@dataclass(frozen=True, slots=True)
class Tlv:
    """One data object. ``value`` is its bytes, also where the tag says "constructed"."""

    tag: int
    value: bytes

    @property
    def constructed(self) -> bool:
        """Whether the tag says that the value is made of data objects (bit 6 of its first byte)."""
        return bool(_tag_bytes(self.tag)[0] & 0x20)

    def encode(self) -> bytes:
        """The bytes that `parse_one` reads back."""
        return encode(self.tag, self.value)


def _check_depth(data: bytes, tag_byte: int, start: int, end: int, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise TlvInvalid(f"nested deeper than {MAX_DEPTH} at byte {start}")
    if not tag_byte & 0x20:
        return
    at = start
    while at < end:
        inner_first = data[at]
        _, value, after = _read_header(data, at, end)
        _check_depth(data, inner_first, value, after, depth + 1)
        at = after


def parse(data: bytes, *, nested: bool = True, shortest: bool = True) -> tuple[Tlv, ...]:
    """All data objects of ``data``, which must end with the last one; constructed ones are checked
    all the way down. `TlvInvalid` says what is wrong and where.

    ``nested=False`` leaves the values alone, for formats that put plain bytes under tags which
    say "constructed"; ``shortest=False`` takes lengths in more bytes than they need as well.
    """
    objects = []
    at, end = 0, len(data)
    while at < end:
        first = data[at]
        tag, value, after = _read_header(data, at, end, shortest=shortest)
        if nested:
            _check_depth(data, first, value, after, 1)
        objects.append(Tlv(tag, data[value:after]))
        at = after
    return tuple(objects)


def parse_one(data: bytes, *, nested: bool = True) -> Tlv:
    """The one data object that ``data`` is; `TlvInvalid` for none or several. See `parse`."""
    objects = parse(data, nested=nested)
    if len(objects) != 1:
        raise TlvInvalid(f"{len(objects)} data objects where one is due")
    return objects[0]


class Template:
    """The data objects of one level, by tag; each tag at most once unless read with `all`.

    Every object must be asked for: `finish` refuses a template with one that nobody read.
    """

    __slots__ = ("_left", "_what")

    def __init__(self, objects: Iterable[Tlv], what: str = "template") -> None:
        self._left: dict[int, list[bytes]] = {}
        self._what = what
        for item in objects:
            self._left.setdefault(item.tag, []).append(item.value)

    def take(self, tag: int) -> bytes:
        """The value of the one object with ``tag``. `TlvInvalid` if there is none, or two."""
        value = self.take_optional(tag)
        if value is None:
            raise TlvInvalid(f"{self._what}: no object {tag:02X}")
        return value

    def take_optional(self, tag: int) -> bytes | None:
        """Like `take`, or ``None`` where there is no such object."""
        values = self._left.pop(tag, None)
        if values is None:
            return None
        if len(values) > 1:
            raise TlvInvalid(f"{self._what}: object {tag:02X} stands {len(values)} times")
        return values[0]

    def take_int(self, tag: int, size: int) -> int:
        """The value of ``tag`` as an unsigned big-endian number of exactly ``size`` bytes."""
        value = self.take(tag)
        if len(value) != size:
            raise TlvInvalid(f"{self._what}: object {tag:02X} has {len(value)} bytes, not {size}")
        return int.from_bytes(value, "big")

    def take_text(self, tag: int) -> str:
        """The value of ``tag`` as UTF-8."""
        try:
            return self.take(tag).decode()
        except UnicodeDecodeError as error:
            raise TlvInvalid(f"{self._what}: object {tag:02X} is not UTF-8") from error

    def all(self, tag: int) -> Iterator[bytes]:
        """The values of every object with ``tag``, in order."""
        return iter(self._left.pop(tag, ()))

    def finish(self) -> None:
        """`TlvInvalid` if an object is left that nobody asked for."""
        if self._left:
            names = ", ".join(f"{tag:02X}" for tag in self._left)
            raise TlvInvalid(f"{self._what}: unexpected {names}")


def read_template(data: bytes, what: str = "template", *, nested: bool = True) -> Template:
    """`parse`, ready to be taken apart by tag; ``what`` names it in errors."""
    return Template(parse(data, nested=nested), what)
