"""A certification authority for demonstrations and tests: its key lives in memory only."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from ushield.bank.authorities.certificates import (
    PublicationPoints,
    authority_certificate,
    authority_name,
    customer_certificate,
)
from ushield.bank.authorities.protocol import CertificateProfile
from ushield.bank.authorities.request import read_request

__all__ = ["DevelopmentAuthority"]

_VALIDITY = timedelta(days=3650)


class DevelopmentAuthority:
    """A new CA of an organisation's name; what it issued cannot be renewed once it is gone.

    It issues to whoever asks, under the name they ask for. A bank's own CA is
    `ushield.bank.authorities.EmbeddedAuthority`.
    """

    def __init__(self, organisation: str) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._certificate = authority_certificate(
            self._key, authority_name(organisation), at=datetime.now(UTC), validity=_VALIDITY
        )

    @property
    def ca_pem(self) -> bytes:
        """The CA's own certificate, for whoever verifies."""
        return self._certificate.public_bytes(Encoding.PEM)

    def issue(self, request: bytes) -> bytes:
        """A customer's certificate (PEM) for a PKCS #10 request (DER), if the request is signed."""
        asked = read_request(request)
        certificate = customer_certificate(
            self._certificate,
            self._key,
            asked.public_key(),
            CertificateProfile(subject=asked.subject),
            at=datetime.now(UTC),
            points=PublicationPoints(),
        )
        return certificate.public_bytes(Encoding.PEM)
