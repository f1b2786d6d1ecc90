"""Keys and certificates on the token: their directory entries and the commands that make them."""

from __future__ import annotations

from dataclasses import dataclass

from ushield.algorithms import HashAlgorithm, KeyAlgorithm
from ushield.errors import TlvInvalid
from ushield.iso7816.tlv import Template, encode, parse_one, read_template
from ushield.shield.commands import ALGORITHM_CODE, HASH_CODE, KeyUsageCode

__all__ = [
    "CHALLENGE_SIZES",
    "CertificateEntry",
    "ChallengeToSign",
    "DigestToSign",
    "GenerateKey",
    "KeyEntry",
    "StoredCertificate",
    "decode_certificates",
    "decode_key_reference",
    "decode_keys",
    "encode_key_reference",
    "read_tag_list",
    "tag_list",
]

CHALLENGE_SIZES = range(16, 256)
"""How many bytes a challenge for INTERNAL AUTHENTICATE may have."""

_TAG_LIST = 0x5C
_KEY = 0xE2
_CERTIFICATE = 0xE3
_GENERATE = 0xAC
_SHA256_SIZE = HashAlgorithm.SHA256.digest_size
_ALGORITHM_OF_CODE = {code: algorithm for algorithm, code in ALGORITHM_CODE.items()}
_HASH_OF_CODE = {code: algorithm for algorithm, code in HASH_CODE.items()}


def tag_list(tag: int, slot: int | None = None) -> bytes:
    """The data field of GET DATA: 5C with the object's tag, and 80 with a certificate's slot."""
    field = encode(_TAG_LIST, tag.to_bytes(2, "big"))
    return field if slot is None else field + encode(0x80, bytes((slot,)))


def read_tag_list(template: Template) -> tuple[int, int | None]:
    """The tag and the slot that `tag_list` wrote; `TlvInvalid` for another form."""
    tag = template.take_int(_TAG_LIST, 2)
    slot = template.take_optional(0x80)
    if slot is not None and len(slot) != 1:
        raise TlvInvalid("a slot is one byte")
    return tag, slot[0] if slot is not None else None


def encode_key_reference(key_reference: int) -> bytes:
    """The data field of DELETE KEY and ATTEST: the key in 84."""
    return encode(0x84, bytes((key_reference,)))


def decode_key_reference(data: bytes) -> int:
    """The reference that `encode_key_reference` wrote; `TlvInvalid` for another form."""
    template = read_template(data, "key reference")
    reference = template.take_int(0x84, 1)
    template.finish()
    return reference


def _algorithm(template: Template, tag: int) -> KeyAlgorithm:
    code = template.take_int(tag, 1)
    if code not in _ALGORITHM_OF_CODE:
        raise TlvInvalid(f"unknown key algorithm {code:02X}")
    return _ALGORITHM_OF_CODE[code]


def _usage(template: Template, tag: int) -> KeyUsageCode:
    code = template.take_int(tag, 1)
    try:
        return KeyUsageCode(code)
    except ValueError as error:
        raise TlvInvalid(f"unknown key usage {code:02X}") from error


@dataclass(frozen=True, slots=True)
class KeyEntry:
    """A key pair in the directory. ``reference`` names it in commands (1 to 255).

    ``key_id`` is CKA_ID: the SHA-1 of the public key's BIT STRING, as RFC 5280, 4.2.1.2 (1) makes a
    key identifier. ``public_key`` is a SubjectPublicKeyInfo in DER.
    """

    reference: int
    algorithm: KeyAlgorithm
    usage: KeyUsageCode
    key_id: bytes
    label: str
    public_key: bytes

    def encode(self) -> bytes:
        """One E2 object."""
        return encode(
            _KEY,
            encode(0x80, bytes((self.reference,)))
            + encode(0x81, bytes((ALGORITHM_CODE[self.algorithm],)))
            + encode(0x82, bytes((self.usage,)))
            + encode(0x83, self.key_id)
            + encode(0x84, self.label.encode())
            + encode(0x85, self.public_key),
        )

    @classmethod
    def decode_value(cls, value: bytes) -> KeyEntry:
        """Read what stands in an E2 object."""
        template = read_template(value, "key entry")
        entry = cls(
            reference=template.take_int(0x80, 1),
            algorithm=_algorithm(template, 0x81),
            usage=_usage(template, 0x82),
            key_id=template.take(0x83),
            label=template.take_text(0x84),
            public_key=template.take(0x85),
        )
        template.finish()
        return entry

    @classmethod
    def decode(cls, data: bytes) -> KeyEntry:
        """Read one E2 object: the answer to GENERATE KEY PAIR."""
        outer = parse_one(data)
        if outer.tag != _KEY:
            raise TlvInvalid(f"key entry E2 expected, not {outer.tag:02X}")
        return cls.decode_value(outer.value)


def decode_keys(data: bytes) -> tuple[KeyEntry, ...]:
    """Read `DataObject.KEYS`."""
    template = read_template(data, "key directory")
    entries = tuple(KeyEntry.decode_value(value) for value in template.all(_KEY))
    template.finish()
    return entries


