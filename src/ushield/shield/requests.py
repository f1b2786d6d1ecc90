"""A request on the token's screen, from BEGIN to SIGN; vouchers; remote unblock."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from ushield.errors import TlvInvalid
from ushield.iso7816.tlv import encode, read_template
from ushield.shield.commands import REQUEST_ID_SIZE, UNBLOCK_NONCE_SIZE

__all__ = [
    "Begin",
    "Begun",
    "DisplayRefusal",
    "RefusalReason",
    "RequestStage",
    "RequestState",
    "Signed",
    "UnblockChallenge",
    "UnblockResponse",
    "Voucher",
    "decode_request_id",
    "encode_request_id",
]


_YEAR_10000 = 253_402_300_800_000
"""In milliseconds since 1970: where ISO 8601's four digits end."""


class RequestStage(IntEnum):
    """Where a request stands. All but ``SHOWING`` and ``CONFIRMED`` are final."""

    SHOWING = 0x00
    CONFIRMED = 0x01
    REJECTED = 0x02
    TIMED_OUT = 0x03
    CANCELLED = 0x04
    SIGNED = 0x05


class RefusalReason(IntEnum):
    """Why a message was not put on the screen."""

    MALFORMED = 0x01
    GLYPH = 0x02
    TOO_LONG = 0x03


def encode_request_id(request_id: bytes) -> bytes:
    """The data field of REQUEST STATE, SIGN and CANCEL: the id in 80."""
    return encode(0x80, request_id)


def decode_request_id(data: bytes) -> bytes:
    """The id that `encode_request_id` wrote; `TlvInvalid` unless it has 8 bytes."""
    template = read_template(data, "request id")
    request_id = _sized(template.take(0x80), REQUEST_ID_SIZE, "request id")
    template.finish()
    return request_id


def _sized(value: bytes, size: int, what: str) -> bytes:
    if len(value) != size:
        raise TlvInvalid(f"{what}: {len(value)} bytes, not {size}")
    return value


@dataclass(frozen=True, slots=True)
class Begin:
    """The data field of BEGIN: key 84, and 53 with the whole message.

    For a certification request, ``message`` is the subject's Name in DER.
    """

    key_reference: int
    message: bytes

    def encode(self) -> bytes:
        """The two objects."""
        return encode(0x84, bytes((self.key_reference,))) + encode(0x53, self.message)

    @classmethod
    def decode(cls, data: bytes) -> Begin:
        """Read the data field; `TlvInvalid` for another form."""
        template = read_template(data, "begin")
        begin = cls(template.take_int(0x84, 1), template.take(0x53))
        template.finish()
        return begin


@dataclass(frozen=True, slots=True)
class Begun:
    """The answer to BEGIN: a random one-shot id, how many pages, seconds until it times out."""

    request_id: bytes
    pages: int
    timeout: int

    def encode(self) -> bytes:
        """80 id, 81 pages, 82 seconds."""
        return (
            encode(0x80, self.request_id)
            + encode(0x81, bytes((self.pages,)))
            + encode(0x82, bytes((self.timeout,)))
        )

    @classmethod
    def decode(cls, data: bytes) -> Begun:
        """Read the answer; `TlvInvalid` for another form."""
        template = read_template(data, "request")
        begun = cls(
            _sized(template.take(0x80), REQUEST_ID_SIZE, "request id"),
            template.take_int(0x81, 1),
            template.take_int(0x82, 1),
        )
        template.finish()
        if not begun.pages:
            raise TlvInvalid("request: on no page")
        return begun


@dataclass(frozen=True, slots=True)
class RequestState:
    """The answer to REQUEST STATE. ``page`` counts from 1; ``time_left`` in milliseconds."""

    stage: RequestStage
    page: int
    pages: int
    time_left: int

    def encode(self) -> bytes:
        """80 stage, 81 page, 82 pages, 83 milliseconds."""
        return (
            encode(0x80, bytes((self.stage,)))
            + encode(0x81, bytes((self.page,)))
            + encode(0x82, bytes((self.pages,)))
            + encode(0x83, self.time_left.to_bytes(4, "big"))
        )

    @classmethod
    def decode(cls, data: bytes) -> RequestState:
        """Read the answer; `TlvInvalid` for another form."""
        template = read_template(data, "request state")
        code = template.take_int(0x80, 1)
        try:
            stage = RequestStage(code)
        except ValueError as error:
            raise TlvInvalid(f"unknown request stage {code:02X}") from error
        state = cls(
            stage,
            template.take_int(0x81, 1),
            template.take_int(0x82, 1),
            template.take_int(0x83, 4),
        )
        template.finish()
        if not 1 <= state.page <= state.pages:
            raise TlvInvalid(f"request state: page {state.page} of {state.pages}")
        return state


