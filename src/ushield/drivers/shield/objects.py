"""The commands about keys, certificates and the label, and signatures that need no screen."""

from __future__ import annotations

from ushield.algorithms import HashAlgorithm, KeyAlgorithm
from ushield.drivers.base import USUAL, Capability, CertificateInfo, KeyInfo, KeyOptions, KeyUsage
from ushield.drivers.link import decoded
from ushield.drivers.meanings import Meanings
from ushield.drivers.shield.link import ShieldLink, not_empty
from ushield.drivers.shield.refusals import (
    BARE_SIGNATURE,
    CERTIFICATE,
    DELETE_KEY,
    GENERATE,
    LABEL,
)
from ushield.errors import (
    CapabilityMissing,
    CertificateInvalid,
    InputInvalid,
    ProtocolViolation,
    TokenFull,
)
from ushield.iso7816.tlv import encode
from ushield.shield.application import Counters
from ushield.shield.commands import (
    CLA_VENDOR,
    WHOLE_CARD,
    DataObject,
    Instruction,
    KeyUsageCode,
)
from ushield.shield.objects import (
    CHALLENGE_SIZES,
    ChallengeToSign,
    DigestToSign,
    GenerateKey,
    KeyEntry,
    StoredCertificate,
    decode_certificates,
    decode_keys,
    encode_key_reference,
    tag_list,
)

__all__ = ["ObjectCommands"]

_USAGE_CODE = {
    KeyUsage.DISPLAY: KeyUsageCode.DISPLAY,
    KeyUsage.AUTHENTICATION: KeyUsageCode.AUTHENTICATION,
}
_USAGE = {code: usage for usage, code in _USAGE_CODE.items()}


class ObjectCommands:
    """The part of `ShieldDriver` about what the token holds."""

    _link: ShieldLink

    def keys(self) -> tuple[KeyInfo, ...]:
        """The key directory."""
        return tuple(_key_info(entry) for entry in self._link.get(DataObject.KEYS, decode_keys))

    def generate_key(
        self,
        algorithm: KeyAlgorithm,
        usage: KeyUsage,
        label: str,
        options: KeyOptions = USUAL,
    ) -> KeyInfo:
        """Make a key pair on the token; its directory entry. Wants the PIN."""
        self._link.want(Capability.KEY_GENERATION)
        if options != USUAL:
            raise CapabilityMissing(
                "this token chooses place, PIN and confirmation of a key itself",
                capability="key-options",
            )
        _check_label(label)
        asked = GenerateKey(algorithm, _USAGE_CODE[usage], label)
        answer = self._link.ask(
            Instruction.GENERATE_KEY_PAIR,
            data=asked.encode(),
            timeout=self._link.timeouts.key_generation,
            meanings=GENERATE,
        )
        key = _key_info(decoded(KeyEntry.decode, answer))
        if (key.algorithm, key.usage) != (algorithm, usage):
            raise ProtocolViolation("the token made another kind of key than was asked for")
        return key

    def introduce_key(self, place: str, public_key: bytes) -> KeyInfo:
        """Not on this token: it tells its keys."""
        raise CapabilityMissing("this token tells its keys itself", capability="key-options")

    def delete_key(self, key_reference: int) -> None:
        """Delete a key pair with its certificate. Wants the PIN.

        `ObjectNotFound`; `ScreenBusy` while a request with this key can still be signed.
        """
        data = encode_key_reference(key_reference)
        self._link.ask(Instruction.DELETE_KEY, data=data, cla=CLA_VENDOR, meanings=DELETE_KEY)

    def certificates(self) -> tuple[CertificateInfo, ...]:
        """The certificate directory."""
        return tuple(
            CertificateInfo(entry.slot, entry.key_id, entry.label, entry.size, entry.sha256)
            for entry in self._link.get(DataObject.CERTIFICATES, decode_certificates)
        )

    def read_certificate(self, slot: int) -> bytes:
        """One certificate in DER; `ObjectNotFound` for an empty slot."""
        return self._link.get(DataObject.CERTIFICATE, not_empty, slot=slot, meanings=CERTIFICATE)

    def write_certificate(self, der: bytes, label: str, *, is_ca: bool = False) -> int:
        """Store a certificate, all or nothing; its slot. Wants the PIN.

        A leaf replaces the certificate that its key had. `TokenFull`, `CertificateInvalid`.
        """
        limit = self._link.application.max_certificate
        if len(der) > limit:
            raise TokenFull(
                f"{len(der)} bytes; the token stores certificates of up to {limit}",
                remedy="Ask the bank for a shorter certificate, or use another token.",
            )
        if not der:
            raise CertificateInvalid("an empty certificate")
        _check_label(label)
        answer = self._put(StoredCertificate(0, der, label, is_ca))
        if len(answer) != 1 or not answer[0]:
            raise ProtocolViolation("the token does not tell where it stored the certificate")
        return answer[0]

    def delete_certificate(self, slot: int) -> None:
        """Delete one; `ObjectNotFound` for an empty slot. Wants the PIN."""
        self._put(StoredCertificate(slot, b""))

    def _put(self, certificate: StoredCertificate) -> bytes:
        data = tag_list(DataObject.CERTIFICATE, certificate.slot) + certificate.encode()
        return self._put_data(data, CERTIFICATE)

    def _put_data(self, data: bytes, meanings: Meanings) -> bytes:
        p1, p2 = divmod(WHOLE_CARD, 0x100)
        return self._link.ask(Instruction.PUT_DATA, p1, p2, data, meanings=meanings)

    def counters(self) -> Counters:
        """Signatures, unblocks by the bank and power-ups, up to now."""
        return self._link.get(DataObject.COUNTERS, Counters.decode)

    def set_label(self, label: str) -> None:
        """Name the token; ``info`` has the new label then. Wants the PIN.

        `InputInvalid` for a label that is too long for the token, or cannot be printed.
        """
        _check_label(label)
        self._put_data(tag_list(DataObject.LABEL) + encode(0x53, label.encode()), LABEL)
        self._link.rename(label)

    def sign_digest(self, key_reference: int, algorithm: HashAlgorithm, digest: bytes) -> bytes:
        """Sign a digest with an authentication key; `KeyUsageRefused` for a display key."""
        if len(digest) != algorithm.digest_size:
            raise InputInvalid(f"{len(digest)} bytes are no {algorithm} digest")
        asked = DigestToSign(key_reference, algorithm, digest)
        answer = self._link.ask(
            Instruction.PERFORM_SECURITY_OPERATION,
            0x9E,
            0x9A,
            asked.encode(),
            meanings=BARE_SIGNATURE,
        )
        return decoded(not_empty, answer)

    def sign_challenge(self, key_reference: int, challenge: bytes) -> bytes:
        """Sign a challenge of 16 to 255 bytes with an authentication key.

        The token hashes it, as `KeyAlgorithm.hash` says. `KeyUsageRefused` for a display key.
        """
        if len(challenge) not in CHALLENGE_SIZES:
            raise InputInvalid(
                f"a challenge has {CHALLENGE_SIZES[0]} to {CHALLENGE_SIZES[-1]} bytes,"
                f" not {len(challenge)}"
            )
        asked = ChallengeToSign(key_reference, challenge).encode()
        answer = self._link.ask(
            Instruction.INTERNAL_AUTHENTICATE, data=asked, meanings=BARE_SIGNATURE
        )
        return decoded(not_empty, answer)

    def attest(self, key_reference: int) -> bytes:
        """A certificate (DER) by the device key: this key was made on this token."""
        self._link.want(Capability.ATTESTATION)
        data = encode_key_reference(key_reference)
        return decoded(not_empty, self._link.ask(Instruction.ATTEST, data=data, cla=CLA_VENDOR))

    def device_certificate(self) -> bytes:
        """The certificate (DER) of the device key."""
        self._link.want(Capability.ATTESTATION)
        return self._link.get(DataObject.DEVICE_CERTIFICATE, not_empty)


def _check_label(label: str) -> None:
    # Half a surrogate pair is a character of a str, and none of UTF-8.
    if not label.isprintable():
        raise InputInvalid("a label has only characters that can be printed")


def _key_info(entry: KeyEntry) -> KeyInfo:
    return KeyInfo(
        reference=entry.reference,
        algorithm=entry.algorithm,
        usage=_USAGE[entry.usage],
        key_id=entry.key_id,
        label=entry.label,
        public_key=entry.public_key,
    )
