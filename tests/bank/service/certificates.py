"""Certificates for TLS, valid now: a CA, and what it issues to a server and to clients."""

from __future__ import annotations

import ipaddress
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY = timedelta(days=1)


def named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


@dataclass(frozen=True)
class TlsFiles:
    """A certificate and its key, in files (PEM)."""

    certificate: Path
    key: Path

    @property
    def der(self) -> bytes:
        found = x509.load_pem_x509_certificate(self.certificate.read_bytes())
        return found.public_bytes(serialization.Encoding.DER)


class TlsAuthority:
    """A CA with files in a folder of its own."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self.folder = folder
        self.key = ec.generate_private_key(ec.SECP256R1())
        usage = x509.KeyUsage(*(each in (5, 6) for each in range(9)))
        constraints = x509.BasicConstraints(ca=True, path_length=0)
        self.certificate = self._sign(name, self.key, (constraints, True), (usage, True))
        self.file = folder / f"{name}.pem"
        self.file.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))

    @classmethod
    def make(cls, folder: Path, name: str) -> Self:
        folder.mkdir(exist_ok=True)
        return cls(folder, name)

    def issue(self, name: str, *, server: bool = False) -> TlsFiles:
        """A certificate for a client, or for a server on this machine."""
        key = ec.generate_private_key(ec.SECP256R1())
        purpose = ExtendedKeyUsageOID.SERVER_AUTH if server else ExtendedKeyUsageOID.CLIENT_AUTH
        extensions: list[tuple[x509.ExtensionType, bool]] = [
            (x509.BasicConstraints(ca=False, path_length=None), True),
            (x509.ExtendedKeyUsage([purpose]), False),
        ]
        if server:
            local = ipaddress.ip_address("127.0.0.1")
            names = [x509.DNSName("bank.example"), x509.IPAddress(local)]
            extensions.append((x509.SubjectAlternativeName(names), False))
        certificate = self._sign(name, key, *extensions)
        found = TlsFiles(self.folder / f"{name}.pem", self.folder / f"{name}-key.pem")
        found.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        found.key.touch(0o600)
        found.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return found

    def client(self, files: TlsFiles | None = None) -> ssl.SSLContext:
        """TLS of a client that trusts this CA, with a certificate of its own or without one."""
        context = ssl.create_default_context(cafile=str(self.file))
        if files is not None:
            context.load_cert_chain(files.certificate, files.key)
        return context

    def _sign(
        self,
        name: str,
        key: ec.EllipticCurvePrivateKey,
        *extensions: tuple[x509.ExtensionType, bool],
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        own = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        builder = (
            x509.CertificateBuilder()
            .subject_name(named(name))
            .issuer_name(named(self.name))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - DAY)
            .not_valid_after(now + DAY)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
            .add_extension(own, False)
        )
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        return builder.sign(self.key, hashes.SHA256())
