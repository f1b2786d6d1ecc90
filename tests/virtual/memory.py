"""Token files for the NVRAM's tests, and everything that is in one as a single value."""

from __future__ import annotations

import os
from pathlib import Path

from ushield.pin import PinReference, PinRules
from ushield.virtual.nvram import (
    Identity,
    Nvram,
    NvramReader,
    Personalisation,
    SecretHash,
    StoredReference,
)

PIN, NEW_PIN, WRONG_PIN = b"135790", b"271828", b"902143"
PUK, NEW_PUK, WRONG_PUK = b"24681357", b"31415926", b"90214311"
MAX_TRIES, PUK_MAX_TRIES = 6, 10
RULES = PinRules(max_tries=MAX_TRIES, puk_max_tries=PUK_MAX_TRIES)
IDENTITY = Identity("V00000000001", "测试", "default", b"device key", b"device certificate")


def make_memory(
    path: Path,
    *,
    profile: str = "default",
    tries: int = MAX_TRIES,
    puk_tries: int = PUK_MAX_TRIES,
    must_change: bool = False,
) -> Path:
    """A token file with `PIN` and `PUK`, and little else."""
    identity = Identity(
        IDENTITY.serial, IDENTITY.label, profile, IDENTITY.device_key, IDENTITY.device_certificate
    )
    Nvram.create(
        path,
        Personalisation(
            identity,
            StoredReference(SecretHash.of(PIN), tries, MAX_TRIES, must_change),
            StoredReference(SecretHash.of(PUK), puk_tries, PUK_MAX_TRIES),
        ),
    )
    return path


def contents(memory: NvramReader) -> tuple[object, ...]:
    """All that a token remembers; equal for two memories if and only if they hold the same."""
    return (
        memory.identity,
        tuple(map(memory.reference, PinReference)),
        memory.keys(),
        memory.certificates(),
        memory.counters(),
        memory.vouchers(),
        memory.last_key_reference(),
        memory.piv_keys(),
        tuple((tag, memory.piv_object(tag)) for tag in memory.piv_objects()),
        memory.management_key(),
        memory.channel_key(),
    )


def remaining(path: Path) -> set[str]:
    """The files that stand in the directory of ``path``."""
    return set(os.listdir(path.parent))
