"""Taking a SignedData apart, in the one form in which `ushield.cms.assemble` puts it together."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any

from asn1crypto import cms, tsp

from ushield.algorithms import HashAlgorithm
from ushield.cms import oids
from ushield.cms.attributes import signed_attributes
from ushield.cms.blind import BlindStatement, BlindStatementInvalid
from ushield.cms.receipt import Receipt, ReceiptInvalid
from ushield.cms.recognition import ParsedSignature, SignerIdentity, read_identity, recognise
from ushield.cms.signed_data import assemble
from ushield.errors import InputInvalid

__all__ = [
    "MAX_SIGNED_DATA",
    "ParsedSignature",
    "SignedDataFault",
    "SignedDataInvalid",
    "examine",
    "parse_signed_data",
]

MAX_SIGNED_DATA = 32768
"""Longest signature that is looked at, in bytes."""


class SignedDataFault(StrEnum):
    """Why a SignedData is not one of ours."""

    TOO_LARGE = "too-large"
    NOT_DER = "not-der"
    NOT_SIGNED_DATA = "not-signed-data"
    CONTENT_MISSING = "content-missing"
    NO_SIGNER = "no-signer"
    SEVERAL_SIGNERS = "several-signers"
    CERTIFICATE_MISMATCH = "certificate-mismatch"
    CERTIFICATE_INVALID = "certificate-invalid"
    ALGORITHM_REFUSED = "algorithm-refused"
    ATTRIBUTE_MISSING = "attribute-missing"
    ATTRIBUTE_DUPLICATE = "attribute-duplicate"
    ATTRIBUTE_UNKNOWN = "attribute-unknown"
    DIGEST_MISMATCH = "digest-mismatch"
    RECEIPT_INVALID = "receipt-invalid"
    BLIND_STATEMENT_INVALID = "blind-statement-invalid"
    NOT_CANONICAL = "not-canonical"


class SignedDataInvalid(InputInvalid):
    """Bytes that are no SignedData of ours; ``fault`` says in what they differ first."""

    code = "signed-data-invalid"
    default_remedy = "Have the transaction signed again."
    carries = ("fault",)

    def __init__(self, message: str, *, fault: SignedDataFault) -> None:
        super().__init__(message)
        self.fault = fault


_ATTRIBUTES = (
    oids.CONTENT_TYPE,
    oids.MESSAGE_DIGEST,
    oids.SIGNING_CERTIFICATE_V2,
)
_OF_DISPLAY = (oids.RECEIPT, oids.BLIND_STATEMENT)
_OBJECT_IDENTIFIER, _CONSTRUCTED = 0x06, 0x20
_MAX_IDENTIFIER = 63
_MAX_ELEMENTS = 2048
_HASH_OF_OID = {oid: HashAlgorithm(name) for name, oid in oids.HASH.items()}


def parse_signed_data(
    data: bytes, identify: Callable[[bytes], SignerIdentity] = read_identity
) -> ParsedSignature:
    """Take a signature apart; `SignedDataInvalid` if it is not exactly as `assemble` writes it.

    Each signature has one encoding, and any changed byte that the signature itself does not cover
    is noticed here. ``identify`` is `ushield.cms.recognition.read_identity`, or what remembers its
    answers.
    """
    if len(data) > MAX_SIGNED_DATA:
        raise SignedDataInvalid(
            f"{len(data)} bytes, at most {MAX_SIGNED_DATA} are looked at",
            fault=SignedDataFault.TOO_LARGE,
        )
    return recognise(data, identify) or examine(data)


def examine(data: bytes) -> ParsedSignature:
    """The same in one's own time: the parts are read and checked one by one, so that a refusal
    has its reason, then put together again and compared with ``data``.
    """
    try:
        _check_elements(data)
        return _parse(data)
    except (ValueError, TypeError) as error:
        # asn1crypto reads lazily, so any step may be the first to meet bytes it cannot read.
        raise SignedDataInvalid(
            "not the DER encoding of a signature", fault=SignedDataFault.NOT_DER
        ) from error


def _parse(data: bytes) -> ParsedSignature:
    info = cms.ContentInfo.load(data, strict=True)
    if info["content_type"].dotted != oids.SIGNED_DATA:
        raise SignedDataInvalid("not a SignedData", fault=SignedDataFault.NOT_SIGNED_DATA)
    signed_data = info["content"]
    message = _content(signed_data["encap_content_info"])
    signer = _only_signer(signed_data["signer_infos"])
    certificate = _only_certificate(signed_data["certificates"], signer)
    is_rsa, hash_algorithm = _algorithms(signer)
    if len(signer["unsigned_attrs"]):
        raise SignedDataInvalid("unsigned attributes", fault=SignedDataFault.ATTRIBUTE_UNKNOWN)
    attributes = _attributes(signer["signed_attrs"])
    display = _display(attributes)
    if attributes[oids.MESSAGE_DIGEST].native != hashlib.new(hash_algorithm, message).digest():
        raise SignedDataInvalid(
            "the message is not the one that was signed", fault=SignedDataFault.DIGEST_MISMATCH
        )
    _check_signing_certificate(attributes[oids.SIGNING_CERTIFICATE_V2], certificate)
    signature = signer["signature"].native
    signed = signed_attributes(message, certificate, display, hash_algorithm)
    again = assemble(
        message=message,
        certificate=certificate,
        signed_attributes=signed,
        signature=signature,
        is_rsa=is_rsa,
        hash_algorithm=hash_algorithm,
    )
    if again != data:
        raise SignedDataInvalid(
            "not in the one form a signature has", fault=SignedDataFault.NOT_CANONICAL
        )
    return ParsedSignature(message, certificate, display, signed, signature, is_rsa, hash_algorithm)


def _check_elements(data: bytes) -> None:
    """`ValueError` for more elements than a signature has, or an endless object identifier.

    asn1crypto makes an object of each element of a set, and reads each identifier that it meets in
    time that grows with the square of its length.
    """
    at, ends, elements = 0, [len(data)], 0
    while ends:
        if at == ends[-1]:
            ends.pop()
            continue
        elements += 1
        if elements > _MAX_ELEMENTS:
            raise ValueError("more elements than any signature has")
        tag, length = bytes(data[at : at + 2]).ljust(2, b"\0")
        at += 2
        if length & 0x80:
            octets = length & 0x7F
            length = int.from_bytes(data[at : at + octets], "big")
            at += octets
        if at + length > ends[-1]:
            raise ValueError("an element that is longer than what it is in")
        if tag == _OBJECT_IDENTIFIER and length > _MAX_IDENTIFIER:
            raise ValueError("an object identifier longer than any in use")
        if tag & _CONSTRUCTED:
            ends.append(at + length)
        else:
            at += length


def _content(encapsulated: Any) -> bytes:
    if encapsulated["content_type"].dotted != oids.DATA:
        raise SignedDataInvalid(
            "the content is not plain data", fault=SignedDataFault.NOT_SIGNED_DATA
        )
    content: bytes | None = encapsulated["content"].native
    if content is None:
        raise SignedDataInvalid(
            "the signed message is not attached", fault=SignedDataFault.CONTENT_MISSING
        )
    return content


def _only_signer(signers: Any) -> Any:
    if len(signers) == 0:
        raise SignedDataInvalid("nobody signed it", fault=SignedDataFault.NO_SIGNER)
    if len(signers) > 1:
        raise SignedDataInvalid("more than one signer", fault=SignedDataFault.SEVERAL_SIGNERS)
    return signers[0]


def _only_certificate(certificates: Any, signer: Any) -> bytes:
    if len(certificates) != 1 or certificates[0].name != "certificate":
        raise _certificate_mismatch("the signer's certificate must be there, and no other")
    certificate = certificates[0].chosen
    signer_id = signer["sid"]
    if signer_id.name != "issuer_and_serial_number":
        raise _certificate_mismatch("the signer is not named by issuer and serial number")
    named = signer_id.chosen
    signed = certificate["tbs_certificate"]
    if (
        named["issuer"].dump() != signed["issuer"].dump()
        or named["serial_number"].dump() != signed["serial_number"].dump()
    ):
        raise _certificate_mismatch("the certificate is not the one the signer names")
    if not 0 < signed["serial_number"].native < 1 << 160:
        # RFC 5280, 4.1.2.2
        raise SignedDataInvalid(
            "the certificate's serial number is not positive, or above 20 bytes",
            fault=SignedDataFault.CERTIFICATE_INVALID,
        )
    encoded: bytes = certificate.dump()
    return encoded


def _algorithms(signer: Any) -> tuple[bool, HashAlgorithm]:
    digest = signer["digest_algorithm"]["algorithm"].dotted
    signature = signer["signature_algorithm"]["algorithm"].dotted
    hash_algorithm = _HASH_OF_OID.get(digest)
    if hash_algorithm is not None:
        if signature == oids.RSA_ENCRYPTION:
            return True, hash_algorithm
        if signature == oids.ECDSA_WITH_HASH[hash_algorithm]:
            return False, hash_algorithm
    raise SignedDataInvalid(
        f"signed by the algorithms {digest} and {signature}",
        fault=SignedDataFault.ALGORITHM_REFUSED,
    )


def _attributes(found: Any) -> Mapping[str, Any]:
    values: dict[str, Any] = {}
    for attribute in found:
        oid = attribute["type"].dotted
        if oid not in _ATTRIBUTES and oid not in _OF_DISPLAY:
            raise SignedDataInvalid(
                f"a signed attribute {oid}", fault=SignedDataFault.ATTRIBUTE_UNKNOWN
            )
        if oid in values or len(attribute["values"]) > 1:
            raise SignedDataInvalid(
                f"two values of the signed attribute {oid}",
                fault=SignedDataFault.ATTRIBUTE_DUPLICATE,
            )
        if len(attribute["values"]):
            values[oid] = attribute["values"][0]
    for oid in _ATTRIBUTES:
        if oid not in values:
            raise SignedDataInvalid(
                f"no signed attribute {oid}", fault=SignedDataFault.ATTRIBUTE_MISSING
            )
    return values


def _display(attributes: Mapping[str, Any]) -> Receipt | BlindStatement:
    """The one of the two that is there: a signature with both would say two things."""
    found = [oid for oid in _OF_DISPLAY if oid in attributes]
    if not found:
        raise SignedDataInvalid(
            "no receipt, and no word that nothing was shown",
            fault=SignedDataFault.ATTRIBUTE_MISSING,
        )
    if len(found) > 1:
        raise SignedDataInvalid(
            "a receipt, and the word that nothing was shown",
            fault=SignedDataFault.ATTRIBUTE_DUPLICATE,
        )
    encoded = attributes[found[0]].dump()
    try:
        if found[0] == oids.RECEIPT:
            return Receipt.decode(encoded)
        return BlindStatement.decode(encoded)
    except ReceiptInvalid as error:
        raise SignedDataInvalid(str(error), fault=SignedDataFault.RECEIPT_INVALID) from error
    except BlindStatementInvalid as error:
        raise SignedDataInvalid(
            str(error), fault=SignedDataFault.BLIND_STATEMENT_INVALID
        ) from error


def _check_signing_certificate(value: tsp.SigningCertificateV2, certificate: bytes) -> None:
    named = value["certs"]
    if len(named) != 1 or named[0]["cert_hash"].native != hashlib.sha256(certificate).digest():
        raise _certificate_mismatch("the certificate is not the one the token signed with")


def _certificate_mismatch(problem: str) -> SignedDataInvalid:
    return SignedDataInvalid(problem, fault=SignedDataFault.CERTIFICATE_MISMATCH)
