"""Key pairs: found, made, deleted, attested, and used on what the host hands them."""

from __future__ import annotations

import hashlib
from time import monotonic

from ushield.algorithms import HashAlgorithm, KeyAlgorithm
from ushield.cms import der, oids
from ushield.drivers.base import USUAL, Capability, Demand, KeyInfo, KeyOptions, KeyUsage
from ushield.drivers.link import decoded
from ushield.drivers.piv.certificates import CertificateCommands
from ushield.drivers.piv.key_info import certified_key, key_info
from ushield.drivers.piv.places import SLOTS, place_name, slot_at
from ushield.drivers.piv.public_keys import algorithm_of
from ushield.drivers.piv.refusals import ATTEST, EMPTY, MANAGED, USE, refusal
from ushield.drivers.piv.touch import (
    NOT_WAITED,
    PIN_POLICY_OF,
    TOUCH_POLICY_OF,
    touch_refusal,
)
from ushield.errors import (
    CapabilityMissing,
    InputInvalid,
    ObjectNotFound,
    ProtocolViolation,
    SlotOccupied,
)
from ushield.iso7816.status import StatusWord
from ushield.iso7816.tlv import encode
from ushield.piv.commands import (
    ALGORITHM_CODE,
    DataTag,
    Instruction,
    PinPolicy,
    Reference,
    Slot,
    TouchPolicy,
)
from ushield.piv.objects import (
    KeyMetadata,
    decode_certificate,
    decode_public_key,
    decode_response,
    encode_dynamic,
    unwrap,
)

__all__ = ["KeyCommands"]

_CONTROL, _ALGORITHM, _PIN_POLICY, _TOUCH_POLICY = 0xAC, 0x80, 0xAA, 0xAB
_PUBLIC_KEY = 0x7F49
_CHALLENGE, _RESPONSE = 0x81, 0x82
_NOWHERE = 0xFF
_RSA_BYTES = {KeyAlgorithm.RSA_2048: 256, KeyAlgorithm.RSA_3072: 384, KeyAlgorithm.RSA_4096: 512}
_DIGEST_BYTES = {KeyAlgorithm.P256: 32, KeyAlgorithm.P384: 48}
_CHALLENGES = range(16, 256)


