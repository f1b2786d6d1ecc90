"""The commands that carry a PIN or a PUK, and remote unblock by the bank."""

from __future__ import annotations

import os
from dataclasses import replace

from ushield.errors import PinIncorrect, PinLocked
from ushield.iso7816.status import StatusWord
from ushield.pin import PinReference
from ushield.shield.commands import PIN_REFERENCE_CODE, UNBLOCK_NONCE_SIZE, VERIFY_FORGET
from ushield.shield.pins import decode_change
from ushield.shield.requests import UnblockChallenge, UnblockResponse
from ushield.virtual.applets.firmware import Firmware, refused
from ushield.virtual.confirmation import PinForgotten, PinVerified

__all__ = ["PinCommands"]

_REFERENCE_OF_CODE = {code: reference for reference, code in PIN_REFERENCE_CODE.items()}
_USER = PIN_REFERENCE_CODE[PinReference.USER]


class PinCommands:
    """VERIFY, CHANGE REFERENCE DATA, RESET RETRY COUNTER, UNBLOCK CHALLENGE and UNBLOCK."""

    def __init__(self, firmware: Firmware) -> None:
        self._firmware = firmware
        self._challenge: UnblockChallenge | None = None

    def forget(self) -> None:
        """Power is gone, and the outstanding challenge with it."""
        self._challenge = None

    def verify(self, p1: int, p2: int, data: bytes) -> bytes:
        """Prove the user's PIN; without data ask about it or, with P1 FF, forget it."""
        if p2 != _USER or p1 not in (0, VERIFY_FORGET):
            raise refused(StatusWord.WRONG_PARAMETERS)
        if p1 == VERIFY_FORGET:
            if data:
                raise refused(StatusWord.WRONG_LENGTH)
            self._firmware.panel.apply(PinForgotten())
        elif data:
            self._prove(data)
        else:
            self._tell_state()
        return b""

    def _prove(self, pin: bytes) -> None:
        panel = self._firmware.panel
        try:
            self._firmware.pins.verify(PinReference.USER, pin)
        except (PinIncorrect, PinLocked):
            panel.apply(PinForgotten())
            raise
        panel.apply(PinVerified())

    def _tell_state(self) -> None:
        if self._firmware.panel.state.pin_unused:
            return
        tries_left = self._firmware.nvram.reference(PinReference.USER).tries_left
        if not tries_left:
            raise PinLocked(reference=PinReference.USER.value)
        raise PinIncorrect(reference=PinReference.USER.value, tries_left=tries_left)

    def change(self, p1: int, p2: int, data: bytes) -> bytes:
        """Replace the PIN or the PUK by proving the old one."""
        reference = _REFERENCE_OF_CODE.get(p2)
        if p1 or reference is None:
            raise refused(StatusWord.WRONG_PARAMETERS)
        old, new = decode_change(data)
        try:
            self._firmware.pins.change(reference, old, new)
        except (PinIncorrect, PinLocked):
            if reference is PinReference.USER:
                self._firmware.panel.apply(PinForgotten())
            raise
        return b""

    def reset_retry_counter(self, p1: int, p2: int, data: bytes) -> bytes:
        """Set a new PIN with all its tries by proving the PUK."""
        if p1 or p2 != _USER:
            raise refused(StatusWord.WRONG_PARAMETERS)
        puk, new = decode_change(data)
        self._firmware.pins.unblock(puk, new)
        return b""

    def unblock_challenge(self, p1: int, p2: int, data: bytes) -> bytes:
        """What the bank must sign to unblock this token this time."""
        nvram = self._firmware.nvram
        if nvram.identity.unblock_key is None:
            raise refused(StatusWord.REFERENCE_DATA_NOT_USABLE)
        if data:
            raise refused(StatusWord.WRONG_LENGTH)
        from ushield.virtual.attestation import prove

        told = UnblockChallenge(
            nvram.identity.serial, os.urandom(UNBLOCK_NONCE_SIZE), nvram.counters().unblocks
        )
        self._challenge = replace(told, proof=prove(nvram.identity, told.claim))
        return self._challenge.encode()

    def unblock(self, p1: int, p2: int, data: bytes) -> bytes:
        """Set a new PIN with all its tries by the bank's signature over the last challenge."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.serialization import load_der_public_key

        unblock_key = self._firmware.nvram.identity.unblock_key
        if unblock_key is None:
            raise refused(StatusWord.REFERENCE_DATA_NOT_USABLE)
        response = UnblockResponse.decode(data)
        # First, so that a new PIN which is refused costs nobody another way to the bank.
        self._firmware.profile.pin_rules.check_new(response.new_pin, PinReference.USER)
        challenge, self._challenge = self._challenge, None
        if challenge is None:
            raise refused(StatusWord.CONDITIONS_NOT_SATISFIED)
        public_key = load_der_public_key(unblock_key)
        if not isinstance(public_key, ec.EllipticCurvePublicKey):
            raise refused(StatusWord.REFERENCE_DATA_NOT_USABLE)
        try:
            public_key.verify(response.signature, challenge.encode(), ec.ECDSA(SHA256()))
        except InvalidSignature:
            raise refused(StatusWord.WRONG_DATA) from None
        self._firmware.pins.unblock_by_bank(response.new_pin)
        return b""
