"""The receipt: what the token says about the press that made a signature."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from asn1crypto import core

from ushield.cms import der
from ushield.errors import InputInvalid

__all__ = ["Receipt", "ReceiptInvalid"]

_VERSION = 1


class ReceiptInvalid(InputInvalid):
    """Bytes that are no receipt, or values no token would put into one."""

    code = "receipt-invalid"


@dataclass(frozen=True, slots=True)
class Receipt:
    """A signed attribute of ours, written by the token::

        Receipt ::= SEQUENCE {
            version       INTEGER (1),
            serial        UTF8String,
            requestId     OCTET STRING (SIZE (8)),
            counter       INTEGER,
            pagesDigest   OCTET STRING (SIZE (32)),
            milliseconds  INTEGER,
            screen        SEQUENCE {
                lines       INTEGER,
                columns     INTEGER,
                repertoire  UTF8String,
                banner      UTF8String },
            virtual       BOOLEAN }

    ``serial`` is the token's; ``counter`` is how many signatures it has made, this one included;
    ``pages_digest`` is `ushield.transaction.pages_digest` of the pages as drawn; ``milliseconds``
    passed from the first page to the press of OK. The screen is named so that the bank can draw
    the same pages: lines, half-width cells a line, the repertoire's id, the banner.
    """

    serial: str
    request_id: bytes
    counter: int
    pages_digest: bytes
    milliseconds: int
    lines: int
    columns: int
    repertoire: str
    banner: str
    virtual: bool

    def __post_init__(self) -> None:
        if not (
            1 <= len(self.serial) <= 64
            and len(self.request_id) == 8
            and 1 <= self.counter < 1 << 63
            and len(self.pages_digest) == 32
            and 0 <= self.milliseconds < 1 << 31
            and 1 <= self.lines <= 255
            and 1 <= self.columns <= 255
            and len(self.repertoire) <= 16
            and len(self.banner) <= 32
        ):
            raise ReceiptInvalid("a receipt with a value out of its range")

    def encode(self) -> bytes:
        """The receipt in DER."""
        return der.sequence(
            _start(self.serial),
            b"\x04\x08",
            self.request_id,
            der.integer(self.counter),
            b"\x04\x20",
            self.pages_digest,
            der.integer(self.milliseconds),
            _end(self.lines, self.columns, self.repertoire, self.banner, self.virtual),
        )

    @classmethod
    def decode(cls, data: bytes) -> Receipt:
        """Read a receipt; `ReceiptInvalid` for anything that `encode` would not write."""
        guessed = _guess(data)
        if guessed is not None and guessed.encode() == data:
            return guessed
        try:
            found = _Receipt.load(data, strict=True)
            if found["version"].native != _VERSION:
                raise ReceiptInvalid("a receipt of another version")
            receipt = _read(found)
        except (ValueError, TypeError) as error:
            raise ReceiptInvalid("not a receipt") from error
        if receipt.encode() != data:
            raise ReceiptInvalid("a receipt that is not in DER")
        return receipt


# A bank sees few kinds of screens, and a token's serial number again with each of its signatures.
@lru_cache(maxsize=4096)
def _start(serial: str) -> bytes:
    return der.integer(_VERSION) + der.utf8_string(serial)


@lru_cache(maxsize=256)
def _end(lines: int, columns: int, repertoire: str, banner: str, virtual: bool) -> bytes:
    screen = der.sequence(
        der.integer(lines),
        der.integer(columns),
        der.utf8_string(repertoire),
        der.utf8_string(banner),
    )
    return screen + der.boolean(virtual)


@lru_cache(maxsize=256)
def _read_end(data: bytes) -> tuple[int, int, str, str, bool]:
    start, _ = der.value_at(data, 0)
    lines, columns = data[start + 2], data[start + 5]
    start, stop = der.value_at(data, start + 6)
    repertoire = data[start:stop].decode()
    start, stop = der.value_at(data, stop)
    return lines, columns, repertoire, data[start:stop].decode(), data[-1] != 0


@lru_cache(maxsize=4096)
def _read_start(data: bytes) -> str:
    start, stop = der.value_at(data, 3)
    return data[start:stop].decode()


def _guess(data: bytes) -> Receipt | None:
    """The receipt if ``data`` is one; writing it again tells. asn1crypto takes ten times longer.

    Of all its members, only the receipt itself can have a length of more than one byte.
    """
    try:
        start = 3 if data[1] == 0x81 else 2
        request_id = start + 5 + data[start + 4]
        counter = request_id + 10
        pages_digest = counter + 2 + data[counter + 1]
        milliseconds = pages_digest + 34
        end = milliseconds + 2 + data[milliseconds + 1]
        return Receipt(
            _read_start(data[start:request_id]),
            data[request_id + 2 : counter],
            int.from_bytes(data[counter + 2 : pages_digest], "big"),
            data[pages_digest + 2 : milliseconds],
            int.from_bytes(data[milliseconds + 2 : end], "big"),
            *_read_end(data[end:]),
        )
    except (ValueError, LookupError, ReceiptInvalid):
        return None


class _Screen(core.Sequence):  # type: ignore[misc]
    _fields = [  # noqa: RUF012 - asn1crypto wants it so
        ("lines", core.Integer),
        ("columns", core.Integer),
        ("repertoire", core.UTF8String),
        ("banner", core.UTF8String),
    ]


class _Receipt(core.Sequence):  # type: ignore[misc]
    _fields = [  # noqa: RUF012 - asn1crypto wants it so
        ("version", core.Integer),
        ("serial", core.UTF8String),
        ("request_id", core.OctetString),
        ("counter", core.Integer),
        ("pages_digest", core.OctetString),
        ("milliseconds", core.Integer),
        ("screen", _Screen),
        ("virtual", core.Boolean),
    ]


def _read(found: Any) -> Receipt:
    screen = found["screen"]
    return Receipt(
        serial=found["serial"].native,
        request_id=found["request_id"].native,
        counter=found["counter"].native,
        pages_digest=found["pages_digest"].native,
        milliseconds=found["milliseconds"].native,
        lines=screen["lines"].native,
        columns=screen["columns"].native,
        repertoire=screen["repertoire"].native,
        banner=screen["banner"].native,
        virtual=found["virtual"].native,
    )
