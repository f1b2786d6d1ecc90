"""The embedded CA's key and certificates, in memory and in files."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from ushield.algorithms import KeyAlgorithm
from ushield.bank.authorities.certificates import (
    AuthorityPrivateKey,
    authority_certificate,
    responder_certificate,
)
from ushield.bank.key_files import private_pem, read_private, read_private_key, write_private
from ushield.bank.revocation.evidence import issuer_id
from ushield.bank.whole_files import read_whole, write_durably
from ushield.errors import InputInvalid

__all__ = [
    "AuthorityKey",
    "ResponderKey",
    "load_certificates",
    "load_chain",
    "load_private_key",
    "read_passphrase",
]

_MAX_CHAIN = 1 << 20
_VALIDITY = timedelta(days=3650)
_RSA_EXPONENT = 65537
_MOST_RSA_BITS = 8192


@dataclass(frozen=True, slots=True)
class AuthorityKey:
    """A CA's private key, its certificate, and those above it up to a self-signed one."""

    private_key: AuthorityPrivateKey = field(repr=False)
    chain: tuple[x509.Certificate, ...]

    @classmethod
    def create(
        cls,
        name: x509.Name,
        at: datetime,
        *,
        algorithm: KeyAlgorithm = KeyAlgorithm.P256,
        validity: timedelta = _VALIDITY,
    ) -> AuthorityKey:
        """A new key with a self-signed certificate, in memory; `save` keeps it."""
        key = _generate(algorithm)
        return cls(key, (authority_certificate(key, name, at=at, validity=validity),))

    @classmethod
    def load(
        cls, key: str | Path, chain: str | Path, *, passphrase: bytes | None = None
    ) -> AuthorityKey:
        """Read a key (PKCS #8 in PEM) and its certificates (PEM, the key's own first).

        `InputInvalid` if others may read the key, if it is none of a CA's, or if the certificate
        is of another key or of no CA.
        """
        private = load_private_key(key, passphrase)
        certificates = load_chain(chain)
        issuer = certificates[0]
        if issuer.public_key() != private.public_key():
            raise InputInvalid(f"{chain}: the first certificate is of another key than {key}")
        try:
            extensions = issuer.extensions
            constraints = extensions.get_extension_for_class(x509.BasicConstraints).value
            usage = extensions.get_extension_for_class(x509.KeyUsage).value
        except (ValueError, x509.ExtensionNotFound) as error:
            raise InputInvalid(f"{chain}: not the certificate of a CA") from error
        if not (constraints.ca and usage.key_cert_sign and usage.crl_sign):
            raise InputInvalid(f"{chain}: it may not sign certificates and CRLs")
        return cls(private, certificates)

    def save(self, key: str | Path, chain: str | Path, *, passphrase: bytes | None = None) -> None:
        """Write a new file for the key, mode 0600, and one for the certificates; `InputInvalid`."""
        write_private(key, private_pem(self.private_key, passphrase))
        try:
            with write_durably(Path(chain)) as stream:
                stream.write(self.pem)
        except OSError as error:
            raise InputInvalid(f"{chain}: {error.strerror}") from error

    @property
    def certificate(self) -> x509.Certificate:
        """The CA's own certificate."""
        return self.chain[0]

    @property
    def issuer(self) -> x509.Certificate:
        """As `certificate`: it answers for itself."""
        return self.chain[0]

    @property
    def identity(self) -> str:
        """What the CA's rows in the database are known by: its name and key, by a digest."""
        return issuer_id(self.certificate).hex()

    @property
    def pem(self) -> bytes:
        """The certificates, the CA's own first."""
        return b"".join(each.public_bytes(Encoding.PEM) for each in self.chain)


