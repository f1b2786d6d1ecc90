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

_OCTET_STRING, _SEQUENCE, _SET, _CONTEXT_0 = 0x04, 0x30, 0x31, 0xA0
_VERSION = der.integer(1)
_SIGNED_DATA = der.object_identifier(oids.SIGNED_DATA)
_DATA = der.object_identifier(oids.DATA)
DIGEST_ALGORITHM: Mapping[HashAlgorithm, bytes] = {
    HashAlgorithm(name): der.sequence(der.object_identifier(oid)) for name, oid in oids.HASH.items()
}
"""The AlgorithmIdentifier of a hash, without parameters (RFC 5754, 2)."""
_DIGEST_ALGORITHMS = {name: der.set_of(encoded) for name, encoded in DIGEST_ALGORITHM.items()}
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
    digest_algorithms = _DIGEST_ALGORITHMS[hash_algorithm]
    signature_algorithm = SIGNATURE_ALGORITHM[is_rsa, hash_algorithm]
    if not is_rsa:
        signature = lower_s(signature, hash_algorithm)
    # Lengths from the inside outwards, then one join: a bank does this for every signature.
    tagged_attributes = b"\xa0" + signed_attributes[1:]
    sign = der.header(_OCTET_STRING, len(signature))
    signer_info_length = (
        len(_VERSION)
        + len(identity)
        + len(digest_algorithm)
        + len(tagged_attributes)
        + len(signature_algorithm)
        + len(sign)
        + len(signature)
    )
    signer_info = der.header(_SEQUENCE, signer_info_length)
    signer_infos_length = len(signer_info) + signer_info_length
    signer_infos = der.header(_SET, signer_infos_length)
    certificates = der.header(_CONTEXT_0, len(certificate))
    content = der.header(_OCTET_STRING, len(message))
    explicit_length = len(content) + len(message)
    explicit = der.header(_CONTEXT_0, explicit_length)
    encapsulated_length = len(_DATA) + len(explicit) + explicit_length
    encapsulated = der.header(_SEQUENCE, encapsulated_length)
    signed_data_length = (
        len(_VERSION)
        + len(digest_algorithms)
        + len(encapsulated)
        + encapsulated_length
        + len(certificates)
        + len(certificate)
        + len(signer_infos)
        + signer_infos_length
    )
    signed_data = der.header(_SEQUENCE, signed_data_length)
    outer_length = len(signed_data) + signed_data_length
    outer = der.header(_CONTEXT_0, outer_length)
    return b"".join(
        (
            der.header(_SEQUENCE, len(_SIGNED_DATA) + len(outer) + outer_length),
            _SIGNED_DATA,
            outer,
            signed_data,
            _VERSION,
            digest_algorithms,
            encapsulated,
            _DATA,
            explicit,
            content,
            message,
            certificates,
            certificate,
            signer_infos,
            signer_info,
            _VERSION,
            identity,
            digest_algorithm,
            tagged_attributes,
            signature_algorithm,
            sign,
            signature,
        )
    )


# A token signs with the same certificate again and again, and reading it is most of the work here.
@lru_cache(maxsize=64)
def _identity(certificate: bytes) -> bytes:
    try:
        signed = x509.Certificate.load(certificate, strict=True)["tbs_certificate"]
        return der.sequence(signed["issuer"].dump(), signed["serial_number"].dump())
    except (ValueError, TypeError) as error:
        raise CertificateInvalid("the signer's certificate cannot be read") from error