@dataclass(frozen=True, slots=True)
class DisplayRefusal:
    """`DataObject.LAST_REFUSAL`: why the last BEGIN was refused, and on which code point."""

    reason: RefusalReason
    code_point: int = 0

    def encode(self) -> bytes:
        """80 reason, 81 code point."""
        return encode(0x80, bytes((self.reason,))) + encode(
            0x81, self.code_point.to_bytes(4, "big")
        )

    @classmethod
    def decode(cls, data: bytes) -> DisplayRefusal:
        """Read the object; `TlvInvalid` for another form."""
        template = read_template(data, "refusal")
        code = template.take_int(0x80, 1)
        try:
            reason = RefusalReason(code)
        except ValueError as error:
            raise TlvInvalid(f"unknown refusal {code:02X}") from error
        code_point = template.take_int(0x81, 4)
        template.finish()
        if code_point > 0x10FFFF or 0xD800 <= code_point <= 0xDFFF:
            raise TlvInvalid("refusal: no such character")
        return cls(reason, code_point)


@dataclass(frozen=True, slots=True)
class Signed:
    """The answer to SIGN. ``signed`` is what the token built and signed, in DER: the SET OF signed
    attributes (RFC 5652, 5.4), or a CertificationRequestInfo (RFC 2986, 4.1).
    """

    signed: bytes
    signature: bytes

    def encode(self) -> bytes:
        """80 signed bytes, 81 signature."""
        return encode(0x80, self.signed) + encode(0x81, self.signature)

    @classmethod
    def decode(cls, data: bytes) -> Signed:
        """Read the answer; `TlvInvalid` for another form."""
        template = read_template(data, "signature")
        signed = cls(template.take(0x80), template.take(0x81))
        template.finish()
        if not signed.signed or not signed.signature:
            raise TlvInvalid("signature: empty")
        return signed


@dataclass(frozen=True, slots=True)
class Voucher:
    """The token's own record of a signature. ``time`` is the token's clock, in milliseconds since
    1970 (UTC); ``counter`` the signature counter; ``message`` the bytes shown and signed.
    """

    counter: int
    time: int
    key_reference: int
    message: bytes

    def encode(self) -> bytes:
        """80 counter, 81 time, 82 key, 53 message."""
        return (
            encode(0x80, self.counter.to_bytes(4, "big"))
            + encode(0x81, self.time.to_bytes(8, "big"))
            + encode(0x82, bytes((self.key_reference,)))
            + encode(0x53, self.message)
        )

    @classmethod
    def decode(cls, data: bytes) -> Voucher:
        """Read the answer to READ VOUCHER; `TlvInvalid` for another form."""
        template = read_template(data, "voucher")
        voucher = cls(
            template.take_int(0x80, 4),
            template.take_int(0x81, 8),
            template.take_int(0x82, 1),
            template.take(0x53),
        )
        template.finish()
        if voucher.time >= _YEAR_10000:
            raise TlvInvalid("voucher: of a time after the year 9999")
        return voucher


@dataclass(frozen=True, slots=True)
class UnblockChallenge:
    """What the bank signs to unblock a PIN: bound to this token, and to how often it was done.

    ``proof`` is the device key's signature over `claim` (ECDSA, SHA-256, DER), by tokens that
    attest their keys.
    """

    serial: str
    nonce: bytes
    counter: int
    proof: bytes | None = None

    @property
    def claim(self) -> bytes:
        """What the device key signs: no certificate, the other thing it signs, begins so."""
        return b"ushield unblock challenge 1\0" + self._told

    def encode(self) -> bytes:
        """80 serial, 81 nonce, 82 counter, 83 proof if there is one: the very bytes that the bank
        signs (ECDSA, SHA-256).
        """
        return self._told if self.proof is None else self._told + encode(0x83, self.proof)

    @property
    def _told(self) -> bytes:
        return (
            encode(0x80, self.serial.encode())
            + encode(0x81, self.nonce)
            + encode(0x82, self.counter.to_bytes(4, "big"))
        )

    @classmethod
    def decode(cls, data: bytes) -> UnblockChallenge:
        """Read the answer to UNBLOCK CHALLENGE; `TlvInvalid` for another form."""
        template = read_template(data, "unblock challenge")
        challenge = cls(
            template.take_text(0x80),
            _sized(template.take(0x81), UNBLOCK_NONCE_SIZE, "nonce"),
            template.take_int(0x82, 4),
            template.take_optional(0x83),
        )
        template.finish()
        return challenge


@dataclass(frozen=True, slots=True)
class UnblockResponse:
    """The data field of UNBLOCK: the bank's signature and the new PIN (never shown)."""

    signature: bytes
    new_pin: bytes

    def encode(self) -> bytes:
        """80 signature, 81 new PIN."""
        return encode(0x80, self.signature) + encode(0x81, self.new_pin)

    @classmethod
    def decode(cls, data: bytes) -> UnblockResponse:
        """Read the data field; `TlvInvalid` for another form."""
        template = read_template(data, "unblock")
        response = cls(template.take(0x80), template.take(0x81))
        template.finish()
        return response

    def __repr__(self) -> str:
        return "UnblockResponse(hidden)"
