"""Key pairs: making and deleting them, bare signatures by authentication keys, attestation."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from ushield.iso7816.status import StatusWord
from ushield.shield.commands import KeyUsageCode
from ushield.shield.objects import (
    ChallengeToSign,
    DigestToSign,
    GenerateKey,
    decode_key_reference,
)
from ushield.virtual.applets.firmware import Firmware, refused, status_of_refusal
from ushield.virtual.applets.text import check_label
from ushield.virtual.confirmation import UsePin
from ushield.virtual.nvram import StoredKey

__all__ = ["KeyCommands"]


class KeyCommands:
    """GENERATE KEY PAIR, DELETE KEY, COMPUTE DIGITAL SIGNATURE, INTERNAL AUTHENTICATE and ATTEST.

    ``key_in_use`` tells the key of the request that may still be signed, if there is one.
    """

    def __init__(self, firmware: Firmware, key_in_use: Callable[[], int | None]) -> None:
        self._firmware = firmware
        self._key_in_use = key_in_use

    def generate(self, p1: int, p2: int, data: bytes) -> bytes:
        """Make a key pair; its directory entry."""
        asked = GenerateKey.decode(data)
        check_label(asked.label.encode())
        self._firmware.require_pin()
        self._firmware.require_own_pin()
        key = self._firmware.keys.generate(asked.algorithm, asked.usage, asked.label)
        return key.entry().encode()

    def delete(self, p1: int, p2: int, data: bytes) -> bytes:
        """Delete a key pair with its certificate."""
        reference = decode_key_reference(data)
        self._firmware.require_pin()
        if reference == self._key_in_use():
            raise refused(StatusWord.CONDITIONS_NOT_SATISFIED)
        self._firmware.keys.delete(reference)
        return b""

    def sign_digest(self, p1: int, p2: int, data: bytes) -> bytes:
        """A bare signature over the host's digest."""
        asked = DigestToSign.decode(data)
        self._authorise(asked.key_reference)
        return self._firmware.keys.sign(asked.key_reference, asked.hash, asked.digest)

    def authenticate(self, p1: int, p2: int, data: bytes) -> bytes:
        """A bare signature over the hash of the host's challenge."""
        asked = ChallengeToSign.decode(data)
        algorithm = self._authorise(asked.key_reference).algorithm.hash
        digest = hashlib.new(algorithm, asked.challenge).digest()
        return self._firmware.keys.sign(asked.key_reference, algorithm, digest)

    def _authorise(self, key_reference: int) -> StoredKey:
        key = self._firmware.nvram.key(key_reference)
        if key.usage is not KeyUsageCode.AUTHENTICATION:
            raise refused(StatusWord.CONDITIONS_NOT_SATISFIED)
        if self._firmware.panel.state.pin_unused:
            self._firmware.require_own_pin()
        refusal = self._firmware.panel.apply(UsePin())
        if refusal is not None:
            raise status_of_refusal(refusal)
        return key

    def attest(self, p1: int, p2: int, data: bytes) -> bytes:
        """A certificate by the device key: this key was made here."""
        from ushield.virtual.attestation import attest

        return attest(
            self._firmware.nvram.identity, self._firmware.nvram.key(decode_key_reference(data))
        )
