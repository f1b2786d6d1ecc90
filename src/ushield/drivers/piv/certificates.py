"""The certificates in the slots."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from contextlib import suppress

from ushield.drivers.base import CertificateInfo, KeyInfo
from ushield.drivers.link import decoded
from ushield.drivers.piv.link import PivLink
from ushield.drivers.piv.places import SLOTS, place_name
from ushield.drivers.piv.public_keys import key_id_of, public_key_in
from ushield.drivers.piv.refusals import MANAGED
from ushield.errors import (
    CapabilityMissing,
    CardError,
    CertificateInvalid,
    CertificateKeyMissing,
    InputInvalid,
    ObjectNotFound,
    ProtocolViolation,
    TokenFull,
    TransportError,
)
from ushield.piv.commands import CERTIFICATE_TAG
from ushield.piv.objects import MAX_CERTIFICATE, decode_certificate, encode_certificate

__all__ = ["CertificateCommands"]


class CertificateCommands:
    """The part of `PivDriver` about certificates.

    Each belongs to the key in its slot; there is no room for those of authorities. What was read
    is kept until it is written, or the card is reset: other programs are kept out meanwhile.
    """

    _link: PivLink
    _keys: dict[int, KeyInfo] | None
    _introduced: dict[int, KeyInfo]
    _read: dict[int, bytes]

    @abstractmethod
    def keys(self) -> tuple[KeyInfo, ...]:
        """The key pairs."""

    def certificates(self) -> tuple[CertificateInfo, ...]:
        """The certificates in the slots."""
        with self._link.connection.hold():
            found = [(slot, self._certificate_in(slot)) for slot in SLOTS]
        return tuple(
            CertificateInfo(
                slot, _key_id(der), place_name(slot), len(der), hashlib.sha256(der).digest()
            )
            for slot, der in found
            if der is not None
        )

    def read_certificate(self, slot: int) -> bytes:
        """One certificate in DER; `ObjectNotFound` for an empty slot."""
        found = self._certificate_in(slot) if slot in SLOTS else None
        if found is None:
            raise ObjectNotFound(f"no certificate in slot {place_name(slot)}")
        return found

    def write_certificate(self, der: bytes, label: str, *, is_ca: bool = False) -> int:
        """Store a certificate in the slot of its key; that slot. Wants the management key.

        It is read back; where it did not arrive, what was there before is written again.
        `CapabilityMissing` for an authority's, `CertificateKeyMissing`, `TokenFull`.
        """
        if is_ca:
            raise CapabilityMissing(
                "a PIV card has no room for the certificates of authorities",
                capability="authority-certificates",
            )
        if not der:
            raise CertificateInvalid("an empty certificate")
        if len(der) > MAX_CERTIFICATE:
            raise TokenFull(f"{len(der)} bytes; certificates of up to {MAX_CERTIFICATE} are read")
        public_key = public_key_in(der)
        slots = [key.reference for key in self.keys() if key.public_key == public_key]
        if not slots:
            raise CertificateKeyMissing("the key of this certificate is not on this card")
        slot = slots[0]
        if label not in ("", place_name(slot)):
            raise InputInvalid("a PIV card keeps no labels")
        with self._link.connection.hold():
            before = self._certificate_in(slot)
            try:
                self._put_checked(slot, der)
            except (CardError, ProtocolViolation):
                with suppress(CardError, TransportError):
                    if self._certificate_in(slot) != before:
                        self._put(slot, before or b"")
                raise
        return slot

    def delete_certificate(self, slot: int) -> None:
        """Delete one; `ObjectNotFound` for an empty slot. Wants the management key."""
        with self._link.connection.hold():
            self.read_certificate(slot)
            self._put(slot, b"")

    def _put(self, slot: int, der: bytes) -> None:
        # Held by who calls this, or another thread would read what is about to change, and keep it.
        self._read.pop(slot, None)
        self._keys = None
        self._link.put(CERTIFICATE_TAG[slot], encode_certificate(der), MANAGED)

    def _put_checked(self, slot: int, der: bytes) -> None:
        self._put(slot, der)
        if self._certificate_in(slot) != der:
            raise ProtocolViolation("the card stored another certificate than it was given")

    def _has_certificate(self, slot: int) -> bool:
        return self._certificate_in(slot) is not None

    def _delete_certificate(self, slot: int) -> None:
        if self._has_certificate(slot):
            self._put(slot, b"")

    def _certificate_in(self, slot: int) -> bytes | None:
        known = self._read.get(slot)
        if known is None:
            with self._link.connection.hold():
                try:
                    known = decoded(decode_certificate, self._link.get(CERTIFICATE_TAG[slot]))
                except ObjectNotFound:
                    known = b""
                self._read[slot] = known
        return known or None


def _key_id(certificate: bytes) -> bytes:
    public_key = public_key_in(certificate)
    # One that cannot be read belongs to a key all the same, and is no authority's.
    return (
        hashlib.sha1(certificate, usedforsecurity=False).digest()
        if public_key is None
        else key_id_of(public_key)
    )
