"""The operations that write to the NVRAM, as the power-cut tests run them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache

from tests.virtual.memory import (
    MAX_TRIES,
    NEW_PIN,
    NEW_PUK,
    PIN,
    PUK,
    PUK_MAX_TRIES,
    RULES,
    WRONG_PIN,
    WRONG_PUK,
)
from ushield.algorithms import KeyAlgorithm
from ushield.errors import PinIncorrect
from ushield.pin import PinReference
from ushield.piv.commands import ManagementAlgorithm, PinPolicy, TouchPolicy
from ushield.shield.commands import KeyUsageCode
from ushield.virtual.keys import KeyStore
from ushield.virtual.nvram import (
    ManagementKey,
    Nvram,
    PivKey,
    SecretHash,
    StoredKey,
    StoredReference,
)
from ushield.virtual.pins import PinStore

__all__ = ["OPERATIONS", "Operation", "furnish"]

USER, PUK_REFERENCE = PinReference.USER, PinReference.PUK


@cache
def _key_pairs() -> tuple[StoredKey, ...]:
    """Key pairs of some size, made once."""
    return tuple(
        StoredKey(
            reference,
            KeyAlgorithm.RSA_4096,
            KeyUsageCode.DISPLAY,
            bytes((reference,)) * 20,
            "旧的",
            bytes(550),
            bytes((reference,)) * 2_400,
        )
        for reference in (1, 2)
    )


def _piv_key(slot: int, octet: bytes) -> PivKey:
    return PivKey(
        slot,
        KeyAlgorithm.RSA_4096,
        PinPolicy.ALWAYS,
        TouchPolicy.CACHED,
        generated=True,
        public_key=octet * 550,
        private_key=octet * 2_400,
    )


def furnish(nvram: Nvram) -> None:
    """A token in use: tries spent, keys, certificates, and vouchers around the ring."""
    for key in _key_pairs():
        nvram.add_key(key)
    nvram.put_certificate(b"\x01" * 3_000, key_id=b"\x01" * 20, label="签名")
    nvram.put_certificate(b"\x02" * 1_500, label="bank", is_ca=True)
    for number in range(nvram.profile.vouchers + 1):
        nvram.record_signature(1, bytes((number,)) * 900, number)
    for slot in (0x9A, 0x9C):
        nvram.put_piv_key(_piv_key(slot, b"\x01"))
    nvram.put_piv_object(0x5FC105, b"\x01" * 3_000)
    nvram.set_management_key(ManagementKey(ManagementAlgorithm.AES_128, bytes(16), touch=True))
    nvram.spend_try(USER)
    nvram.spend_try(PUK_REFERENCE)


def _secret(nvram: Nvram, reference: PinReference, secrets: tuple[bytes, ...]) -> bytes:
    stored = nvram.reference(reference).secret
    return next(secret for secret in secrets if stored.matches(secret))


def _wrong(action: Callable[[PinStore], None]) -> Callable[[Nvram], None]:
    def run(nvram: Nvram) -> None:
        with suppress(PinIncorrect):
            action(PinStore(nvram, RULES))

    return run


def _right(action: Callable[[PinStore], None]) -> Callable[[Nvram], None]:
    return lambda nvram: action(PinStore(nvram, RULES))


@dataclass(frozen=True)
class Operation:
    """One command's work on the NVRAM. ``proves`` is whose right secret it brings, if any;
    ``sets`` whose secret it replaces.
    """

    name: str
    run: Callable[[Nvram], object]
    proves: frozenset[PinReference] = frozenset()
    sets: frozenset[PinReference] = frozenset()

    def __str__(self) -> str:
        return self.name


BOTH = frozenset({USER, PUK_REFERENCE})
ONLY_USER, ONLY_PUK = frozenset({USER}), frozenset({PUK_REFERENCE})

OPERATIONS = (
    Operation("verify", _right(lambda pins: pins.verify(USER, PIN)), ONLY_USER),
    Operation("verify-wrong", _wrong(lambda pins: pins.verify(USER, WRONG_PIN))),
    Operation("change", _right(lambda pins: pins.change(USER, PIN, NEW_PIN)), ONLY_USER, ONLY_USER),
    Operation("change-wrong", _wrong(lambda pins: pins.change(USER, WRONG_PIN, NEW_PIN))),
    Operation(
        "change-puk",
        _right(lambda pins: pins.change(PUK_REFERENCE, PUK, NEW_PUK)),
        ONLY_PUK,
        ONLY_PUK,
    ),
    Operation("unblock", _right(lambda pins: pins.unblock(PUK, NEW_PIN)), BOTH, ONLY_USER),
    Operation("unblock-wrong", _wrong(lambda pins: pins.unblock(WRONG_PUK, NEW_PIN))),
    Operation(
        "unblock-by-bank",
        lambda nvram: nvram.unblock_by_bank(SecretHash.of(NEW_PIN)),
        ONLY_USER,
        ONLY_USER,
    ),
    Operation(
        "generate-key",
        lambda nvram: KeyStore(nvram).generate(KeyAlgorithm.P256, KeyUsageCode.DISPLAY, "新的"),
    ),
    Operation("delete-key", lambda nvram: KeyStore(nvram).delete(1)),
    Operation(
        "import-certificate",
        lambda nvram: nvram.put_certificate(b"\x03" * 4_000, key_id=b"\x02" * 20),
    ),
    Operation(
        "replace-certificate",
        lambda nvram: nvram.put_certificate(b"\x03" * 4_000, key_id=b"\x01" * 20),
    ),
    Operation("delete-certificate", lambda nvram: nvram.delete_certificate(1)),
    Operation(
        "sign", lambda nvram: nvram.record_signature(1, "付款".encode() * 400, 1_700_000_000_000)
    ),
    Operation("set-label", lambda nvram: nvram.set_label("工资")),
    Operation("miss", _wrong(lambda pins: pins.miss(USER))),
    Operation("limit-tries", lambda nvram: nvram.limit_tries(MAX_TRIES, PUK_MAX_TRIES), ONLY_USER),
    Operation("put-piv-key", lambda nvram: nvram.put_piv_key(_piv_key(0x9D, b"\x03"))),
    Operation("replace-piv-key", lambda nvram: nvram.put_piv_key(_piv_key(0x9A, b"\x03"))),
    Operation("move-piv-key", lambda nvram: nvram.move_piv_key(0x9A, 0x82)),
    Operation("delete-piv-key", lambda nvram: nvram.delete_piv_key(0x9C)),
    Operation("put-piv-object", lambda nvram: nvram.put_piv_object(0x5FC10A, b"\x03" * 4_000)),
    Operation("delete-piv-object", lambda nvram: nvram.delete_piv_object(0x5FC105)),
    Operation(
        "set-management-key",
        lambda nvram: nvram.set_management_key(
            ManagementKey(ManagementAlgorithm.AES_256, bytes(32))
        ),
    ),
    Operation(
        "reset-piv",
        lambda nvram: nvram.reset_piv(
            StoredReference(SecretHash.of(NEW_PIN), MAX_TRIES, MAX_TRIES),
            StoredReference(SecretHash.of(NEW_PUK), PUK_MAX_TRIES, PUK_MAX_TRIES),
        ),
        BOTH,
        BOTH,
    ),
    Operation("power-up", lambda nvram: nvram.count_power_up()),
)