@dataclass(frozen=True, slots=True)
class ResponderKey:
    """A key that answers OCSP for the CA ``issuer``, and the certificate it has for that."""

    private_key: AuthorityPrivateKey = field(repr=False)
    certificate: x509.Certificate
    issuer: x509.Certificate

    @classmethod
    def create(
        cls, authority: AuthorityKey, at: datetime, *, validity: timedelta = timedelta(days=30)
    ) -> ResponderKey:
        """A new P-256 key with a certificate of ``authority``, in memory; `save` keeps it.

        Nobody can revoke it: let it live for weeks, and make another before it ends.
        """
        key = _generate(KeyAlgorithm.P256)
        issuer = authority.certificate
        certificate = responder_certificate(
            issuer, authority.private_key, key.public_key(), at=at, validity=validity
        )
        return cls(key, certificate, issuer)

    @classmethod
    def load(cls, path: str | Path, issuer: x509.Certificate) -> ResponderKey:
        """Read what `save` wrote; `InputInvalid` if it is not a responder's of ``issuer``."""
        encoded = read_private(path)
        private = load_private_key(path)
        try:
            certificate = x509.load_pem_x509_certificate(encoded)
            certificate.verify_directly_issued_by(issuer)
        except (ValueError, TypeError, InvalidSignature) as error:
            raise InputInvalid(f"{path}: no certificate of this CA is in it") from error
        if certificate.public_key() != private.public_key():
            raise InputInvalid(f"{path}: the certificate is of another key")
        return cls(private, certificate, issuer)

    def save(self, path: str | Path) -> None:
        """Write a new file with both, mode 0600; `InputInvalid`."""
        key = private_pem(self.private_key)
        write_private(path, key + self.certificate.public_bytes(Encoding.PEM))

    @property
    def identity(self) -> str:
        """As `AuthorityKey.identity`, of the CA."""
        return issuer_id(self.issuer).hex()


def read_passphrase(path: str | Path) -> bytes:
    """The first line of a file that its owner alone can read; `InputInvalid`."""
    line = read_private(path).partition(b"\n")[0].rstrip(b"\r")
    if not line:
        raise InputInvalid(f"{path}: nothing on its first line")
    return line


def _generate(algorithm: KeyAlgorithm) -> AuthorityPrivateKey:
    match algorithm:
        case KeyAlgorithm.P256:
            return ec.generate_private_key(ec.SECP256R1())
        case KeyAlgorithm.RSA_3072 | KeyAlgorithm.RSA_4096:
            return rsa.generate_private_key(_RSA_EXPONENT, int(algorithm.value[3:]))
        case _:
            raise InputInvalid(f"a CA's key is p256, rsa3072 or rsa4096, not {algorithm}")


def load_private_key(
    path: str | Path, passphrase: bytes | None = None, *, least_rsa_bits: int = 3072
) -> AuthorityPrivateKey:
    """Read a key (PKCS #8 in PEM) of P-256, or RSA up to 8192 bits; `InputInvalid`."""
    key = read_private_key(path, passphrase)
    if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1):
        return key
    if isinstance(key, rsa.RSAPrivateKey) and least_rsa_bits <= key.key_size <= _MOST_RSA_BITS:
        return key
    raise InputInvalid(f"{path}: the key must be P-256, or RSA of {least_rsa_bits} bits or more")


def load_certificates(path: str | Path) -> tuple[x509.Certificate, ...]:
    """Read certificates (PEM), one at least; `InputInvalid`."""
    try:
        return tuple(x509.load_pem_x509_certificates(read_whole(path, at_most=_MAX_CHAIN)))
    except (ValueError, x509.InvalidVersion) as error:
        raise InputInvalid(f"{path}: no certificates in PEM") from error


def load_chain(path: str | Path) -> tuple[x509.Certificate, ...]:
    """Read certificates (PEM) that lead, each by the next, to a self-signed one; `InputInvalid`."""
    found = load_certificates(path)
    for below, above in zip(found, (*found[1:], found[-1]), strict=True):
        try:
            below.verify_directly_issued_by(above)
        except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm) as error:
            raise InputInvalid(
                f"{path}: the certificates do not lead, one by the next, to a self-signed one"
            ) from error
    return found
