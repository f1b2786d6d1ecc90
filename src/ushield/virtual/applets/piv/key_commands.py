"""Key pairs: made, imported, moved, deleted, told of, and attested."""

from __future__ import annotations

from cryptography.hazmat.primitives.serialization import load_der_public_key

from ushield.algorithms import KeyAlgorithm
from ushield.errors import ObjectNotFound
from ushield.iso7816.status import StatusWord
from ushield.iso7816.tlv import Template, encode, parse_one, read_template
from ushield.pin import PinReference
from ushield.piv.commands import (
    ALGORITHM_CODE,
    KEY_SLOTS,
    PinPolicy,
    Reference,
    Slot,
    TouchPolicy,
)
from ushield.virtual.applets.firmware import refused
from ushield.virtual.applets.piv.keys import read_private_key, write_public_key
from ushield.virtual.applets.piv.session import PivSession
from ushield.virtual.keys import (
    PrivateKey,
    encode_private_key,
    encode_public_key,
    generate_private_key,
    load_private_key,
)
from ushield.virtual.nvram import PivKey
from ushield.virtual.nvram.schema import FIRST_MANAGEMENT_KEY

__all__ = ["KeyCommands"]

_ALGORITHM_OF_CODE = {code: algorithm for algorithm, code in ALGORITHM_CODE.items()}
_CONTROL, _ALGORITHM, _PIN_POLICY, _TOUCH_POLICY = 0xAC, 0x80, 0xAA, 0xAB
_PUBLIC_KEY = 0x7F49
_NOWHERE = 0xFF
_NO_ALGORITHM = b"\xff"
_GENERATED, _IMPORTED = b"\x01", b"\x02"
_PIN_POLICY_OF_SLOT: dict[int, PinPolicy] = {
    Slot.SIGNATURE: PinPolicy.ALWAYS,
    Slot.CARD_AUTHENTICATION: PinPolicy.NEVER,
}
_SECRETS = {Reference.PIN: PinReference.USER, Reference.PUK: PinReference.PUK}


