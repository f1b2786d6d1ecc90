"""The device key's certificates: of itself, and of the keys made on the token."""

from __future__ import annotations

import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_der_public_key
from cryptography.x509.oid import NameOID

from ushield.algorithms import KeyAlgorithm
from ushield.cms import oids
from ushield.cms.attestation import VIRTUAL_UNIT, Attestation
from ushield.shield.commands import KeyUsageCode
from ushield.virtual.keys import encode_private_key, generate_private_key, load_private_key
from ushield.virtual.nvram import ChannelKey, Identity, PivKey, StoredKey
from ushield.virtual.profile import VirtualProfile, load_profile

__all__ = ["attest", "attest_piv", "make_channel_key", "make_device_key", "prove"]

# A device certificate does not expire (RFC 5280, 4.1.2.5, for such a case), and it should be valid
# by every clock a test may hand to the token.
_NOT_BEFORE = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
_NOT_AFTER = datetime.datetime(9999, 12, 31, 23, 59, 59, tzinfo=datetime.UTC)
_NO_USE = {
    "content_commitment": False,
    "crl_sign": False,
    "data_encipherment": False,
    "decipher_only": False,
    "digital_signature": False,
    "encipher_only": False,
    "key_agreement": False,
    "key_cert_sign": False,
    "key_encipherment": False,
}
_ISSUES_CERTIFICATES = x509.KeyUsage(**_NO_USE | {"key_cert_sign": True})
_AGREES_ON_KEYS = x509.KeyUsage(**_NO_USE | {"key_agreement": True})
_SIGNS = x509.KeyUsage(**_NO_USE | {"digital_signature": True, "content_commitment": True})


def make_device_key(profile: VirtualProfile, serial: str) -> tuple[bytes, bytes]:
    """A P-256 device key (PrivateKeyInfo) and its self-signed certificate, both DER.

    The names say model and serial; the model of a virtual token says that it is one.
    """
    key = generate_private_key(KeyAlgorithm.P256)
    name = _name(profile, serial, f"{profile.model} {serial}")
    certificate = (
        _certificate(name, name)
        .public_key(key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_ISSUES_CERTIFICATES, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return encode_private_key(key), certificate.public_bytes(Encoding.DER)


def make_channel_key(identity: Identity) -> ChannelKey:
    """A P-256 key for secure channels, with its certificate by the device key."""
    profile = load_profile(identity.profile)
    device_key = load_private_key(identity.device_key)
    issuer = x509.load_der_x509_certificate(identity.device_certificate)
    key = generate_private_key(KeyAlgorithm.P256)
    public_key = key.public_key()
    subject = _name(profile, identity.serial, f"Channel of {identity.serial}")
    certificate = (
        _certificate(subject, issuer.subject)
        .public_key(public_key)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_AGREES_ON_KEYS, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(device_key.public_key()),
            critical=False,
        )
        .sign(device_key, hashes.SHA256())
    )
    return ChannelKey(encode_private_key(key), certificate.public_bytes(Encoding.DER))


def prove(identity: Identity, claim: bytes) -> bytes:
    """The device key's signature over ``claim`` (ECDSA, SHA-256, DER), which is no certificate."""
    device_key = load_private_key(identity.device_key)
    assert isinstance(device_key, ec.EllipticCurvePrivateKey)  # noqa: S101 - made so
    return device_key.sign(claim, ec.ECDSA(hashes.SHA256()))


def attest(identity: Identity, key: StoredKey) -> bytes:
    """A certificate (DER) by the device key: this key was made on this token, for this usage."""
    return _attest(identity, f"Key {key.reference}", key.public_key, key.usage)


def attest_piv(identity: Identity, key: PivKey) -> bytes:
    """The same for a key of the PIV application, which signs whatever the host says."""
    name = f"PIV key {key.slot:02X}"
    return _attest(identity, name, key.public_key, KeyUsageCode.AUTHENTICATION)


def _attest(identity: Identity, name: str, public_key_der: bytes, usage: KeyUsageCode) -> bytes:
    profile = load_profile(identity.profile)
    device_key = load_private_key(identity.device_key)
    issuer = x509.load_der_x509_certificate(identity.device_certificate)
    subject = _name(profile, identity.serial, f"{name} of {identity.serial}")
    public_key = load_der_public_key(public_key_der)
    # Of all kinds of keys it takes, a token makes some.
    identifier = x509.SubjectKeyIdentifier.from_public_key(public_key)  # type: ignore[arg-type]
    attestation = Attestation(
        serial=identity.serial,
        model=profile.model,
        firmware=".".join(map(str, profile.firmware)),
        usage=int(usage),
        generated=True,
        virtual=True,
    )
    return (
        _certificate(subject, issuer.subject)
        # Of all kinds of keys it takes, a token makes some.
        .public_key(public_key)  # type: ignore[arg-type]
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_SIGNS, critical=True)
        .add_extension(identifier, critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(device_key.public_key()),
            critical=False,
        )
        .add_extension(
            x509.UnrecognizedExtension(
                x509.ObjectIdentifier(oids.ATTESTATION), attestation.encode()
            ),
            critical=False,
        )
        .sign(device_key, hashes.SHA256())
        .public_bytes(Encoding.DER)
    )


def _name(profile: VirtualProfile, serial: str, common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, profile.manufacturer),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, VIRTUAL_UNIT),
            x509.NameAttribute(NameOID.SERIAL_NUMBER, serial),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def _certificate(subject: x509.Name, issuer: x509.Name) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .serial_number(x509.random_serial_number())
        .not_valid_before(_NOT_BEFORE)
        .not_valid_after(_NOT_AFTER)
    )
