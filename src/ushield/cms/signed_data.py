"""CMS SignedData (RFC 5652, 5), assembled in the one form the bank takes."""

from __future__ import annotations

from functools import lru_cache

from asn1crypto import x509

from ushield.algorithms import HashAlgorithm
from ushield.cms import der, oids
from ushield.cms.ecdsa import lower_s
from ushield.errors import CertificateInvalid

__all__ = ["assemble"]

_CONTEXT_0 = 0xA0


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
    digest_algorithm = der.sequence(der.object_identifier(oids.HASH[hash_algorithm]))
    if is_rsa:
        # RFC 3370, 3.2: the parameters are present, and NULL.
        signature_algorithm = der.sequence(der.object_identifier(oids.RSA_ENCRYPTION), der.null())
    else:
        signature_algorithm = der.sequence(
            der.object_identifier(oids.ECDSA_WITH_HASH[hash_algorithm])
        )
        signature = lower_s(signature, hash_algorithm)
    version = der.integer(1)
    signer = der.sequence(
        version,
        _issuer_and_serial_number(certificate),
        digest_algorithm,
        bytes((_CONTEXT_0,)) + signed_attributes[1:],
        signature_algorithm,
        der.octet_string(signature),
    )
    return der.sequence(
        der.object_identifier(oids.SIGNED_DATA),
        der.tagged(
            _CONTEXT_0,
            der.sequence(
                version,
                der.set_of(digest_algorithm),
                der.sequence(
                    der.object_identifier(oids.DATA),
                    der.tagged(_CONTEXT_0, der.octet_string(message)),
                ),
                der.tagged(_CONTEXT_0, certificate),
                der.set_of(signer),
            ),
        ),
    )


# A token signs with the same certificate again and again, and reading it is most of the work here.
@lru_cache(maxsize=64)
def _issuer_and_serial_number(certificate: bytes) -> bytes:
    try:
        signed = x509.Certificate.load(certificate, strict=True)["tbs_certificate"]
        return der.sequence(signed["issuer"].dump(), signed["serial_number"].dump())
    except (ValueError, TypeError) as error:
        raise CertificateInvalid("the signer's certificate cannot be read") from error
