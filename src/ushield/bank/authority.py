"""A certification authority for demonstrations and tests: its key lives in memory only."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from ushield.errors import InputInvalid

__all__ = ["DevelopmentAuthority"]

_CA_DAYS = 3650
_CUSTOMER_DAYS = 730


class DevelopmentAuthority:
    """A new CA of an organisation's name; what it issued cannot be renewed once it is gone."""

    def __init__(self, organisation: str) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name(
            [
                x509.NameAttribute(NameOID.COUNTRY_NAME, "CN"),
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation),
                x509.NameAttribute(NameOID.COMMON_NAME, f"{organisation} CA"),
            ]
        )
        public = self._key.public_key()
        builder = _builder(name, name, public, _CA_DAYS)
        self._certificate = (
            builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(ca=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .sign(self._key, SHA256())
        )

    @property
    def ca_pem(self) -> bytes:
        """The CA's own certificate, for whoever verifies."""
        return self._certificate.public_bytes(Encoding.PEM)

    def issue(self, request: bytes) -> bytes:
        """A customer's certificate (PEM) for a PKCS #10 request (DER), if the request is signed."""
        asked = x509.load_der_x509_csr(request)
        if not asked.is_signature_valid:
            raise InputInvalid("the request is not signed by its own key")
        public = asked.public_key()
        builder = _builder(asked.subject, self._certificate.subject, public, _CUSTOMER_DAYS)
        issuer_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        certificate = (
            builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(ca=False), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(issuer_key, critical=False)
            .sign(self._key, SHA256())
        )
        return certificate.public_bytes(Encoding.PEM)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public: CertificatePublicKeyTypes,
    days: int,
) -> x509.CertificateBuilder:
    # An hour back, for a verifier whose clock is behind.
    start = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=days))
    )


def _usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        content_commitment=not ca,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )
