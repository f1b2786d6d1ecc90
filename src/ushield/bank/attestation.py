"""Whether a key was made on a token that the bank allows: the token's own word, checked.

A token attests its keys by certificates of its device key. They come to the bank at enrolment, not
with signatures; the bank keeps them and requires them by an `AttestationPolicy`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

from ushield.bank.rejection import RejectionReason, TransactionRejected
from ushield.cms import oids
from ushield.cms.attestation import Attestation, AttestationInvalid
from ushield.errors import CertificateInvalid

__all__ = ["AttestationPolicy", "AttestationRegister", "EnrolledAttestation"]

_ATTESTATION = x509.ObjectIdentifier(oids.ATTESTATION)
_DISPLAY = 1
_UNREADABLE = (ValueError, TypeError, KeyError, UnsupportedAlgorithm, x509.InvalidVersion)


@dataclass(frozen=True, slots=True)
class EnrolledAttestation:
    """What a bank keeps of a key's enrolment, both certificates in DER.

    ``certificate`` is the answer to ATTEST, ``device`` the certificate of the device key that
    issued it.
    """

    certificate: bytes
    device: bytes


class AttestationRegister(Protocol):
    """Where the bank keeps attestations."""

    def attestation_of(self, certificate_sha256: bytes) -> EnrolledAttestation | None:
        """What was enrolled with the signer's certificate of this SHA-256, if anything was."""


@dataclass(frozen=True, slots=True)
class AttestationPolicy:
    """Which attestations a bank takes.

    ``register`` has them. ``makers`` are the certificates that end the search: those of token
    makers' CAs, or of single device keys that the bank knows. ``models`` are the models allowed;
    a virtual token's is one of them only if the bank says so.
    """

    register: AttestationRegister
    makers: tuple[x509.Certificate, ...]
    models: frozenset[str]

    @classmethod
    def load(
        cls, register: AttestationRegister, makers: bytes, models: Iterable[str]
    ) -> AttestationPolicy:
        """A policy whose makers are PEM certificates; `CertificateInvalid` if there is none."""
        try:
            return cls(register, tuple(x509.load_pem_x509_certificates(makers)), frozenset(models))
        except ValueError as error:
            raise CertificateInvalid("no certificate of a token maker can be read") from error

    def check(self, certificate_sha256: bytes, key: PublicKeyTypes) -> Attestation:
        """What is attested of ``key``; `TransactionRejected` if that is not enough.

        The key was generated on the token, for what its screen shows, and the token is of an
        allowed model.
        """
        enrolled = self.register.attestation_of(certificate_sha256)
        if enrolled is None:
            raise TransactionRejected(
                "no attestation was enrolled for the certificate",
                reason=RejectionReason.ATTESTATION_MISSING,
            )
        return self.examine(enrolled, key)

    def examine(self, enrolled: EnrolledAttestation, key: PublicKeyTypes) -> Attestation:
        """The same for an attestation at hand, such as at enrolment."""
        try:
            certificate = x509.load_der_x509_certificate(enrolled.certificate)
            device = x509.load_der_x509_certificate(enrolled.device)
            is_of_key = certificate.public_key() == key
            value = certificate.extensions.get_extension_for_oid(_ATTESTATION).value
            constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
        except (*_UNREADABLE, x509.ExtensionNotFound, x509.DuplicateExtension) as error:
            raise _invalid("cannot be read") from error
        if not is_of_key:
            raise _invalid("is of another key")
        if constraints.value.ca:
            raise _invalid("is a CA's certificate")
        if not _issued(certificate, device):
            raise _invalid("is not signed by the device key that came with it")
        if device not in self.makers and not any(_issued(device, each) for each in self.makers):
            raise _invalid("comes from a device that no known maker made")
        if not isinstance(value, x509.UnrecognizedExtension):
            raise _invalid("cannot be read")
        try:
            attestation = Attestation.decode(value.value)
        except AttestationInvalid as error:
            raise _invalid(f"holds {error}") from error
        if not attestation.generated:
            raise _invalid("is of a key that was not made on the token")
        if attestation.usage != _DISPLAY:
            raise _invalid("is of a key that signs without showing")
        if attestation.model not in self.models:
            raise _invalid(f"is by a {attestation.model!r}, which is not an allowed model")
        return attestation


def _issued(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        constraints = issuer.extensions.get_extension_for_class(x509.BasicConstraints).value
        certificate.verify_directly_issued_by(issuer)
    except (*_UNREADABLE, InvalidSignature, x509.ExtensionNotFound, x509.DuplicateExtension):
        return False
    return constraints.ca


def _invalid(problem: str) -> TransactionRejected:
    return TransactionRejected(
        f"the key's attestation {problem}", reason=RejectionReason.ATTESTATION_INVALID
    )
