"""The commands about what the screen shows: requests, panel events, and the token's own log."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from ushield.drivers.base import Capability
from ushield.drivers.link import decoded
from ushield.drivers.shield.link import ShieldLink
from ushield.drivers.shield.refusals import BEGIN, REQUEST, display_refusal, refusal
from ushield.errors import DisplayRefused, ObjectNotFound, RequestUnknown
from ushield.shield.commands import CLA_VENDOR, BeginKind, DataObject, Instruction, ShieldStatus
from ushield.shield.events import PanelEvent
from ushield.shield.requests import (
    Begin,
    Begun,
    DisplayRefusal,
    RequestState,
    Signed,
    Voucher,
    encode_request_id,
)

__all__ = ["RequestCommands"]

_MAX_VOUCHERS = 0x10000


class RequestCommands:
    """The part of `ShieldDriver` about confirmation.

    Where a PIN is wanted for each signature, VERIFY and BEGIN belong together: the caller sends
    both under ``connection.hold()``.
    """

    _link: ShieldLink

    def begin(self, key_reference: int, message: bytes) -> Begun:
        """Put a transaction's message on the screen. Wants the PIN, and may use it up."""
        limit = self._link.application.max_message
        if len(message) > limit:
            raise DisplayRefused(
                f"the message has {len(message)} bytes, the token takes {limit}", reason="too-long"
            )
        return self._begin(BeginKind.TRANSACTION, key_reference, message)

    def begin_certification_request(self, key_reference: int, subject: bytes) -> Begun:
        """Put a certificate request's subject (Name, DER) on the screen. Wants the PIN."""
        return self._begin(BeginKind.CERTIFICATION_REQUEST, key_reference, subject)

    def _begin(self, kind: BeginKind, key_reference: int, message: bytes) -> Begun:
        self._link.want(Capability.DISPLAY_SIGNING)
        body = Begin(key_reference, message).encode()
        with self._link.connection.hold():  # the refusal to be read is that of this BEGIN
            response = self._link.send(Instruction.BEGIN, kind, data=body, cla=CLA_VENDOR)
            if response.sw == ShieldStatus.CANNOT_DISPLAY:
                raise display_refusal(
                    self._link.get(DataObject.LAST_REFUSAL, DisplayRefusal.decode)
                )
        if not response.ok:
            raise refusal(response.sw, BEGIN)
        return decoded(Begun.decode, response.data)

    def request_state(self, request_id: bytes) -> RequestState:
        """Where a request stands; `RequestUnknown` for one that the token does not know."""
        return decoded(RequestState.decode, self._request(Instruction.REQUEST_STATE, request_id))

    def finish(self, request_id: bytes) -> Signed:
        """Fetch the signature of a confirmed request, once; else the `ConfirmationError` that it
        came to, or `RequestPending`.
        """
        return decoded(Signed.decode, self._request(Instruction.SIGN, request_id))

    def cancel(self, request_id: bytes) -> None:
        """Take a request off the screen; harmless if it has ended."""
        with suppress(RequestUnknown):
            self._request(Instruction.CANCEL, request_id)

    def _request(self, instruction: Instruction, request_id: bytes) -> bytes:
        data = encode_request_id(request_id)
        return self._link.ask(instruction, data=data, cla=CLA_VENDOR, meanings=REQUEST)

    def panel_event(self, timeout: float) -> PanelEvent | None:
        """The panel's next event, or ``None`` after ``timeout`` seconds."""
        self._link.want(Capability.PANEL_EVENTS)
        report = self._link.connection.read_panel(timeout)
        return None if report is None else PanelEvent.decode(report)

    def vouchers(self) -> Iterator[Voucher]:
        """The token's own log, newest first. Wants the PIN."""
        self._link.want(Capability.VOUCHERS)
        return self._vouchers()

    def _vouchers(self) -> Iterator[Voucher]:
        last: int | None = None
        for number in range(_MAX_VOUCHERS):
            p1, p2 = divmod(number, 0x100)
            try:
                answer = self._link.ask(Instruction.READ_VOUCHER, p1, p2, cla=CLA_VENDOR)
            except ObjectNotFound:
                return
            voucher = decoded(Voucher.decode, answer)
            # A signature made meanwhile shifts the numbers, and one voucher comes twice.
            if last is None or voucher.counter < last:
                yield voucher
                last = voucher.counter
