"""Whether a signature is by the key of its certificate."""

from __future__ import annotations

from collections.abc import Callable

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

from ushield.algorithms import HashAlgorithm
from ushield.bank.rejection import RejectionReason, TransactionRejected
from ushield.cms.recognition import ParsedSignature

__all__ = ["SignatureCheck", "signature_check"]

SignatureCheck = Callable[[ParsedSignature], None]
"""`TransactionRejected` unless the signature holds."""

_PADDING = padding.PKCS1v15()
_HASHES: dict[HashAlgorithm, hashes.HashAlgorithm] = {
    HashAlgorithm.SHA256: hashes.SHA256(),
    HashAlgorithm.SHA384: hashes.SHA384(),
    HashAlgorithm.SHA512: hashes.SHA512(),
}
_ECDSA = {name: ec.ECDSA(algorithm) for name, algorithm in _HASHES.items()}


def signature_check(key: CertificatePublicKeyTypes) -> SignatureCheck:
    """The check for signatures by ``key``, made once: to ask of what kind a key is takes time.

    PKCS #1 v1.5 (RFC 8017, 8.2.2), or ECDSA (FIPS 186-5).
    """
    if isinstance(key, rsa.RSAPublicKey):
        return _check_of(
            True,
            lambda parsed: key.verify(
                parsed.signature, parsed.signed_attributes, _PADDING, _HASHES[parsed.hash_algorithm]
            ),
        )
    if isinstance(key, ec.EllipticCurvePublicKey):
        return _check_of(
            False,
            lambda parsed: key.verify(
                parsed.signature, parsed.signed_attributes, _ECDSA[parsed.hash_algorithm]
            ),
        )
    return _refuse


def _check_of(is_rsa: bool, verify: SignatureCheck) -> SignatureCheck:
    def check(parsed: ParsedSignature) -> None:
        if parsed.is_rsa is not is_rsa:
            _refuse(parsed)
        try:
            verify(parsed)
        except InvalidSignature as error:
            raise TransactionRejected(
                "the signature does not match the certificate's key",
                reason=RejectionReason.SIGNATURE_INVALID,
            ) from error
        except (ValueError, UnsupportedAlgorithm) as error:
            raise TransactionRejected(
                "the certificate's key cannot be used", reason=RejectionReason.CERTIFICATE_INVALID
            ) from error

    return check


def _refuse(parsed: ParsedSignature) -> None:
    raise TransactionRejected(
        f"the certificate's key is not of the kind that signed, {'RSA' if parsed.is_rsa else 'EC'}",
        reason=RejectionReason.ALGORITHM_REFUSED,
    )
