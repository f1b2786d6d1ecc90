"""A key for which a certificate is asked: whether its holder has it, and where it was made."""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512

from ushield.bank.attestation import EnrolledAttestation
from ushield.bank.authorities.request import check_possession, parse_request
from ushield.bank.lifecycle.policy import EnrolmentPolicy
from ushield.bank.lifecycle.refusals import EnrolmentReason, EnrolmentRefused
from ushield.bank.policy.keys import algorithm_of, digest_of
from ushield.bank.rejection import TransactionRejected
from ushield.cms.attestation import Attestation

__all__ = ["KeyRequest", "examine"]

_LONGEST = 1 << 14
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
    asked = parse_request(request)
    if len(enrolled.certificate) > _LONGEST or len(enrolled.device) > _LONGEST:
        raise EnrolmentRefused(
            f"an attestation of more than {_LONGEST} bytes",
            reason=EnrolmentReason.ATTESTATION_INVALID,
        )
    key = asked.public_key()
    known_hash = isinstance(asked.signature_hash_algorithm, _HASHES)
    if algorithm_of(key) not in policy.algorithms or not known_hash:
        raise EnrolmentRefused(
            "the request's key or hash is not of an allowed kind",
            reason=EnrolmentReason.ALGORITHM_REFUSED,
        )
    check_possession(asked)
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