class KeyCommands:
    """GENERATE, IMPORT, MOVE KEY, GET METADATA and ATTEST."""

    def __init__(self, session: PivSession) -> None:
        self._session = session
        self._nvram = session.firmware.nvram

    def generate(self, p1: int, p2: int, data: bytes) -> bytes:
        """Make a key pair; its public key."""
        self._session.require_administrator()
        if p1:
            raise refused(StatusWord.WRONG_PARAMETERS)
        slot = _key_slot(p2)
        control = parse_one(data, nested=False)
        if control.tag != _CONTROL:
            raise refused(StatusWord.WRONG_DATA)
        template = read_template(control.value, "key to make", nested=False)
        algorithm = _algorithm(template.take_int(_ALGORITHM, 1))
        policies = _policies(slot, template)
        template.finish()
        key = generate_private_key(algorithm)
        self._store(slot, algorithm, policies, key, generated=True)
        return encode(_PUBLIC_KEY, write_public_key(key.public_key()))

    def import_key(self, p1: int, p2: int, data: bytes) -> bytes:
        """Store a key pair that was made elsewhere."""
        self._session.require_administrator()
        slot, algorithm = _key_slot(p2), _algorithm(p1)
        template = read_template(data, "key to import", nested=False)
        policies = _policies(slot, template)
        key = read_private_key(algorithm, template)
        template.finish()
        self._store(slot, algorithm, policies, key, generated=False)
        return b""

    def _store(
        self,
        slot: int,
        algorithm: KeyAlgorithm,
        policies: tuple[PinPolicy, TouchPolicy],
        key: PrivateKey,
        *,
        generated: bool,
    ) -> None:
        self._nvram.put_piv_key(
            PivKey(
                slot,
                algorithm,
                *policies,
                generated,
                encode_public_key(key.public_key()),
                encode_private_key(key),
            )
        )
        self._session.touched.pop(slot, None)

    def move(self, p1: int, p2: int, data: bytes) -> bytes:
        """Give a key pair another slot that is free, or delete it; certificates stay."""
        self._session.require_administrator()
        source = _key_slot(p2)
        if p1 == _NOWHERE:
            self._nvram.delete_piv_key(source)
        else:
            target = _key_slot(p1)
            if any(key.slot == target for key in self._nvram.piv_keys()):
                raise refused(StatusWord.CONDITIONS_NOT_SATISFIED)
            self._nvram.move_piv_key(source, target)
            self._session.touched.pop(target, None)
        self._session.touched.pop(source, None)
        return b""

    def metadata(self, p1: int, p2: int, data: bytes) -> bytes:
        """What is known of a key, or of a secret and its tries; 6A88 for an empty slot."""
        if p1:
            raise refused(StatusWord.WRONG_PARAMETERS)
        if p2 in (Reference.PIN, Reference.PUK):
            state = self._session.firmware.pins.state(_SECRETS[Reference(p2)])
            return (
                encode(0x01, _NO_ALGORITHM)
                + encode(0x05, bytes((state.must_change,)))
                + encode(0x06, bytes((state.max_tries, state.tries_left)))
            )
        if p2 == Reference.MANAGEMENT_KEY:
            management = self._nvram.management_key()
            touch = TouchPolicy.ALWAYS if management.touch else TouchPolicy.NEVER
            is_first = management.key == FIRST_MANAGEMENT_KEY.key
            return (
                encode(0x01, bytes((management.algorithm,)))
                + encode(0x02, bytes((PinPolicy.DEFAULT, touch)))
                + encode(0x05, bytes((is_first,)))
            )
        if p2 == Slot.ATTESTATION:
            device_key = load_private_key(self._nvram.identity.device_key)
            return (
                encode(0x01, bytes((ALGORITHM_CODE[KeyAlgorithm.P256],)))
                + encode(0x02, bytes((PinPolicy.NEVER, TouchPolicy.NEVER)))
                + encode(0x03, _GENERATED)
                + encode(0x04, write_public_key(device_key.public_key()))
            )
        return self._key_metadata(p2)

    def _key_metadata(self, slot: int) -> bytes:
        try:
            key = self._nvram.piv_key(slot)
        except ObjectNotFound:
            raise refused(StatusWord.REFERENCED_DATA_NOT_FOUND) from None
        return (
            encode(0x01, bytes((ALGORITHM_CODE[key.algorithm],)))
            + encode(0x02, bytes((key.pin_policy, key.touch_policy)))
            + encode(0x03, _GENERATED if key.generated else _IMPORTED)
            # Of all kinds of keys it reads, a token makes some.
            + encode(0x04, write_public_key(load_der_public_key(key.public_key)))  # type: ignore[arg-type]
        )

    def attest(self, p1: int, p2: int, data: bytes) -> bytes:
        """A certificate by the device key: this key pair was made here."""
        from ushield.virtual.attestation import attest_piv

        if p2:
            raise refused(StatusWord.WRONG_PARAMETERS)
        key = self._nvram.piv_key(_key_slot(p1))
        if not key.generated:
            raise refused(StatusWord.CONDITIONS_NOT_SATISFIED)
        return attest_piv(self._nvram.identity, key)


def _key_slot(reference: int) -> int:
    if reference not in KEY_SLOTS:
        raise refused(StatusWord.WRONG_PARAMETERS)
    return reference


def _algorithm(code: int) -> KeyAlgorithm:
    algorithm = _ALGORITHM_OF_CODE.get(code)
    if algorithm is None:
        raise refused(StatusWord.WRONG_DATA)
    return algorithm


def _policies(slot: int, template: Template) -> tuple[PinPolicy, TouchPolicy]:
    pin = _policy(template, _PIN_POLICY, tuple(PinPolicy))
    touch = _policy(template, _TOUCH_POLICY, tuple(TouchPolicy))
    return (
        PinPolicy(pin) or _PIN_POLICY_OF_SLOT.get(slot, PinPolicy.ONCE),
        TouchPolicy(touch) or TouchPolicy.NEVER,
    )


def _policy(template: Template, tag: int, known: tuple[int, ...]) -> int:
    value = template.take_optional(tag)
    if value is None:
        return 0
    if len(value) != 1 or value[0] not in known:
        raise refused(StatusWord.WRONG_DATA)
    return value[0]
