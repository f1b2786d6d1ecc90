"""Which tokens a program takes for what they say: by certificates that it has from elsewhere."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from ushield.errors import CertificateInvalid, TokenUntrusted

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

    from ushield.drivers.base import TokenDriver

__all__ = ["DeviceTrust"]


@dataclass(frozen=True, slots=True)
class DeviceTrust:
    """Trust in tokens whose device certificate is one of ``anchors``, or issued by one of them.

    ``anchors`` are certificates in DER: of devices, as recorded when they were handed out, or of
    who makes them.
    """

    anchors: tuple[bytes, ...]

    @classmethod
    def from_pem(cls, data: bytes) -> Self:
        """The certificates in a PEM file; `CertificateInvalid` if there is none."""
        from cryptography import x509
        from cryptography.hazmat.primitives.serialization import Encoding

        try:
            found = x509.load_pem_x509_certificates(data)
            return cls(tuple(one.public_bytes(Encoding.DER) for one in found))
        except ValueError as error:
            raise CertificateInvalid(f"no certificates of devices in PEM: {error}") from error

    def check(self, driver: TokenDriver) -> None:
        """Return if the channel to ``driver``'s token was proven by a device trusted here.

        `TokenUntrusted` if not, or if there is no channel; before any PIN was sent, if it is asked
        before. The channel stays with that device, however often it is opened again.
        """
        certificate: bytes | None = getattr(driver, "proven_by", None)
        if certificate is None:
            raise TokenUntrusted("the token has no secure channel to prove its device by")
        if certificate not in self.anchors and not self._is_issued(certificate):
            raise TokenUntrusted("the token's device is none of those that are trusted")

    def _is_issued(self, certificate: bytes) -> bool:
        from cryptography import x509

        try:
            device = x509.load_der_x509_certificate(certificate)
            return any(
                _issues(x509.load_der_x509_certificate(anchor), device) for anchor in self.anchors
            )
        except (ValueError, x509.InvalidVersion) as error:
            raise CertificateInvalid(f"a certificate of a device: {error}") from error


def _issues(anchor: Certificate, device: Certificate) -> bool:
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature

    from ushield.cms.unreadable import unreadable

    now = datetime.datetime.now(datetime.UTC)
    try:
        if any(
            not one.not_valid_before_utc <= now <= one.not_valid_after_utc
            for one in (anchor, device)
        ):
            return False
        constraints = anchor.extensions.get_extension_for_class(x509.BasicConstraints).value
        usage = anchor.extensions.get_extension_for_class(x509.KeyUsage).value
        device.verify_directly_issued_by(anchor)
    except (x509.ExtensionNotFound, InvalidSignature):
        return False
    except unreadable():
        return False
    # The device issues the certificates of its own keys: it is an authority, too.
    return constraints.ca and constraints.path_length != 0 and usage.key_cert_sign
