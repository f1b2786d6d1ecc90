"""A key for which a certificate is asked: whether its holder has it, and where it was made."""

from __future__ import annotations

from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512

from ushield.bank.attestation import EnrolledAttestation
from ushield.bank.lifecycle.policy import EnrolmentPolicy
from ushield.bank.lifecycle.refusals import (
    CertificateRequestInvalid,
    EnrolmentReason,
    EnrolmentRefused,
)
from ushield.bank.policy.keys import algorithm_of, digest_of
from ushield.bank.rejection import TransactionRejected
from ushield.cms.attestation import Attestation

__all__ = ["KeyRequest", "examine"]

_LONGEST = 1 << 14
_UNREADABLE = (ValueError, TypeError, x509.InvalidVersion, UnsupportedAlgorithm)
_HASHES = (SHA256, SHA384, SHA512)


@dataclass(frozen=True, slots=True)
class KeyRequest:
    """A request (PKCS #10, DER) whose key a token attests, as the bank's policy wants it.

    ``key_digest`` is the SHA-256 (32 bytes) of the SubjectPublicKeyInfo.
    """

    request: bytes
    key_digest: bytes
    enrolled: EnrolledAttestation
    attestation: Attestation


def examine(request: bytes, enrolled: EnrolledAttestation, policy: EnrolmentPolicy) -> KeyRequest:
    """Check a certification request and the token's attestation of the same key.

    The request's own signature proves that its key is at hand (RFC 2986, 3); the attestation, that
    a token made it and shows what it signs. The request's subject and attributes count nothing.
    `CertificateRequestInvalid`, `EnrolmentRefused`.
    """
    if len(request) > _LONGEST:
        raise CertificateRequestInvalid(f"a request of more than {_LONGEST} bytes")
    if len(enrolled.certificate) > _LONGEST or len(enrolled.device) > _LONGEST:
        raise EnrolmentRefused(
            f"an attestation of more than {_LONGEST} bytes",
            reason=EnrolmentReason.ATTESTATION_INVALID,
        )
    try:
        asked = x509.load_der_x509_csr(request)
        key = asked.public_key()
        algorithm = algorithm_of(key)
        known_hash = isinstance(asked.signature_hash_algorithm, _HASHES)
    except _UNREADABLE as error:
        raise CertificateRequestInvalid("the request cannot be read") from error
    if algorithm not in policy.algorithms or not known_hash:
        raise EnrolmentRefused(
            "the request's key or hash is not of an allowed kind",
            reason=EnrolmentReason.ALGORITHM_REFUSED,
        )
    try:
        holds = asked.is_signature_valid
    except _UNREADABLE as error:
        raise CertificateRequestInvalid("the request's signature cannot be read") from error
    if not holds:
        raise CertificateRequestInvalid("the request is not signed by its own key")
    try:
        attestation = policy.attestations.examine(enrolled, key)
    except TransactionRejected as refused:
        raise EnrolmentRefused(
            str(refused), reason=EnrolmentReason.ATTESTATION_INVALID
        ) from refused
    if attestation.virtual and not policy.accept_virtual:
        raise EnrolmentRefused(
            f"{attestation.serial} is a virtual token", reason=EnrolmentReason.VIRTUAL_TOKEN
        )
    return KeyRequest(request, digest_of(key), enrolled, attestation)
