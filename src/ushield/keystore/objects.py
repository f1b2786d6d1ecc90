"""Objects of the key store: certificates and key pairs, each with its PKCS #11 attributes.

A certificate and its key pair share ``key_id`` (``CKA_ID``). The directory of a token can be read
without a PIN, so ``CKA_PRIVATE`` is false throughout; it is *using* a private key that wants one.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from ushield.algorithms import HashAlgorithm, KeyAlgorithm
from ushield.drivers.base import KeyInfo, KeyUsage
from ushield.errors import CertificateInvalid, ProtocolViolation
from ushield.iso7816.tlv import encode
from ushield.keystore.attributes import (
    Attribute,
    AttributeValue,
    CertificateCategory,
    CertificateType,
    KeyType,
    Mechanism,
    ObjectClass,
)
from ushield.keystore.bundle import public_key_der, read_certificate

if TYPE_CHECKING:
    from cryptography import x509

__all__ = ["Certificate", "PrivateKey", "PublicKey", "StoredObject"]

_SIGNING = {
    (KeyType.RSA, HashAlgorithm.SHA256): Mechanism.SHA256_RSA_PKCS,
    (KeyType.RSA, HashAlgorithm.SHA384): Mechanism.SHA384_RSA_PKCS,
    (KeyType.RSA, HashAlgorithm.SHA512): Mechanism.SHA512_RSA_PKCS,
    (KeyType.EC, HashAlgorithm.SHA256): Mechanism.ECDSA_SHA256,
    (KeyType.EC, HashAlgorithm.SHA384): Mechanism.ECDSA_SHA384,
    (KeyType.EC, HashAlgorithm.SHA512): Mechanism.ECDSA_SHA512,
}
# DER of the named curves' OBJECT IDENTIFIERs (RFC 5480, 2.1.1.1): what CKA_EC_PARAMS holds.
_CURVE = {
    KeyAlgorithm.P256: bytes.fromhex("06082A8648CE3D030107"),
    KeyAlgorithm.P384: bytes.fromhex("06052B81040022"),
}
_OCTET_STRING, _INTEGER = 0x04, 0x02


def _common(
    object_class: ObjectClass, label: str, key_id: bytes
) -> dict[Attribute, AttributeValue]:
    return {
        Attribute.CLASS: object_class,
        Attribute.TOKEN: True,
        Attribute.PRIVATE: False,
        Attribute.MODIFIABLE: False,
        Attribute.COPYABLE: False,
        Attribute.LABEL: label,
        Attribute.ID: key_id,
    }


def _unsigned(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8 or 1, "big")


@dataclass(frozen=True, slots=True)
class Certificate:
    """An X.509 certificate on the token. ``key_id`` is empty for one of the chain."""

    slot: int
    key_id: bytes
    label: str
    der: bytes

    def parsed(self) -> x509.Certificate:
        """The certificate as `cryptography` reads it; `CertificateInvalid` if it cannot."""
        try:
            return read_certificate(self.der)
        except CertificateInvalid as error:
            raise CertificateInvalid(f"certificate {self.label!r}: {error}") from error

    @property
    def pem(self) -> str:
        """The certificate as text (RFC 7468)."""
        from cryptography.hazmat.primitives.serialization import Encoding

        return self.parsed().public_bytes(Encoding.PEM).decode("ascii")

    @property
    def category(self) -> CertificateCategory:
        """The token user's own, or an authority's."""
        return CertificateCategory.TOKEN_USER if self.key_id else CertificateCategory.AUTHORITY

    @property
    def attributes(self) -> dict[Attribute, AttributeValue]:
        """All attributes of clause 4.6.3; names and the serial number in DER.

        `CertificateInvalid` for one that cannot be read.
        """
        parsed = self.parsed()
        serial = parsed.serial_number
        return _common(ObjectClass.CERTIFICATE, self.label, self.key_id) | {
            Attribute.DESTROYABLE: True,
            Attribute.CERTIFICATE_TYPE: CertificateType.X_509,
            Attribute.CERTIFICATE_CATEGORY: self.category,
            Attribute.TRUSTED: False,
            Attribute.URL: "",
            Attribute.CHECK_VALUE: hashlib.sha1(self.der, usedforsecurity=False).digest()[:3],
            Attribute.START_DATE: parsed.not_valid_before_utc.date(),
            Attribute.END_DATE: parsed.not_valid_after_utc.date(),
            Attribute.SUBJECT: parsed.subject.public_bytes(),
            Attribute.ISSUER: parsed.issuer.public_bytes(),
            Attribute.SERIAL_NUMBER: encode(
                _INTEGER, serial.to_bytes(serial.bit_length() // 8 + 1, "big", signed=True)
            ),
            Attribute.PUBLIC_KEY_INFO: public_key_der(parsed),
            Attribute.VALUE: self.der,
        }


def _key_type(algorithm: KeyAlgorithm) -> KeyType:
    return KeyType.RSA if algorithm.is_rsa else KeyType.EC


def _key_common(object_class: ObjectClass, info: KeyInfo) -> dict[Attribute, AttributeValue]:
    rsa = info.algorithm.is_rsa
    mechanisms = (
        {Mechanism.DISPLAY_SIGNING}
        if info.usage is KeyUsage.DISPLAY
        else {_SIGNING[_key_type(info.algorithm), algorithm] for algorithm in HashAlgorithm}
    )
    return _common(object_class, info.label, info.key_id) | {
        Attribute.DESTROYABLE: True,
        Attribute.KEY_TYPE: _key_type(info.algorithm),
        Attribute.DERIVE: False,
        Attribute.LOCAL: info.generated is True,
        Attribute.KEY_GEN_MECHANISM: (
            Mechanism.RSA_PKCS_KEY_PAIR_GEN if rsa else Mechanism.EC_KEY_PAIR_GEN
        ),
        Attribute.ALLOWED_MECHANISMS: frozenset(mechanisms),
        Attribute.SUBJECT: b"",
        Attribute.PUBLIC_KEY_INFO: info.public_key,
    }


@dataclass(frozen=True, slots=True)
class PrivateKey:
    """A private key: made on the token, and never leaving it.

    ``always_authenticate``: every signature wants the PIN again.
    """

    info: KeyInfo
    always_authenticate: bool

    @property
    def key_id(self) -> bytes:
        """``CKA_ID``, the same as its certificate's."""
        return self.info.key_id

    @property
    def label(self) -> str:
        """``CKA_LABEL``."""
        return self.info.label

    @property
    def attributes(self) -> dict[Attribute, AttributeValue]:
        """All attributes of clause 4.9 that hold for a key on this token."""
        return _key_common(ObjectClass.PRIVATE_KEY, self.info) | {
            Attribute.SENSITIVE: True,
            Attribute.ALWAYS_SENSITIVE: self.info.generated is True,
            Attribute.EXTRACTABLE: False,
            Attribute.NEVER_EXTRACTABLE: self.info.generated is True,
            Attribute.SIGN: True,
            Attribute.ALWAYS_AUTHENTICATE: self.always_authenticate,
        }


