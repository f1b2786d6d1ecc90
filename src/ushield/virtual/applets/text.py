"""Text from the host that the token keeps: labels, and the names of a certification request."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ushield.errors import MessageInvalid, TlvInvalid
from ushield.iso7816.tlv import parse, parse_one
from ushield.transaction.message import Field
from ushield.transaction.repertoire import Repertoire

__all__ = ["MAX_OBJECT_LABEL", "certification_fields", "check_label"]

MAX_OBJECT_LABEL = 64
"""Longest label of a key or certificate, in bytes of UTF-8."""

_OBJECT_IDENTIFIER = {
    "2.5.4.3": ("名称", "CN"),
    "2.5.4.4": ("姓", "SN"),
    "2.5.4.42": ("名", "GN"),
    "2.5.4.5": ("序列号", "serialNumber"),
    "2.5.4.6": ("国家", "C"),
    "2.5.4.7": ("城市", "L"),
    "2.5.4.8": ("省份", "ST"),
    "2.5.4.10": ("单位", "O"),
    "2.5.4.11": ("部门", "OU"),
    "0.9.2342.19200300.100.1.1": ("用户号", "UID"),
    "1.2.840.113549.1.9.1": ("邮箱", "email"),
}
_KIND = (("业务", "证书申请"), ("Request", "certificate"))
_FINGERPRINT = ("公钥指纹", "Key SHA-256")
_LOOSE_SPACES = re.compile("^[ \u3000]|[ \u3000]{2}|[ \u3000]$")
_SEQUENCE, _SET, _OID = 0x30, 0x31, 0x06
# A UUID's number is the longest that anybody needs (X.667, 7).
_MAX_ARC_BITS = 128
# UTF8String, NumericString, PrintableString, IA5String (X.680, 8.6).
_TEXT_ENCODINGS = {0x0C: "utf-8", 0x12: "ascii", 0x13: "ascii", 0x16: "ascii"}


def check_label(value: bytes, most: int = MAX_OBJECT_LABEL) -> str:
    """A label: up to ``most`` bytes of UTF-8 that can be printed. `TlvInvalid` for another."""
    try:
        label = value.decode()
    except UnicodeDecodeError as error:
        raise TlvInvalid("a label that is not UTF-8") from error
    if len(value) > most or not label.isprintable():
        raise TlvInvalid(f"a label has at most {most} bytes, all printable")
    return label


def certification_fields(
    subject: bytes, fingerprint: bytes, repertoire: Repertoire
) -> tuple[Field, ...]:
    """What the screen shows of a certification request: each attribute of the subject, the key.

    ``subject`` is a Name in DER (RFC 5280, 4.1.2.4); an attribute without a word of its own is
    shown by its object identifier. ``fingerprint`` is shown in hexadecimal. `MessageInvalid` for a
    subject that is empty, not DER, or has values that are no plain text, or whose spaces could
    push the rest of one off a page.
    """
    language = 0 if repertoire is Repertoire.GBK else 1
    attributes = [
        Field(_OBJECT_IDENTIFIER[oid][language] if oid in _OBJECT_IDENTIFIER else oid, value)
        for oid, value in _attributes(subject)
    ]
    if not attributes:
        raise MessageInvalid("an empty subject")
    return (
        Field(*_KIND[language]),
        *attributes,
        Field(_FINGERPRINT[language], fingerprint.hex().upper()),
    )


def _attributes(subject: bytes) -> Iterator[tuple[str, str]]:
    """Type (dotted) and value of each attribute; BER-TLV as our reader takes it is DER here."""
    try:
        name = parse_one(subject)
        if name.tag != _SEQUENCE:
            raise MessageInvalid("the subject is no Name")
        for relative in parse(name.value):
            members = [member.encode() for member in parse(relative.value)]
            if relative.tag != _SET or not members or members != sorted(members):
                raise MessageInvalid("the subject has no SET OF attributes where one is due")
            yield from map(_attribute, members)
    except TlvInvalid as error:
        raise MessageInvalid(f"the subject is no Name in DER: {error}") from error


def _attribute(member: bytes) -> tuple[str, str]:
    sequence = parse_one(member)
    pair = parse(sequence.value) if sequence.tag == _SEQUENCE else ()
    if [part.tag for part in pair[:1]] != [_OID] or len(pair) != 2:
        raise MessageInvalid("an attribute of the subject is no pair of type and value")
    encoding = _TEXT_ENCODINGS.get(pair[1].tag)
    if encoding is None:
        raise MessageInvalid("a value of the subject is no plain text")
    try:
        text = pair[1].value.decode(encoding)
    except UnicodeDecodeError as error:
        raise MessageInvalid("a value of the subject is not of its text type") from error
    if not text:
        raise MessageInvalid("a value of the subject is empty")
    if _LOOSE_SPACES.search(text):
        raise MessageInvalid("a value of the subject has spaces at an end, or two in a row")
    return _dotted(pair[0].value), text


def _dotted(encoded: bytes) -> str:
    """An object identifier's contents (X.690, 8.19) in words; `MessageInvalid` for others."""
    arcs: list[int] = []
    arc = 0
    begins = True
    for octet in encoded:
        if begins and octet == 0x80:
            break
        arc = arc << 7 | octet & 0x7F
        begins = not octet & 0x80
        if arc >> _MAX_ARC_BITS:
            break
        if begins:
            arcs.append(arc)
            arc = 0
    else:
        if arcs and begins:
            first = min(arcs[0] // 40, 2)
            return ".".join(map(str, (first, arcs[0] - 40 * first, *arcs[1:])))
    raise MessageInvalid("an attribute of the subject has no object identifier")
