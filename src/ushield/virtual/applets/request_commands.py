"""Requests from BEGIN to SIGN, and the vouchers of what was signed."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ushield.cms import der
from ushield.errors import DisplayRefused, MessageInvalid
from ushield.iso7816.status import StatusWord
from ushield.shield.commands import REQUEST_ID_SIZE, BeginKind, KeyUsageCode, ShieldStatus
from ushield.shield.requests import (
    Begin,
    Begun,
    DisplayRefusal,
    RefusalReason,
    RequestState,
    Signed,
    decode_request_id,
)
from ushield.transaction.message import Field, parse_message
from ushield.transaction.pages import Page, lay_out, pages_digest
from ushield.virtual.applets.firmware import Firmware, refused, status_of_refusal
from ushield.virtual.applets.text import certification_fields
from ushield.virtual.confirmation import Cancel, Refusal, Request
from ushield.virtual.nvram import StoredKey

if TYPE_CHECKING:
    from ushield.cms.receipt import Receipt

__all__ = ["RequestCommands"]

_REASON = {
    "malformed": RefusalReason.MALFORMED,
    "glyph": RefusalReason.GLYPH,
    "too-long": RefusalReason.TOO_LONG,
}


@dataclass(frozen=True, slots=True)
class _Pending:
    """What waits for OK. ``certificate`` (DER) is empty for a certification request."""

    key: StoredKey
    message: bytes
    certificate: bytes
    pages: tuple[Page, ...]


class RequestCommands:
    """BEGIN, REQUEST STATE, SIGN, CANCEL and READ VOUCHER."""

    def __init__(self, firmware: Firmware) -> None:
        self._firmware = firmware
        self._pending: _Pending | None = None
        self._refusal: DisplayRefusal | None = None

    def forget(self) -> None:
        """Power is gone, and what waited for OK with it."""
        self._pending = None
        self._refusal = None

    def last_refusal(self) -> DisplayRefusal | None:
        """Why the last BEGIN was answered 9504; ``None`` if it was not."""
        return self._refusal

    def key_in_use(self) -> int | None:
        """The key of the request that is on the screen or confirmed; ``None`` without one."""
        if self._pending is None or self._firmware.panel.state.live_request is None:
            return None
        return self._pending.key.reference

    def begin(self, p1: int, p2: int, data: bytes) -> bytes:
        """Put a message, or a certification request, on the screen."""
        if p2 or p1 not in tuple(BeginKind):
            raise refused(StatusWord.WRONG_PARAMETERS)
        asked = Begin.decode(data)
        firmware = self._firmware
        key = firmware.nvram.key(asked.key_reference)
        if p1 == BeginKind.TRANSACTION and key.usage is not KeyUsageCode.DISPLAY:
            raise refused(StatusWord.CONDITIONS_NOT_SATISFIED)
        refusal = firmware.panel.refuse_begin()
        if refusal is not None:
            raise status_of_refusal(refusal)
        firmware.require_own_pin()
        certificate = self._certificate(key) if p1 == BeginKind.TRANSACTION else b""
        pages = self._draw(p1, key, asked.message)
        request_id = os.urandom(REQUEST_ID_SIZE)
        refusal = firmware.panel.begin(request_id, pages)
        if refusal is not None:
            raise status_of_refusal(refusal)
        self._refusal = None
        self._pending = _Pending(key, asked.message, certificate, pages)
        return Begun(request_id, len(pages), firmware.profile.timeout).encode()

    def _certificate(self, key: StoredKey) -> bytes:
        for one in self._firmware.nvram.certificates():
            if one.key_id == key.key_id:
                return one.der
        raise refused(StatusWord.REFERENCED_DATA_NOT_FOUND)

    def _draw(self, kind: int, key: StoredKey, message: bytes) -> tuple[Page, ...]:
        try:
            return lay_out(self._fields(kind, key, message), self._firmware.screen)
        except MessageInvalid:
            self._refusal = DisplayRefusal(RefusalReason.MALFORMED)
        except DisplayRefused as error:
            code_point = ord(error.character) if error.character else 0
            self._refusal = DisplayRefusal(_REASON[error.reason], code_point)
        raise refused(ShieldStatus.CANNOT_DISPLAY)

    def _fields(self, kind: int, key: StoredKey, message: bytes) -> tuple[Field, ...]:
        if len(message) > self._firmware.profile.max_message:
            raise DisplayRefused("a message too long for this token", reason="too-long")
        if kind == BeginKind.TRANSACTION:
            return parse_message(message).shown
        fingerprint = hashlib.sha256(key.public_key).digest()
        return certification_fields(message, fingerprint, self._firmware.screen.repertoire)

    def state(self, p1: int, p2: int, data: bytes) -> bytes:
        """Where a request stands."""
        request_id = decode_request_id(data)
        request = self._firmware.panel.state.request
        if request is None or request.request_id != request_id:
            raise status_of_refusal(Refusal.UNKNOWN)
        left = request.deadline - self._firmware.clock.monotonic() if request.live else 0.0
        return RequestState(
            request.stage, request.page, request.pages, max(0, round(left * 1000))
        ).encode()

    def cancel(self, p1: int, p2: int, data: bytes) -> bytes:
        """Take a request off the screen."""
        refusal = self._firmware.panel.apply(Cancel(decode_request_id(data)))
        if refusal is not None:
            raise status_of_refusal(refusal)
        return b""

    def sign(self, p1: int, p2: int, data: bytes) -> bytes:
        """The signature of a confirmed request, once."""
        taken = self._firmware.panel.take(decode_request_id(data))
        if isinstance(taken, Refusal):
            raise status_of_refusal(taken)
        pending, self._pending = self._pending, None
        if pending is None:
            raise status_of_refusal(Refusal.UNKNOWN)
        signed = self._attributes(pending, taken) if pending.certificate else _request(pending)
        algorithm = pending.key.algorithm.hash
        digest = hashlib.new(algorithm, signed).digest()
        signature = self._firmware.keys.sign(pending.key.reference, algorithm, digest)
        return Signed(signed, signature).encode()

    def _attributes(self, pending: _Pending, request: Request) -> bytes:
        """The signed attributes; counter and voucher are on the disk before there are any."""
        from ushield.cms.attributes import signed_attributes

        firmware = self._firmware
        counter = firmware.nvram.record_signature(
            pending.key.reference, pending.message, round(firmware.clock.time() * 1000)
        )
        return signed_attributes(
            pending.message,
            pending.certificate,
            self._receipt(pending, request, counter),
            pending.key.algorithm.hash,
        )

    def _receipt(self, pending: _Pending, request: Request, counter: int) -> Receipt:
        from ushield.cms.receipt import Receipt

        screen = self._firmware.screen
        return Receipt(
            serial=self._firmware.nvram.identity.serial,
            request_id=request.request_id,
            counter=counter,
            pages_digest=pages_digest(pending.pages),
            milliseconds=round((request.pressed - request.begun) * 1000),
            lines=screen.lines,
            columns=screen.columns,
            repertoire=screen.repertoire.value,
            banner=screen.banner,
            virtual=True,
        )

    def voucher(self, p1: int, p2: int, data: bytes) -> bytes:
        """The record P1P2 signatures ago."""
        self._firmware.require_pin()
        return self._firmware.nvram.voucher(p1 << 8 | p2).encode()


def _request(pending: _Pending) -> bytes:
    """CertificationRequestInfo (RFC 2986, 4.1): version 0, subject, key, no attributes."""
    return der.sequence(der.integer(0), pending.message, pending.key.public_key, der.tagged(0xA0))
