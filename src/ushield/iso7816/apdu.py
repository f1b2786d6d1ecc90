"""Command and response APDUs of ISO/IEC 7816-4, clause 5.1: all four cases, short and extended."""

from __future__ import annotations

from dataclasses import dataclass

from ushield.errors import ApduInvalid
from ushield.iso7816.masking import carries_secret
from ushield.iso7816.status import StatusWord

__all__ = [
    "CHAINING",
    "GET_RESPONSE",
    "MAX_EXTENDED_DATA",
    "MAX_EXTENDED_NE",
    "MAX_SHORT_DATA",
    "MAX_SHORT_NE",
    "SELECT",
    "CommandApdu",
    "ResponseApdu",
    "read_body",
]

MAX_SHORT_DATA = 255
MAX_SHORT_NE = 256
MAX_EXTENDED_DATA = 65535
MAX_EXTENDED_NE = 65536

CHAINING = 0x10
"""The bit of CLA that says that more commands of the chain follow (clause 5.3.3)."""
SELECT = 0xA4
GET_RESPONSE = 0xC0


@dataclass(frozen=True, slots=True)
class CommandApdu:
    """A command: header, ``data`` of Nc bytes, and ``ne``, how many response bytes may come.

    ``ne`` 0 means no Le field: cases 1 (no data) and 3; else cases 2 and 4. The repr of a command
    that carries a secret tells the length of its data, never the data.
    """

    cla: int
    ins: int
    p1: int = 0
    p2: int = 0
    data: bytes = b""
    ne: int = 0

    @property
    def case(self) -> int:
        """1 to 4, as the standard numbers them."""
        return 1 + (self.ne > 0) + 2 * (len(self.data) > 0)

    @property
    def needs_extended(self) -> bool:
        """Whether a length field of one byte is too short for this command."""
        return len(self.data) > MAX_SHORT_DATA or self.ne > MAX_SHORT_NE

    def encode(self, *, extended: bool | None = None) -> bytes:
        """The bytes on the wire; short length fields unless the lengths, or ``extended``, say no.

        `ApduInvalid` for lengths the chosen form cannot carry, or a header that is not four bytes.
        """
        data, ne = self.data, self.ne
        if extended is None:
            extended = self.needs_extended
        if ne < 0:
            raise ApduInvalid(f"{ne} bytes in: less than none")
        try:
            head = bytes((self.cla, self.ins, self.p1, self.p2))
        except ValueError as error:
            raise ApduInvalid("CLA, INS, P1 and P2 are one byte each") from error
        if not extended:
            if len(data) > MAX_SHORT_DATA or ne > MAX_SHORT_NE:
                raise ApduInvalid(f"{len(data)} bytes out, {ne} in: too long for a short APDU")
            if data:
                head += bytes((len(data),)) + data
            return head + bytes((ne & 0xFF,)) if ne else head
        if len(data) > MAX_EXTENDED_DATA or ne > MAX_EXTENDED_NE:
            raise ApduInvalid(f"{len(data)} bytes out, {ne} in: too long for any APDU")
        if data:
            head += b"\0" + len(data).to_bytes(2, "big") + data
            return head + (ne & 0xFFFF).to_bytes(2, "big") if ne else head
        return head + b"\0" + (ne & 0xFFFF).to_bytes(2, "big") if ne else head

    @classmethod
    def decode(cls, raw: bytes) -> CommandApdu:
        """Read a command; `ApduInvalid`, without quoting it, if its lengths do not add up."""
        data, ne = read_body(raw)
        cla, ins, p1, p2 = raw[:4]
        return cls(cla, ins, p1, p2, data, ne)

    def __repr__(self) -> str:
        head = f"{self.cla:02X} {self.ins:02X} {self.p1:02X} {self.p2:02X}"
        if carries_secret(bytes((0, self.ins & 0xFF, 0, 0, 0)) + self.data):
            body = f"{len(self.data)} bytes hidden"
        else:
            body = f"data={self.data.hex()!r}"
        return f"CommandApdu({head}, {body}, ne={self.ne})"


def read_body(raw: bytes) -> tuple[bytes, int]:
    """Data field and Ne of a command, for readers to whom a `CommandApdu` costs too much.

    `ApduInvalid`, without quoting the command, if its lengths do not add up.
    """
    size = len(raw)
    if size < 4:
        raise ApduInvalid(f"a command APDU has at least 4 bytes, not {size}")
    if size == 4:
        return b"", 0
    length = raw[4]
    if size == 5:
        return b"", length or 256
    if length:
        if size == 5 + length:
            return raw[5:], 0
        if size == 6 + length:
            return raw[5:-1], raw[-1] or 256
        raise ApduInvalid(f"Lc does not fit the {size - 5} bytes after it")
    if size < 7:
        raise ApduInvalid("extended length field cut short")
    length = raw[5] << 8 | raw[6]
    if size == 7:
        return b"", length or 65536
    if length and size == 7 + length:
        return raw[7:], 0
    if length and size == 9 + length:
        return raw[7:-2], (raw[-2] << 8 | raw[-1]) or 65536
    raise ApduInvalid(f"extended Lc does not fit the {size - 7} bytes after it")


@dataclass(frozen=True, slots=True)
class ResponseApdu:
    """A response: ``data`` and the status word ``sw`` as a 16-bit number."""

    data: bytes
    sw: int

    @property
    def ok(self) -> bool:
        """Whether the status word is 9000."""
        return self.sw == StatusWord.SUCCESS

    def encode(self) -> bytes:
        """The bytes on the wire."""
        return self.data + self.sw.to_bytes(2, "big")

    @classmethod
    def decode(cls, raw: bytes) -> ResponseApdu:
        """Read a response; `ApduInvalid` if there is no room for a status word."""
        if len(raw) < 2:
            raise ApduInvalid(f"a response APDU has at least 2 bytes, not {len(raw)}")
        return cls(raw[:-2], raw[-2] << 8 | raw[-1])
