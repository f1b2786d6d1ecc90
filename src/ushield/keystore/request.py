"""PKCS #10 certification requests (RFC 2986), put together from what the token signed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ushield.algorithms import HashAlgorithm
from ushield.errors import InputInvalid, SignatureMismatch
from ushield.iso7816.tlv import encode
from ushield.keystore.objects import PrivateKey
from ushield.shield.requests import Signed

if TYPE_CHECKING:
    from cryptography import x509

__all__ = [
    "CertificateRequest",
    "SubjectInvalid",
    "assemble_request",
    "encode_request_info",
    "encode_subject",
]

_SEQUENCE, _BIT_STRING = 0x30, 0x03
# AlgorithmIdentifiers in DER: RSA has NULL parameters (RFC 4055, 5), ECDSA none (RFC 5758, 3.2).
_RSA_ALGORITHM = {
    HashAlgorithm.SHA256: bytes.fromhex("300D06092A864886F70D01010B0500"),
    HashAlgorithm.SHA384: bytes.fromhex("300D06092A864886F70D01010C0500"),
    HashAlgorithm.SHA512: bytes.fromhex("300D06092A864886F70D01010D0500"),
}
_ECDSA_ALGORITHM = {
    HashAlgorithm.SHA256: bytes.fromhex("300A06082A8648CE3D040302"),
    HashAlgorithm.SHA384: bytes.fromhex("300A06082A8648CE3D040303"),
    HashAlgorithm.SHA512: bytes.fromhex("300A06082A8648CE3D040304"),
}


class SubjectInvalid(InputInvalid):
    """A name that no certificate could have."""

    code = "subject-invalid"
    default_remedy = "Write it like this: CN=张三,O=Example Ltd,C=CN"


@dataclass(frozen=True, slots=True)
class CertificateRequest:
    """A request as the bank's CA takes it. ``key_id`` names the key on the token."""

    der: bytes
    subject: str
    key_id: bytes

    @property
    def pem(self) -> str:
        """The request as text (RFC 7468)."""
        from cryptography import x509
        from cryptography.hazmat.primitives.serialization import Encoding

        return x509.load_der_x509_csr(self.der).public_bytes(Encoding.PEM).decode("ascii")


def encode_subject(subject: str | x509.Name) -> bytes:
    """A subject as Name in DER, from RFC 4514 text or ready made. `SubjectInvalid` otherwise."""
    from cryptography import x509

    if isinstance(subject, str):
        try:
            subject = x509.Name.from_rfc4514_string(subject)
        except ValueError as error:
            raise SubjectInvalid(f"not a name of RFC 4514: {error}") from error
    if not len(subject):
        raise SubjectInvalid("the subject is empty")
    return subject.public_bytes()


def encode_request_info(subject: bytes, public_key: bytes) -> bytes:
    """A CertificationRequestInfo (RFC 2986, 4.1) in DER, without attributes, for a host to sign.

    ``subject`` is a Name, ``public_key`` a SubjectPublicKeyInfo, both in DER.
    """
    return encode(_SEQUENCE, b"\x02\x01\x00" + subject + public_key + b"\xa0\x00")


def assemble_request(key: PrivateKey, subject: bytes, signed: Signed) -> CertificateRequest:
    """The request with its signature, checked: this subject, this key, a signature that holds.

    ``signed`` is the CertificationRequestInfo that was signed. `SignatureMismatch` otherwise.
    """
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    algorithm = key.info.algorithm
    identifiers = _RSA_ALGORITHM if algorithm.is_rsa else _ECDSA_ALGORITHM
    der = encode(
        _SEQUENCE,
        signed.signed + identifiers[algorithm.hash] + encode(_BIT_STRING, b"\0" + signed.signature),
    )
    try:
        request = x509.load_der_x509_csr(der)
        holds = request.is_signature_valid
        public_key = request.public_key().public_bytes(
            Encoding.DER, PublicFormat.SubjectPublicKeyInfo
        )
        name = request.subject
        named = name.public_bytes()
    except (ValueError, TypeError, x509.InvalidVersion, UnsupportedAlgorithm) as error:
        raise SignatureMismatch(f"the token signed no certification request: {error}") from error
    if named != subject:
        raise SignatureMismatch("the token signed a request for another subject")
    if public_key != key.info.public_key:
        raise SignatureMismatch("the token signed a request for another key")
    if not holds:
        raise SignatureMismatch("the signature on the certification request does not hold")
    return CertificateRequest(der, name.rfc4514_string(), key.key_id)