@dataclass(frozen=True, slots=True)
class CertificateEntry:
    """A certificate in the directory. ``slot`` (1 to 255) names it; ``key_id`` is empty for a CA.

    ``sha256`` is over its DER, ``size`` in bytes.
    """

    slot: int
    key_id: bytes
    label: str
    size: int
    sha256: bytes

    def encode(self) -> bytes:
        """One E3 object."""
        return encode(
            _CERTIFICATE,
            encode(0x80, bytes((self.slot,)))
            + encode(0x83, self.key_id)
            + encode(0x84, self.label.encode())
            + encode(0x86, self.size.to_bytes(2, "big"))
            + encode(0x87, self.sha256),
        )

    @classmethod
    def decode_value(cls, value: bytes) -> CertificateEntry:
        """Read what stands in an E3 object."""
        template = read_template(value, "certificate entry")
        entry = cls(
            slot=template.take_int(0x80, 1),
            key_id=template.take(0x83),
            label=template.take_text(0x84),
            size=template.take_int(0x86, 2),
            sha256=template.take(0x87),
        )
        template.finish()
        if len(entry.sha256) != _SHA256_SIZE:
            raise TlvInvalid(f"certificate entry: {len(entry.sha256)} bytes are no SHA-256")
        return entry


def decode_certificates(data: bytes) -> tuple[CertificateEntry, ...]:
    """Read `DataObject.CERTIFICATES`."""
    template = read_template(data, "certificate directory")
    entries = tuple(CertificateEntry.decode_value(value) for value in template.all(_CERTIFICATE))
    template.finish()
    return entries


@dataclass(frozen=True, slots=True)
class StoredCertificate:
    """A certificate to store: the 53 object of PUT DATA. Empty ``der`` deletes the slot.

    ``slot`` 0 lets the token choose a free one. A leaf must match a key on the token; with
    ``is_ca`` it is kept as part of a chain.
    """

    slot: int
    der: bytes
    label: str = ""
    is_ca: bool = False

    def encode(self) -> bytes:
        """The data field of PUT DATA after its tag list."""
        if not self.der:
            return encode(0x53, b"")
        return encode(
            0x53,
            encode(0x84, self.label.encode())
            + encode(0x85, self.der)
            + encode(0x88, bytes((self.is_ca,))),
        )

    @classmethod
    def decode_value(cls, slot: int, value: bytes) -> StoredCertificate:
        """Read what stands in the 53 object for ``slot``."""
        if not value:
            return cls(slot, b"")
        template = read_template(value, "certificate")
        label, der, flag = template.take_text(0x84), template.take(0x85), template.take_int(0x88, 1)
        template.finish()
        if flag > 1 or not der:
            raise TlvInvalid("certificate: no certificate, or neither a leaf nor a CA")
        return cls(slot, der, label, is_ca=bool(flag))


@dataclass(frozen=True, slots=True)
class GenerateKey:
    """The data field of GENERATE KEY PAIR: AC with algorithm 80, usage 81, label 82."""

    algorithm: KeyAlgorithm
    usage: KeyUsageCode
    label: str

    def encode(self) -> bytes:
        """The AC object."""
        return encode(
            _GENERATE,
            encode(0x80, bytes((ALGORITHM_CODE[self.algorithm],)))
            + encode(0x81, bytes((self.usage,)))
            + encode(0x82, self.label.encode()),
        )

    @classmethod
    def decode(cls, data: bytes) -> GenerateKey:
        """Read the data field; `TlvInvalid` for another form."""
        outer = parse_one(data)
        if outer.tag != _GENERATE:
            raise TlvInvalid(f"control reference template AC expected, not {outer.tag:02X}")
        template = read_template(outer.value, "generate key pair")
        asked = cls(
            _algorithm(template, 0x80),
            _usage(template, 0x81),
            template.take_text(0x82),
        )
        template.finish()
        return asked


@dataclass(frozen=True, slots=True)
class DigestToSign:
    """The data field of COMPUTE DIGITAL SIGNATURE: key 84, hash 80, digest 90."""

    key_reference: int
    hash: HashAlgorithm
    digest: bytes

    def encode(self) -> bytes:
        """The three objects."""
        return (
            encode(0x84, bytes((self.key_reference,)))
            + encode(0x80, bytes((HASH_CODE[self.hash],)))
            + encode(0x90, self.digest)
        )

    @classmethod
    def decode(cls, data: bytes) -> DigestToSign:
        """Read the data field; `TlvInvalid` for another form."""
        template = read_template(data, "digest to sign")
        code = template.take_int(0x80, 1)
        if code not in _HASH_OF_CODE:
            raise TlvInvalid(f"unknown hash {code:02X}")
        asked = cls(template.take_int(0x84, 1), _HASH_OF_CODE[code], template.take(0x90))
        template.finish()
        if len(asked.digest) != asked.hash.digest_size:
            raise TlvInvalid(f"{len(asked.digest)} bytes are no {asked.hash} digest")
        return asked


@dataclass(frozen=True, slots=True)
class ChallengeToSign:
    """The data field of INTERNAL AUTHENTICATE: key 84, challenge 81 of 16 to 255 bytes.

    The token signs the challenge itself (hashed as `KeyAlgorithm.hash` says).
    """

    key_reference: int
    challenge: bytes

    def encode(self) -> bytes:
        """The two objects."""
        return encode(0x84, bytes((self.key_reference,))) + encode(0x81, self.challenge)

    @classmethod
    def decode(cls, data: bytes) -> ChallengeToSign:
        """Read the data field; `TlvInvalid` for another form."""
        template = read_template(data, "challenge to sign")
        asked = cls(template.take_int(0x84, 1), template.take(0x81))
        template.finish()
        if len(asked.challenge) not in CHALLENGE_SIZES:
            raise TlvInvalid("a challenge has 16 to 255 bytes")
        return asked
