"""Making a virtual token's file, and telling what is in one."""

from __future__ import annotations

import os
import re
import secrets
from dataclasses import dataclass

from ushield.errors import InputInvalid, PinInvalid
from ushield.pin import Pin, PinReference, PinRules, PinState
from ushield.shield.application import Counters
from ushield.shield.objects import CertificateEntry, KeyEntry
from ushield.virtual.nvram import (
    Identity,
    Nvram,
    Personalisation,
    PivKey,
    SecretHash,
    StoredReference,
    snapshot,
)
from ushield.virtual.profile import VirtualProfile, load_profile

__all__ = ["MAX_LABEL", "Created", "TokenSummary", "create_token", "describe_token"]

MAX_LABEL = 32
"""A token's label in bytes of UTF-8, as CK_TOKEN_INFO has room for (PKCS #11, 3.2)."""

_SERIAL = re.compile(r"[A-Za-z0-9-]{1,32}")
_PIN_DIGITS = 6
_PUK_DIGITS = 8


@dataclass(frozen=True, slots=True)
class Created:
    """A token as it was made. Its PIN and PUK are kept nowhere else in the clear."""

    path: str
    serial: str
    profile: VirtualProfile
    pin: Pin
    puk: Pin


@dataclass(frozen=True, slots=True)
class TokenSummary:
    """What a token file holds, secrets left out."""

    path: str
    serial: str
    label: str
    profile: VirtualProfile
    pin: PinState
    puk: PinState
    keys: tuple[KeyEntry, ...]
    certificates: tuple[CertificateEntry, ...]
    counters: Counters
    vouchers: int
    piv_keys: tuple[PivKey, ...]
    bank_can_unblock: bool
    device_certificate: bytes


def create_token(
    path: str | os.PathLike[str],
    *,
    profile: str = "default",
    serial: str | None = None,
    pin: Pin | str | None = None,
    puk: Pin | str | None = None,
    label: str = "",
    unblock_key: bytes | None = None,
    default_pin: bool = False,
) -> Created:
    """Make the file of a new token, with a device key of its own.

    A ``serial``, PIN or PUK that is not given is made at random. ``unblock_key`` is the bank's
    P-256 key for remote unblocking, a SubjectPublicKeyInfo in DER. With ``default_pin`` the PIN
    is one that its owner must change before the first signature, where the profile says so; it
    may be weak then, as the PINs that tokens are handed out with are.

    `PinInvalid`, `InputInvalid`, `TokenFileInvalid` where there is a file already, `StorageFull`.
    """
    kind = load_profile(profile)
    rules = kind.pin_rules
    serial = f"V{secrets.randbelow(10**11):011d}" if serial is None else _checked_serial(serial)
    _check_label(label)
    if unblock_key is not None:
        _check_unblock_key(unblock_key)
    user_pin = _random(rules, PinReference.USER, _PIN_DIGITS) if pin is None else _given(pin)
    if default_pin:
        rules.check_format(user_pin, PinReference.USER)
    else:
        rules.check_new(user_pin, PinReference.USER)
    unblocking = _random(rules, PinReference.PUK, _PUK_DIGITS) if puk is None else _given(puk)
    rules.check_new(unblocking, PinReference.PUK)

    from ushield.virtual.attestation import make_channel_key, make_device_key

    device_key, device_certificate = make_device_key(kind, serial)
    identity = Identity(serial, label, kind.name, device_key, device_certificate, unblock_key)
    personalisation = Personalisation(
        identity,
        StoredReference(
            SecretHash.of(user_pin),
            rules.max_tries,
            rules.max_tries,
            must_change=default_pin and rules.must_change_default,
        ),
        StoredReference(SecretHash.of(unblocking), rules.puk_max_tries, rules.puk_max_tries),
        make_channel_key(identity),
    )
    Nvram.create(path, personalisation)
    return Created(os.fspath(path), serial, kind, Pin(user_pin), Pin(unblocking))


def _checked_serial(serial: str) -> str:
    if not _SERIAL.fullmatch(serial):
        raise InputInvalid("a serial number has 1 to 32 letters, digits or hyphens (ASCII)")
    return serial


def _check_label(label: str) -> None:
    if not label.isprintable() or len(label.encode()) > MAX_LABEL:
        raise InputInvalid(f"a label has at most {MAX_LABEL} bytes of UTF-8, all printable")


def _check_unblock_key(key: bytes) -> None:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    try:
        loaded = load_der_public_key(key)
    except (ValueError, UnsupportedAlgorithm):
        loaded = None
    if not isinstance(loaded, ec.EllipticCurvePublicKey) or loaded.curve.name != "secp256r1":
        raise InputInvalid("the bank's unblock key is a P-256 key, as SubjectPublicKeyInfo in DER")


def _given(secret: Pin | str) -> bytes:
    pin = Pin(secret) if isinstance(secret, str) else secret
    return pin.reveal() if len(pin) else b""


def _random(rules: PinRules, reference: PinReference, digits: int) -> bytes:
    digits = min(max(digits, rules.min_length), rules.max_length)
    while True:
        secret = f"{secrets.randbelow(10**digits):0{digits}d}".encode()
        try:
            rules.check_new(secret, reference)
        except PinInvalid:
            continue
        return secret


def describe_token(path: str | os.PathLike[str]) -> TokenSummary:
    """What is in a token file, which is neither locked nor changed, and may be in use.

    `TokenNotFound`, `TokenFileInvalid`.
    """
    with snapshot(path) as memory:
        keys = memory.keys()
        return TokenSummary(
            path=os.fspath(path),
            serial=memory.identity.serial,
            label=memory.identity.label,
            profile=memory.profile,
            pin=memory.reference(PinReference.USER).state(PinReference.USER),
            puk=memory.reference(PinReference.PUK).state(PinReference.PUK),
            keys=tuple(key.entry() for key in keys),
            certificates=tuple(certificate.entry() for certificate in memory.certificates()),
            counters=memory.counters(),
            vouchers=len(memory.vouchers()),
            piv_keys=memory.piv_keys() if memory.has_piv else (),
            bank_can_unblock=memory.identity.unblock_key is not None,
            device_certificate=memory.identity.device_certificate,
        )
