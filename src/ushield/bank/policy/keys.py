"""Which kind of key a certificate holds, and which key it is."""

from __future__ import annotations

import hashlib

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ushield.algorithms import KeyAlgorithm
from ushield.errors import CertificateInvalid

__all__ = ["algorithm_of", "digest_of", "key_algorithm", "key_digest"]

_BITS = {2048: KeyAlgorithm.RSA_2048, 3072: KeyAlgorithm.RSA_3072, 4096: KeyAlgorithm.RSA_4096}
_CURVES = {ec.SECP256R1.name: KeyAlgorithm.P256, ec.SECP384R1.name: KeyAlgorithm.P384}


def key_algorithm(certificate: bytes) -> KeyAlgorithm | None:
    """What kind of key the certificate (DER) is for; ``None`` for one without a name here.

    `CertificateInvalid` if it cannot be read.
    """
    return algorithm_of(_key(certificate))


def algorithm_of(key: CertificatePublicKeyTypes) -> KeyAlgorithm | None:
    """What kind of key it is; ``None`` for one without a name here."""
    if isinstance(key, rsa.RSAPublicKey):
        return _BITS.get(key.key_size)
    if isinstance(key, ec.EllipticCurvePublicKey):
        return _CURVES.get(key.curve.name)
    return None


def key_digest(certificate: bytes) -> bytes:
    """SHA-256 (32 bytes) of the key in a certificate (DER): a renewed one has the same.

    `CertificateInvalid` if it cannot be read.
    """
    return digest_of(_key(certificate))


def digest_of(key: CertificatePublicKeyTypes) -> bytes:
    """SHA-256 (32 bytes) of a key's SubjectPublicKeyInfo."""
    encoded = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(encoded).digest()


def _key(certificate: bytes) -> CertificatePublicKeyTypes:
    try:
        return x509.load_der_x509_certificate(certificate).public_key()
    except (ValueError, TypeError, x509.InvalidVersion, UnsupportedAlgorithm) as error:
        raise CertificateInvalid("the signer's certificate cannot be read") from error
