"""What the CA's certificate must be before the bank confirms it."""

from __future__ import annotations

import hashlib
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ushield.bank.authorities.errors import CaAnswerInvalid
from ushield.bank.rejection import TransactionRejected
from ushield.bank.trust import TrustStore

__all__ = ["certificate_digest", "check_certificate", "key_of"]


def check_certificate(
    der: bytes, key: bytes, subject: x509.Name, trust: TrustStore, at: datetime
) -> None:
    """`CaAnswerInvalid` unless it is for this key (DER) and subject, and the bank would accept
    signatures by it at that time.
    """
    try:
        certificate = x509.load_der_x509_certificate(der)
        is_for_key = key_of(certificate) == key
        is_for_subject = certificate.subject == subject
    except (ValueError, TypeError) as error:
        raise CaAnswerInvalid("the certificate cannot be read", fault="encoding") from error
    if not is_for_key:
        raise CaAnswerInvalid("the certificate is for another key", fault="key")
    if not is_for_subject:
        raise CaAnswerInvalid("the certificate is for another subject", fault="subject")
    try:
        trust.check(certificate, at)
    except TransactionRejected as rejected:
        raise CaAnswerInvalid(
            f"the bank would not accept it: {rejected}", fault="path"
        ) from rejected


def certificate_digest(der: bytes) -> bytes:
    """What confirms a certificate: its digest by the hash that it is signed with (5.3.18)."""
    try:
        algorithm = x509.load_der_x509_certificate(der).signature_hash_algorithm
        return hashlib.new(algorithm.name if algorithm else "sha256", der).digest()
    except ValueError:
        # One that cannot be read is confirmed to nobody; it is rejected by some digest.
        return hashlib.sha256(der).digest()


def key_of(holder: x509.CertificateSigningRequest | x509.Certificate) -> bytes:
    """Its SubjectPublicKeyInfo (DER)."""
    return holder.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
