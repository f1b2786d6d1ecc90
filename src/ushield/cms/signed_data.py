"""CMS SignedData (RFC 5652, 5), assembled in the one form the bank takes."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from asn1crypto import x509

from ushield.algorithms import HashAlgorithm
from ushield.cms import der, oids
from ushield.cms.ecdsa import lower_s
from ushield.errors import CertificateInvalid

__all__ = ["DIGEST_ALGORITHM", "SIGNATURE_ALGORITHM", "assemble", "assemble_for"]

_CONTEXT_0 = 0xA0
_VERSION = der.integer(1)
_SIGNED_DATA = der.object_identifier(oids.SIGNED_DATA)
_DATA = der.object_identifier(oids.DATA)
DIGEST_ALGORITHM: Mapping[HashAlgorithm, bytes] = {
    HashAlgorithm(name): der.sequence(der.object_identifier(oid)) for name, oid in oids.HASH.items()
}
"""The AlgorithmIdentifier of a hash, without parameters (RFC 5754, 2)."""
# RFC 3370, 3.2: the parameters are present, and NULL.
_RSA = der.sequence(der.object_identifier(oids.RSA_ENCRYPTION), der.null())
SIGNATURE_ALGORITHM: Mapping[tuple[bool, HashAlgorithm], bytes] = {
    **{(True, HashAlgorithm(name)): _RSA for name in oids.HASH},
    **{
        (False, HashAlgorithm(name)): der.sequence(der.object_identifier(oid))
        for name, oid in oids.ECDSA_WITH_HASH.items()
    },
}
"""The AlgorithmIdentifier of a signature, by whether it is RSA, and its hash."""


def assemble(
    *,
    message: bytes,
    certificate: bytes,
    signed_attributes: bytes,
    signature: bytes,
    is_rsa: bool,
    hash_algorithm: HashAlgorithm,
) -> bytes:
    """The ContentInfo (DER) of a signature that the token made.

    ``certificate`` is the signer's (DER), ``signed_attributes`` the SET OF that was signed, by
    RSA (PKCS #1 v1.5) or else ECDSA. The message is attached, the signer's certificate is the only
    one, and it is named by issuer and serial number. An ECDSA signature stands there with the
    smaller of its two values of s. `CertificateInvalid` if the certificate
    cannot be read.
    """
    return assemble_for(
        _identity(certificate),
        message=message,
        certificate=certificate,
        signed_attributes=signed_attributes,
        signature=signature,
        is_rsa=is_rsa,
        hash_algorithm=hash_algorithm,
    )


def assemble_for(
    identity: bytes,
    *,
    message: bytes,
    certificate: bytes,
    signed_attributes: bytes,
    signature: bytes,
    is_rsa: bool,
    hash_algorithm: HashAlgorithm,
) -> bytes:
    """The same where ``identity`` is known: the certificate's IssuerAndSerialNumber (DER)."""
    digest_algorithm = DIGEST_ALGORITHM[hash_algorithm]
    if not is_rsa:
        signature = lower_s(signature, hash_algorithm)
    signer = der.sequence(
        _VERSION,
        identity,
        digest_algorithm,
        b"\xa0",
        signed_attributes[1:],
        SIGNATURE_ALGORITHM[is_rsa, hash_algorithm],
        der.octet_string(signature),
    )
    return der.sequence(
        _SIGNED_DATA,
        der.tagged(
            _CONTEXT_0,
            der.sequence(
                _VERSION,
                der.tagged(0x31, digest_algorithm),
                der.sequence(_DATA, der.tagged(_CONTEXT_0, der.octet_string(message))),
                der.tagged(_CONTEXT_0, certificate),
                der.tagged(0x31, signer),
            ),
        ),
    )


# A token signs with the same certificate again and again, and reading it is most of the work here.
@lru_cache(maxsize=64)
def _identity(certificate: bytes) -> bytes:
    try:
        signed = x509.Certificate.load(certificate, strict=True)["tbs_certificate"]
        return der.sequence(signed["issuer"].dump(), signed["serial_number"].dump())
    except (ValueError, TypeError) as error:
        raise CertificateInvalid("the signer's certificate cannot be read") from error
