"""BER-TLV and every structure of the reference token's protocol, as either side reads them.

The first byte names the reader. What it reads it must write again, nothing lost and nothing added;
byte for byte, but for the order of data objects in a template.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Final

from tests.fuzz.examples import examples
from tests.fuzz.target import Target
from tests.shield.codecs import CODECS
from ushield.errors import ApduInvalid, ProtocolViolation, TlvInvalid
from ushield.iso7816.apdu import CommandApdu, ResponseApdu
from ushield.iso7816.tlv import Tlv, parse, read_template
from ushield.shield.application import is_application
from ushield.shield.commands import DataObject
from ushield.shield.events import PanelEvent
from ushield.shield.objects import read_tag_list, tag_list
from ushield.shield.pins import PAD_BLOCK, decode_change

__all__ = ["TARGET"]

_Reader = Callable[[bytes], None]


def _round_trip(write: Callable[[Any], bytes], read: Callable[[bytes], Any]) -> _Reader:
    def reader(data: bytes) -> None:
        value = read(data)
        written = write(value)
        if read is decode_change and len(data) == 2 * PAD_BLOCK and written != data:
            # What a reader's keys fill in is not the form that a host writes.
            assert read(written) == value
        else:
            assert written == data or _sorted(parse(written)) == _sorted(parse(data))

    return reader


def _sorted(objects: tuple[Tlv, ...]) -> list[tuple[int, Any]]:
    return sorted(
        (
            (item.tag, _sorted(parse(item.value)) if item.constructed else item.value)
            for item in objects
        ),
        key=repr,
    )


def _join(objects: tuple[Tlv, ...]) -> bytes:
    return b"".join(item.encode() for item in objects)


def _apdu(data: bytes) -> None:
    command = CommandApdu.decode(data)
    extended = len(data) > 5 and not data[4]
    assert command.encode(extended=extended) == data
    assert repr(command)


def _tag_list(data: bytes) -> None:
    template = read_template(data)
    tag, slot = read_tag_list(template)
    template.finish()
    again = read_template(tag_list(tag, slot))
    assert read_tag_list(again) == (tag, slot)


def _is_application(data: bytes) -> None:
    assert is_application(data) in {True, False}


_READERS: Final[tuple[_Reader, ...]] = (
    _round_trip(_join, parse),
    _round_trip(_join, lambda data: parse(data, nested=False)),
    _apdu,
    _round_trip(ResponseApdu.encode, ResponseApdu.decode),
    _round_trip(PanelEvent.encode, PanelEvent.decode),
    _tag_list,
    _is_application,
    *(_round_trip(write, read) for _, write, read in CODECS),
)
_FIRST_CODEC: Final = len(_READERS) - len(CODECS)


def _run(data: bytes) -> None:
    if data:
        with suppress(TlvInvalid, ApduInvalid, ProtocolViolation):
            _READERS[data[0] % len(_READERS)](data[1:])


def _seeds() -> Iterator[bytes]:
    for index, (values, write, _) in enumerate(CODECS):
        for value in examples(values, 6):
            encoded = write(value)
            yield bytes((_FIRST_CODEC + index,)) + encoded
            yield b"\0" + encoded
            yield b"\1" + encoded
    for tag in DataObject:
        yield b"\x05" + tag_list(tag)
        yield b"\x05" + tag_list(tag, 1)
    for apdu in ("00A40400", "00A4040000", "00A40400023F0000", "00CB3FFF0000025C000000"):
        yield b"\x02" + bytes.fromhex(apdu)
    yield b"\x03" + b"data\x90\x00"


TARGET = Target(_run, _seeds)