class KeyCommands(CertificateCommands):
    """The part of `PivDriver` about key pairs.

    Keys are known by the card's metadata, else by the certificates in the slots, else because they
    were made, or introduced, since the card was opened.
    """

    def keys(self) -> tuple[KeyInfo, ...]:
        """The key pairs that can be used here, by slot."""
        known = self._keys
        if known is None:
            with self._link.connection.hold():
                found = (self._key_in(slot) for slot in SLOTS)
                known = {key.reference: key for key in found if key is not None}
                self._keys = known
        return tuple(known.values())

    def _key_in(self, slot: int) -> KeyInfo | None:
        if self._link.has_metadata:
            response = self._link.send(Instruction.GET_METADATA, 0, slot)
            if response.ok:
                told = decoded(KeyMetadata.decode, response.data)
                if told.algorithm is None:
                    return None
                if told.public_key:
                    return key_info(slot, told.public_key, told.algorithm, told)
            elif response.sw in EMPTY:
                return None
            else:
                raise refusal(response.sw)
        if slot in self._introduced:
            return self._introduced[slot]
        certificate = self._certificate_in(slot)
        return None if certificate is None else certified_key(slot, certificate)

    def generate_key(
        self,
        algorithm: KeyAlgorithm,
        usage: KeyUsage,
        label: str,
        options: KeyOptions = USUAL,
    ) -> KeyInfo:
        """Make a key pair in a slot, 9c by default. Wants the management key.

        `SlotOccupied` where something would be lost; `CapabilityMissing` for display keys, and for
        kinds of keys that are not safe on this card; `InputInvalid` for what the card does not
        make. A PIV card keeps no labels: keys are called after their slots.
        """
        if usage is not KeyUsage.AUTHENTICATION:
            self._link.want(Capability.DISPLAY_SIGNING)
        slot = slot_at(options.place) if options.place is not None else int(Slot.SIGNATURE)
        if label not in ("", place_name(slot)):
            raise InputInvalid("a PIV card keeps no labels: its keys are called after their slots")
        weakness = self._link.quirks.weakness(self._link.version, algorithm)
        if weakness is not None:
            raise CapabilityMissing(
                weakness,
                capability=f"{algorithm} key generation",
            )
        with self._link.connection.hold():
            occupied = self._key_in(slot) is not None or self._has_certificate(slot)
            if occupied and not options.replace:
                raise SlotOccupied(f"slot {place_name(slot)} is not empty", slot=place_name(slot))
            answer = self._link.ask(
                Instruction.GENERATE,
                0,
                slot,
                encode(_CONTROL, _control(algorithm, options)),
                timeout=self._link.timeouts.key_generation,
                meanings=MANAGED,
            )
            content = decoded(lambda data: unwrap(data, _PUBLIC_KEY, "new key"), answer)
            public_key = decoded(lambda data: decode_public_key(algorithm, data), content)
            self._keys = None
            self._introduced[slot] = key_info(slot, public_key, algorithm, None, options)
            if occupied:
                self._delete_certificate(slot)
            made = self._key_in(slot)
        if made is None or made.public_key != public_key:
            raise ProtocolViolation("the card tells another key than the one it made")
        for what, asked, told in (
            ("PIN", options.pin, made.pin),
            ("touch", options.touch, made.touch),
        ):
            if asked not in (None, Demand.UNKNOWN) and told not in (asked, Demand.UNKNOWN):
                raise ProtocolViolation(f"the card made a key with {what}: {told}, not {asked}")
        return made

    def introduce_key(self, place: str, public_key: bytes) -> KeyInfo:
        """Say which key pair is in a slot, for cards that do not tell, until they are closed.

        `InputInvalid` for a key of no kind there is, or where the card tells another.
        """
        slot = slot_at(place)
        with self._link.connection.hold():
            known = self._key_in(slot)
            if known is not None and known.public_key != public_key:
                raise InputInvalid(f"there is another key in slot {place_name(slot)}")
            if known is None:
                if self._link.has_metadata:
                    raise ObjectNotFound(f"no key in slot {place_name(slot)}")
                algorithm = algorithm_of(public_key)
                known = self._introduced[slot] = key_info(slot, public_key, algorithm, None)
                self._keys = None
        return known

    def delete_key(self, key_reference: int) -> None:
        """Delete a key pair with its certificate. Wants the management key.

        `CapabilityMissing` on cards without a command for it: there, a new key replaces it.
        """
        self._key(key_reference)
        with self._link.connection.hold():
            self._link.ask(Instruction.MOVE_KEY, _NOWHERE, key_reference, meanings=MANAGED)
            self._keys = None
            self._introduced.pop(key_reference, None)
            self._delete_certificate(key_reference)

    def sign_digest(self, key_reference: int, algorithm: HashAlgorithm, digest: bytes) -> bytes:
        """Sign a digest: PKCS #1 v1.5, which the host pads, or ECDSA.

        `LoginRequired` where the key wants the PIN, right before or at all; `Rejected` or
        `TimedOut` where it wanted a touch.
        """
        if len(digest) != algorithm.digest_size:
            raise InputInvalid(f"{len(digest)} bytes are no {algorithm} digest")
        key = self._key(key_reference)
        if key.algorithm.is_rsa:
            block = _pkcs1(algorithm, digest, _RSA_BYTES[key.algorithm])
        else:
            # The leftmost bits of a longer one (FIPS 186-5, 6.4.1); a shorter one is its number.
            size = _DIGEST_BYTES[key.algorithm]
            block = digest[:size].rjust(size, b"\0")
        return self._use(key, block)

    def sign_challenge(self, key_reference: int, challenge: bytes) -> bytes:
        """Sign a challenge of 16 to 255 bytes, hashed here, as `KeyAlgorithm.hash` says."""
        if len(challenge) not in _CHALLENGES:
            raise InputInvalid(f"a challenge has 16 to 255 bytes, not {len(challenge)}")
        hash_algorithm = self._key(key_reference).algorithm.hash
        digest = hashlib.new(hash_algorithm, challenge).digest()
        return self.sign_digest(key_reference, hash_algorithm, digest)

    def _use(self, key: KeyInfo, block: bytes) -> bytes:
        may_wait = key.touch is not Demand.NEVER
        timeouts = self._link.timeouts
        with self._link.connection.hold():
            started = monotonic()
            response = self._link.send(
                Instruction.GENERAL_AUTHENTICATE,
                ALGORITHM_CODE[key.algorithm],
                key.reference,
                encode_dynamic((_RESPONSE, b""), (_CHALLENGE, block)),
                timeout=timeouts.command + timeouts.touch * may_wait,
            )
            if response.ok:
                return decoded(lambda data: decode_response(data, _RESPONSE), response.data)
            seconds = monotonic() - started
            if may_wait and self._is_touch_refusal(key, response.sw, seconds):
                raise touch_refusal(seconds, timeouts.touch)
        raise refusal(response.sw, USE)

    def _is_touch_refusal(self, key: KeyInfo, sw: int, seconds: float) -> bool:
        # Both are in use: 6985, and 6982, which also stands for a PIN that is not verified.
        if sw == StatusWord.CONDITIONS_NOT_SATISFIED:
            return key.touch is not Demand.UNKNOWN or seconds > NOT_WAITED
        if sw != StatusWord.SECURITY_STATUS_NOT_SATISFIED:
            return False
        if key.pin is Demand.NEVER or seconds > self._link.timeouts.command / 2:
            return True
        if key.pin is Demand.ALWAYS:
            # Whether the PIN was fresh the card does not tell; it takes time to miss a touch.
            return seconds > NOT_WAITED
        return self._link.send(Instruction.VERIFY, 0, Reference.PIN, ne=0).ok

    def attest(self, key_reference: int) -> bytes:
        """A certificate (DER) by the card's attestation key: this key was made on this card."""
        self._link.want(Capability.ATTESTATION)
        self._key(key_reference)
        answer = self._link.ask(Instruction.ATTEST, key_reference, meanings=ATTEST)
        if not answer:
            raise ProtocolViolation("the card attests with an empty certificate")
        return answer

    def device_certificate(self) -> bytes:
        """The certificate (DER) of the card's attestation key."""
        self._link.want(Capability.ATTESTATION)
        return decoded(decode_certificate, self._link.get(DataTag.ATTESTATION_CERTIFICATE))

    def _key(self, reference: int) -> KeyInfo:
        for key in self.keys():
            if key.reference == reference:
                return key
        raise ObjectNotFound(f"the card has no key in slot {place_name(reference)}")


def _control(algorithm: KeyAlgorithm, options: KeyOptions) -> bytes:
    parts = encode(_ALGORITHM, bytes((ALGORITHM_CODE[algorithm],)))
    if options.pin is not None:
        policy = PIN_POLICY_OF.get(options.pin, PinPolicy.DEFAULT)
        parts += encode(_PIN_POLICY, bytes((policy,)))
    if options.touch is not None:
        touch = TOUCH_POLICY_OF.get(options.touch, TouchPolicy.DEFAULT)
        parts += encode(_TOUCH_POLICY, bytes((touch,)))
    return parts


def _pkcs1(algorithm: HashAlgorithm, digest: bytes, size: int) -> bytes:
    """EMSA-PKCS1-v1_5 (RFC 8017, 9.2): what a raw RSA operation is done on."""
    identifier = der.sequence(der.object_identifier(oids.HASH[algorithm]), der.null())
    info = der.sequence(identifier, der.octet_string(digest))
    return b"\x00\x01" + b"\xff" * (size - 3 - len(info)) + b"\x00" + info
