"""A third reader of signatures, in Rust: `cryptography.hazmat.asn1`, of cryptography 47 or later.

It calls itself unstable, so that nothing but a test rests on it.
"""

# The annotations are read when the classes are made, so they are not postponed.

from typing import Annotated

from cryptography.hazmat import asn1
from cryptography.x509 import ObjectIdentifier

from ushield.cms import der


@asn1.sequence
class Content:
    content_type: ObjectIdentifier
    content: Annotated[bytes, asn1.Explicit(0)]


@asn1.sequence
class SignerInfo:
    version: int
    signer: asn1.TLV
    digest_algorithm: asn1.TLV
    signed_attributes: asn1.TLV
    signature_algorithm: asn1.TLV
    signature: bytes


@asn1.sequence
class SignedData:
    version: int
    digest_algorithms: asn1.TLV
    content: Content
    certificates: asn1.TLV
    signers: asn1.SetOf[SignerInfo]


@asn1.sequence
class ContentInfo:
    content_type: ObjectIdentifier
    signed_data: Annotated[SignedData, asn1.Explicit(0)]


def read(data: bytes) -> tuple[bytes, bytes, bytes, bytes]:
    """Message, certificate, signature and signed attributes of a signature by one signer."""
    signed_data = asn1.decode_der(ContentInfo, data).signed_data
    (signer,) = signed_data.signers.as_list()
    return (
        signed_data.content.content,
        bytes(signed_data.certificates.data),
        signer.signature,
        der.tagged(0x31, bytes(signer.signed_attributes.data)),
    )