@dataclass(frozen=True, slots=True)
class PublicKey:
    """The public half of a key pair."""

    info: KeyInfo

    @property
    def key_id(self) -> bytes:
        """``CKA_ID``, the same as its certificate's."""
        return self.info.key_id

    @property
    def label(self) -> str:
        """``CKA_LABEL``."""
        return self.info.label

    @property
    def attributes(self) -> dict[Attribute, AttributeValue]:
        """All attributes of clause 4.8, with the numbers of the key itself.

        `ProtocolViolation` for a public key that is none of its algorithm.
        """
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric import ec, rsa
        from cryptography.hazmat.primitives.serialization import (
            Encoding,
            PublicFormat,
            load_der_public_key,
        )

        attributes = _key_common(ObjectClass.PUBLIC_KEY, self.info) | {
            Attribute.VERIFY: True,
            Attribute.TRUSTED: False,
        }
        try:
            key = load_der_public_key(self.info.public_key)
        except (ValueError, UnsupportedAlgorithm) as error:
            raise ProtocolViolation(
                f"the token's public key {self.label!r} cannot be read: {error}"
            ) from error
        if isinstance(key, rsa.RSAPublicKey) is not self.info.algorithm.is_rsa:
            raise ProtocolViolation(
                f"the token's key {self.label!r} is no {self.info.algorithm} key"
            )
        if isinstance(key, rsa.RSAPublicKey):
            numbers = key.public_numbers()
            attributes[Attribute.MODULUS] = _unsigned(numbers.n)
            attributes[Attribute.MODULUS_BITS] = key.key_size
            attributes[Attribute.PUBLIC_EXPONENT] = _unsigned(numbers.e)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            point = key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
            attributes[Attribute.EC_PARAMS] = _CURVE[self.info.algorithm]
            attributes[Attribute.EC_POINT] = encode(_OCTET_STRING, point)
        return attributes


StoredObject: TypeAlias = Certificate | PrivateKey | PublicKey
