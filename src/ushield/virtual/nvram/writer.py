"""The NVRAM as the token's firmware writes it: each method one transaction, or none."""

from __future__ import annotations

import os
from itertools import chain

from ushield.errors import TokenFull
from ushield.pin import PinReference
from ushield.virtual.nvram.file import place
from ushield.virtual.nvram.records import (
    ChannelKey,
    ManagementKey,
    Personalisation,
    PivKey,
    SecretHash,
    StoredKey,
    StoredReference,
)
from ushield.virtual.nvram.schema import FIRST_MANAGEMENT_KEY, blank_image
from ushield.virtual.nvram.transactions import NvramFile, Statement

__all__ = ["Nvram"]

_REFERENCES = range(1, 256)
_MOST_PIV_OBJECTS = 64
_RESTORE = "UPDATE secret SET tries_left = max_tries WHERE reference = ?"
_REPLACE = (
    "UPDATE secret SET salt = ?, hash = ?, must_change = 0, tries_left = max_tries"
    " WHERE reference = ?"
)


class Nvram(NvramFile):
    """A token's memory. What a method changes is durable when it returns; see `NvramFile`."""

    @staticmethod
    def create(path: str | os.PathLike[str], personalisation: Personalisation) -> None:
        """Make a token file: complete or not at all, never over another file.

        `TokenFileInvalid` if something is there already; `StorageFull`.
        """
        place(path, blank_image(personalisation))

    def spend_try(self, reference: PinReference) -> None:
        """Take one try away."""
        self._write(
            (
                "UPDATE secret SET tries_left = tries_left - 1 WHERE reference = ?",
                (reference.value,),
            )
        )

    def restore_tries(self, reference: PinReference) -> None:
        """Give all tries back."""
        self._write((_RESTORE, (reference.value,)), completing=True)

    def replace_secret(self, reference: PinReference, secret: SecretHash) -> None:
        """Set a new PIN or PUK, its owner's own, and give all its tries back."""
        self._write(_replacement(reference, secret), completing=True)

    def unblock(self, user: SecretHash) -> None:
        """Set a new PIN by the right PUK: all tries of both are back."""
        self._write(
            _replacement(PinReference.USER, user),
            (_RESTORE, (PinReference.PUK.value,)),
            completing=True,
        )

    def unblock_by_bank(self, user: SecretHash) -> None:
        """Set a new PIN by the bank's signature: its tries are back, and the unblock is counted."""
        self._write(
            _replacement(PinReference.USER, user),
            ("UPDATE counter SET unblocks = unblocks + 1", ()),
        )

    def set_channel_key(self, key: ChannelKey) -> None:
        """Store the key for secure channels, of a token that has none yet."""
        self._write(
            ("INSERT INTO channel_key VALUES (1, ?, ?)", (key.private_key, key.certificate))
        )

    def free_key_reference(self) -> int:
        """The reference for the next key: the first free one after the last; `TokenFull`.

        They go up to 255 and begin again at 1, so that a reference in a voucher, or in the hands
        of a host that has not looked again, does not soon mean another key.
        """
        taken = {key.reference for key in self.keys()}
        if len(taken) >= self.profile.max_keys:
            raise TokenFull(f"the token holds {self.profile.max_keys} keys")
        last = self.last_key_reference()
        round_from_last = chain(range(last + 1, _REFERENCES.stop), _REFERENCES)
        return next(reference for reference in round_from_last if reference not in taken)

    def add_key(self, key: StoredKey) -> None:
        """Store a key pair under a reference that is free; it is the last key made from now on."""
        self._write(
            (
                "INSERT INTO key VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    key.reference,
                    key.algorithm.value,
                    int(key.usage),
                    key.key_id,
                    key.label,
                    key.public_key,
                    key.private_key,
                ),
            ),
            ("UPDATE counter SET last_key_reference = ?", (key.reference,)),
        )

    def delete_key(self, reference: int) -> None:
        """Delete a key pair and its certificate; `ObjectNotFound`."""
        key = self.key(reference)
        self._write(
            ("DELETE FROM key WHERE reference = ?", (reference,)),
            ("DELETE FROM certificate WHERE key_id = ?", (key.key_id,)),
        )

    def put_certificate(
        self,
        der: bytes,
        *,
        slot: int = 0,
        key_id: bytes = b"",
        label: str = "",
        is_ca: bool = False,
    ) -> int:
        """Store a certificate in place of what ``slot`` holds; the slot.

        Slot 0 stands for the one that has the same key's certificate, or else a free one.
        `TokenFull` where there is no such slot, or the certificate is too large for the profile.
        """
        if len(der) > self.profile.max_certificate:
            raise TokenFull(f"a certificate has at most {self.profile.max_certificate} bytes here")
        if not 0 <= slot <= self.profile.max_certificates:
            raise TokenFull(f"the token has {self.profile.max_certificates} certificate slots")
        slot = slot or self._certificate_slot(b"" if is_ca else key_id)
        self._write(
            (
                "INSERT OR REPLACE INTO certificate VALUES (?, ?, ?, ?, ?)",
                (slot, key_id, label, int(is_ca), der),
            )
        )
        return slot

    def _certificate_slot(self, key_id: bytes) -> int:
        certificates = self.certificates()
        for certificate in certificates:
            if key_id and certificate.key_id == key_id and not certificate.is_ca:
                return certificate.slot
        used = {certificate.slot for certificate in certificates}
        for slot in range(1, self.profile.max_certificates + 1):
            if slot not in used:
                return slot
        raise TokenFull(f"the token holds {self.profile.max_certificates} certificates")

    def delete_certificate(self, slot: int) -> None:
        """Delete one; `ObjectNotFound`."""
        self.certificate(slot)
        self._write(("DELETE FROM certificate WHERE slot = ?", (slot,)))

    def set_label(self, label: str) -> None:
        """Name the token."""
        # It may not have been read at all since the last change. Whoever hears of the commit reads
        # the new one.
        self.__dict__.pop("identity", None)
        self._write(("UPDATE identity SET label = ?", (label,)))

    def record_signature(self, key_reference: int, message: bytes, time: int) -> int:
        """Count a signature and keep its voucher, in one commit; the new counter.

        ``time`` in milliseconds since 1970, UTC. The profile says how many vouchers are kept.
        """
        counter = self.counters().signatures + 1
        self._write(
            ("UPDATE counter SET signatures = ?", (counter,)),
            (
                "INSERT OR REPLACE INTO voucher VALUES (?, ?, ?, ?, ?)",
                (counter % self.profile.vouchers, counter, time, key_reference, message),
            ),
        )
        return counter

    def limit_tries(self, user: int, puk: int) -> None:
        """Set how many tries there are at most: all of them for the PIN, which its owner has just
        proven, and for the PUK as many as there were, or fewer.
        """
        self._write(
            (
                "UPDATE secret SET max_tries = ?1, tries_left = ?1 WHERE reference = ?2",
                (user, PinReference.USER.value),
            ),
            (
                "UPDATE secret SET max_tries = ?1, tries_left = min(tries_left, ?1)"
                " WHERE reference = ?2",
                (puk, PinReference.PUK.value),
            ),
        )

    def put_piv_key(self, key: PivKey) -> None:
        """Store a PIV key pair in place of what its slot holds."""
        self._write(
            (
                "INSERT OR REPLACE INTO piv_key VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    key.slot,
                    key.algorithm.value,
                    int(key.pin_policy),
                    int(key.touch_policy),
                    int(key.generated),
                    key.public_key,
                    key.private_key,
                ),
            )
        )

    def delete_piv_key(self, slot: int) -> None:
        """Delete one; `ObjectNotFound`."""
        self.piv_key(slot)
        self._write(("DELETE FROM piv_key WHERE slot = ?", (slot,)))

    def move_piv_key(self, source: int, target: int) -> None:
        """Give one another slot, which must be free; `ObjectNotFound`."""
        self.piv_key(source)
        self._write(("UPDATE piv_key SET slot = ? WHERE slot = ?", (target, source)))

    def put_piv_object(self, tag: int, value: bytes) -> None:
        """Store a PIV data object in place of the one with this tag; `TokenFull`."""
        limit = self.profile.max_certificate
        if len(value) > limit:
            raise TokenFull(f"a PIV object has at most {limit} bytes here")
        tags = self.piv_objects()
        if tag not in tags and len(tags) >= _MOST_PIV_OBJECTS:
            raise TokenFull(f"the token holds {_MOST_PIV_OBJECTS} PIV objects")
        self._write(("INSERT OR REPLACE INTO piv_object VALUES (?, ?)", (tag, value)))

    def delete_piv_object(self, tag: int) -> None:
        """Delete one, if it is there."""
        self._write(("DELETE FROM piv_object WHERE tag = ?", (tag,)))

    def set_management_key(self, management: ManagementKey) -> None:
        """Replace the PIV application's management key."""
        self._write(_management(management))

    def reset_piv(self, user: StoredReference, puk: StoredReference) -> None:
        """Make the PIV application as new, with this PIN and this PUK."""
        self._write_much(
            ("DELETE FROM piv_key", ()),
            ("DELETE FROM piv_object", ()),
            _management(FIRST_MANAGEMENT_KEY),
            *(
                (
                    "UPDATE secret SET salt = ?, hash = ?, tries_left = ?, max_tries = ?,"
                    " must_change = ? WHERE reference = ?",
                    (
                        stored.secret.salt,
                        stored.secret.hash,
                        stored.tries_left,
                        stored.max_tries,
                        int(stored.must_change),
                        reference.value,
                    ),
                )
                for reference, stored in ((PinReference.USER, user), (PinReference.PUK, puk))
            ),
        )

    def count_power_up(self) -> None:
        """Count that the token was switched on."""
        self._write(("UPDATE counter SET power_ups = power_ups + 1", ()))


def _management(management: ManagementKey) -> Statement:
    return (
        "UPDATE piv_management SET algorithm = ?, key = ?, touch = ?",
        (int(management.algorithm), management.key, int(management.touch)),
    )


def _replacement(reference: PinReference, secret: SecretHash) -> Statement:
    return _REPLACE, (secret.salt, secret.hash, reference.value)
