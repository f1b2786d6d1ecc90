"""PIN and PUK through PIV: the token's own, on the wire filled up with FF to eight bytes."""

from __future__ import annotations

from ushield.errors import PinIncorrect, PinLocked
from ushield.iso7816.status import StatusWord
from ushield.pin import PinReference
from ushield.piv.commands import PIN_SIZE, Reference
from ushield.virtual.applets.firmware import refused
from ushield.virtual.applets.piv.session import PivSession
from ushield.virtual.confirmation import PinForgotten
from ushield.virtual.nvram import SecretHash, StoredReference

__all__ = ["PinCommands"]

_FORGET = 0xFF
_FILLER = b"\xff"
_REFERENCES = {Reference.PIN: PinReference.USER, Reference.PUK: PinReference.PUK}
_FIRST_PIN = b"123456"
_FIRST_PUK = b"12345678"
_MOST_TRIES = 15


class PinCommands:
    """VERIFY, CHANGE REFERENCE DATA, RESET RETRY COUNTER, SET RETRIES and RESET."""

    def __init__(self, session: PivSession) -> None:
        self._session = session
        self._firmware = session.firmware
        self._pins = session.firmware.pins

    def verify(self, p1: int, p2: int, data: bytes) -> bytes:
        """Prove the PIN; without data ask about it or, with P1 FF, forget it."""
        if p2 != Reference.PIN:
            raise refused(StatusWord.REFERENCED_DATA_NOT_FOUND)
        if p1 == _FORGET and not data:
            self._session.forget_pin()
        elif p1:
            raise refused(StatusWord.WRONG_PARAMETERS)
        elif data:
            self._prove(_unfilled(data))
        elif not self._session.pin_verified:
            tries_left = self._pins.state(PinReference.USER).tries_left
            if not tries_left:
                raise PinLocked(reference=PinReference.USER.value)
            raise PinIncorrect(reference=PinReference.USER.value, tries_left=tries_left)
        return b""

    def _prove(self, pin: bytes) -> None:
        session = self._session
        try:
            if pin:
                self._pins.verify(PinReference.USER, pin)
            else:
                self._pins.miss(PinReference.USER)
        except (PinIncorrect, PinLocked):
            self._forget_everywhere()
            raise
        session.pin_verified = session.pin_unused = True
        session.prove()

    def _forget_everywhere(self) -> None:
        """A wrong PIN ends what the right one began, for both applications of the card."""
        self._session.forget_pin()
        self._firmware.panel.apply(PinForgotten())

    def change(self, p1: int, p2: int, data: bytes) -> bytes:
        """Replace the PIN or the PUK by proving the old one."""
        if p1:
            raise refused(StatusWord.WRONG_PARAMETERS)
        if p2 not in (Reference.PIN, Reference.PUK):
            raise refused(StatusWord.REFERENCED_DATA_NOT_FOUND)
        reference = _REFERENCES[Reference(p2)]
        old, new = _both(data)
        try:
            if old:
                self._pins.change(reference, old, new)
            else:
                self._pins.miss(reference)
        except (PinIncorrect, PinLocked):
            if reference is PinReference.USER:
                self._forget_everywhere()
            raise
        return b""

    def reset_retry_counter(self, p1: int, p2: int, data: bytes) -> bytes:
        """Set a new PIN with all its tries by proving the PUK."""
        if p1:
            raise refused(StatusWord.WRONG_PARAMETERS)
        if p2 != Reference.PIN:
            raise refused(StatusWord.REFERENCED_DATA_NOT_FOUND)
        puk, new = _both(data)
        if puk:
            self._pins.unblock(puk, new)
        else:
            self._pins.miss(PinReference.PUK)
        return b""

    def set_retries(self, p1: int, p2: int, data: bytes) -> bytes:
        """Limit the tries of PIN and PUK, which stay what they are."""
        self._session.require_administrator()
        self._session.require_pin()
        if not (1 <= p1 <= _MOST_TRIES and 1 <= p2 <= _MOST_TRIES):
            raise refused(StatusWord.WRONG_DATA)
        self._firmware.nvram.limit_tries(p1, p2)
        return b""

    def reset(self, p1: int, p2: int, data: bytes) -> bytes:
        """Make the application as new once PIN and PUK are both blocked.

        They get the values that every PIV tool knows. So nothing may be on the token that those
        would open: a token with keys of the shield applet is not reset by this.
        """
        if any(self._pins.state(reference).tries_left for reference in PinReference):
            raise refused(StatusWord.CONDITIONS_NOT_SATISFIED)
        nvram = self._firmware.nvram
        if nvram.keys():
            raise refused(StatusWord.CONDITIONS_NOT_SATISFIED)
        rules = self._firmware.profile.pin_rules
        nvram.reset_piv(
            _to_change(_FIRST_PIN, rules.max_tries), _to_change(_FIRST_PUK, rules.puk_max_tries)
        )
        self._session.forget()
        return b""


def _unfilled(data: bytes) -> bytes:
    """A secret without its filling; empty for FF alone, as tools send it to block a PIN."""
    if len(data) != PIN_SIZE:
        raise refused(StatusWord.WRONG_DATA)
    return data.rstrip(_FILLER)


def _to_change(secret: bytes, tries: int) -> StoredReference:
    return StoredReference(SecretHash.of(secret), tries, tries, must_change=True)


def _both(data: bytes) -> tuple[bytes, bytes]:
    return _unfilled(data[:PIN_SIZE]), _unfilled(data[PIN_SIZE:])
