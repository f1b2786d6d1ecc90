"""Certificates and signatures for tests: authorities, signers, and what a token would sign."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import NameOID

from ushield.algorithms import HashAlgorithm, KeyAlgorithm
from ushield.cms import BlindStatement, Receipt, assemble, signed_attributes
from ushield.transaction import (
    Message,
    Screen,
    lay_out,
    pages_digest,
    parse_message,
)

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

NOW = datetime(2026, 6, 1, tzinfo=UTC)
YEAR = timedelta(days=365)
_HASHES = {
    HashAlgorithm.SHA256: hashes.SHA256(),
    HashAlgorithm.SHA384: hashes.SHA384(),
    HashAlgorithm.SHA512: hashes.SHA512(),
}


@cache
def private_key(algorithm: KeyAlgorithm, owner: str = "") -> PrivateKey:
    """A key pair; the same for the same arguments, because RSA keys take their time."""
    if algorithm.is_rsa:
        return rsa.generate_private_key(65537, int(algorithm.value.removeprefix("rsa")))
    curve = ec.SECP256R1() if algorithm is KeyAlgorithm.P256 else ec.SECP384R1()
    return ec.generate_private_key(curve)


def name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def key_usage(*names: str) -> x509.KeyUsage:
    every = (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    )
    return x509.KeyUsage(**{each: each in names for each in every})


SIGNING = key_usage("digital_signature", "content_commitment")
CA = x509.BasicConstraints(ca=True, path_length=None)
CERTIFYING = key_usage("key_cert_sign", "crl_sign")


def certificate(
    subject: str,
    issuer: str,
    public_key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey,
    issuer_key: PrivateKey,
    *,
    usage: x509.KeyUsage | None = SIGNING,
    constraints: x509.BasicConstraints | None = None,
    extensions: Sequence[tuple[x509.ExtensionType, bool]] = (),
    not_before: datetime = NOW - YEAR,
    not_after: datetime = NOW + YEAR,
    hash_algorithm: hashes.HashAlgorithm | None = None,
) -> x509.Certificate:
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(name(issuer))
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(not_before)
        .not_valid_after(not_after)
    )
    if usage is not None:
        builder = builder.add_extension(usage, critical=True)
    if constraints is not None:
        builder = builder.add_extension(constraints, critical=True)
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(issuer_key, hash_algorithm or hashes.SHA256())  # type: ignore[arg-type]


def authority(
    subject: str = "Test Bank CA",
    issuer: str | None = None,
    *,
    usage: x509.KeyUsage | None = CERTIFYING,
    constraints: x509.BasicConstraints | None = CA,
    extensions: Sequence[tuple[x509.ExtensionType, bool]] = (),
    not_before: datetime = NOW - 10 * YEAR,
    not_after: datetime = NOW + 10 * YEAR,
    hash_algorithm: hashes.HashAlgorithm | None = None,
) -> x509.Certificate:
    """A CA with its own P-256 key, self-signed unless another authority issues it."""
    return certificate(
        subject,
        issuer or subject,
        authority_key(subject).public_key(),
        authority_key(issuer or subject),
        usage=usage,
        constraints=constraints,
        extensions=extensions,
        not_before=not_before,
        not_after=not_after,
        hash_algorithm=hash_algorithm,
    )


def authority_key(subject: str) -> PrivateKey:
    return private_key(KeyAlgorithm.P256, subject)


def der(*certificates: x509.Certificate) -> bytes:
    return b"".join(each.public_bytes(serialization.Encoding.DER) for each in certificates)


def pem(*certificates: x509.Certificate) -> bytes:
    return b"".join(each.public_bytes(serialization.Encoding.PEM) for each in certificates)


@dataclass(frozen=True)
class Signer:
    """A key and its certificate, signing as a token does."""

    algorithm: KeyAlgorithm
    key: PrivateKey
    certificate: x509.Certificate

    @classmethod
    def issued(
        cls,
        algorithm: KeyAlgorithm = KeyAlgorithm.P256,
        *,
        issuer: str = "Test Bank CA",
        subject: str = "李四",
        usage: x509.KeyUsage | None = SIGNING,
        constraints: x509.BasicConstraints | None = None,
        extensions: Sequence[tuple[x509.ExtensionType, bool]] = (),
        not_before: datetime = NOW - YEAR,
        not_after: datetime = NOW + YEAR,
        hash_algorithm: hashes.HashAlgorithm | None = None,
    ) -> Signer:
        key = private_key(algorithm)
        return cls(
            algorithm,
            key,
            certificate(
                subject,
                issuer,
                key.public_key(),
                authority_key(issuer),
                usage=usage,
                constraints=constraints,
                extensions=extensions,
                not_before=not_before,
                not_after=not_after,
                hash_algorithm=hash_algorithm,
            ),
        )

    @property
    def der(self) -> bytes:
        return der(self.certificate)

    def raw(self, data: bytes, hash_algorithm: HashAlgorithm | None = None) -> bytes:
        algorithm = _HASHES[hash_algorithm or self.algorithm.hash]
        if isinstance(self.key, rsa.RSAPrivateKey):
            return self.key.sign(data, padding.PKCS1v15(), algorithm)
        return self.key.sign(data, ec.ECDSA(algorithm))

    def sign(self, message: bytes, receipt: Receipt | BlindStatement | None = None) -> bytes:
        """A whole signature (DER) over ``message``."""
        attributes = signed_attributes(
            message, self.der, receipt or receipt_for(message), self.algorithm.hash
        )
        return self.sign_attributes(message, attributes)

    def sign_attributes(self, message: bytes, attributes: bytes) -> bytes:
        return self.assemble(message, attributes, self.raw(attributes))

    def assemble(
        self,
        message: bytes,
        attributes: bytes,
        signature: bytes,
        certificate_der: bytes | None = None,
    ) -> bytes:
        """A signature put together from parts that need not fit."""
        return assemble(
            message=message,
            certificate=certificate_der or self.der,
            signed_attributes=attributes,
            signature=signature,
            is_rsa=self.algorithm.is_rsa,
            hash_algorithm=self.algorithm.hash,
        )


def receipt_for(
    message: bytes | Message,
    screen: Screen = Screen(),  # noqa: B008
    *,
    virtual: bool = False,
) -> Receipt:
    """The receipt of a token that showed ``message`` on ``screen``."""
    parsed = parse_message(message) if isinstance(message, bytes) else message
    return Receipt(
        serial="US00000001",
        request_id=bytes(range(8)),
        counter=7,
        pages_digest=pages_digest(lay_out(parsed.shown, screen)),
        milliseconds=4200,
        lines=screen.lines,
        columns=screen.columns,
        repertoire=screen.repertoire,
        banner=screen.banner,
        virtual=virtual,
    )
