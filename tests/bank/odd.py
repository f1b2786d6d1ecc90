"""Certificates as no CA should write them, by one that a bank trusts."""

from __future__ import annotations

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from tests.pki import PrivateKey, Signer, authority_key
from ushield.algorithms import KeyAlgorithm
from ushield.cms import der
from ushield.iso7816.tlv import parse, parse_one

__all__ = [
    "EXTENSIONS",
    "KEY",
    "ODD_CERTIFICATES",
    "SERIAL",
    "SIGNATURE",
    "SIGNER",
    "fields",
    "issued",
    "named",
    "sign",
    "with_field",
]

SIGNER = Signer.issued(KeyAlgorithm.P256)

# Places in TBSCertificate (RFC 5280, 4.1), its version being the first.
SERIAL, SIGNATURE, VALIDITY, SUBJECT, KEY, EXTENSIONS = 1, 2, 4, 5, 6, 7

YEAR_0 = der.tagged(0x18, b"00000101000000Z")
YEAR_9999 = der.tagged(0x18, b"99991231235959Z")
X400_ADDRESS = der.sequence(der.tagged(0xA3))


def sign(key: PrivateKey, data: bytes) -> bytes:
    """ECDSA over ``data``."""
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key.sign(data, ec.ECDSA(hashes.SHA256()))


def fields() -> list[bytes]:
    """The parts of a good TBSCertificate, in DER."""
    signed = parse(parse_one(SIGNER.der).value)[0]
    return [field.encode() for field in parse(signed.value)]


def issued(parts: list[bytes]) -> bytes:
    """The certificate of these fields, signed by the trusted CA whatever is in them."""
    signed = der.sequence(*parts)
    signature = sign(authority_key("Test Bank CA"), signed)
    return der.sequence(signed, parts[SIGNATURE], der.tagged(0x03, b"\0", signature))


def with_field(place: int, field: bytes) -> bytes:
    """A good one but for one field."""
    parts = fields()
    parts[place] = field
    return issued(parts)


def _with_extension(oid: str, value: bytes) -> bytes:
    extensions = parse(parse_one(parse(fields()[EXTENSIONS])[0].value).value)
    added = der.sequence(der.object_identifier(oid), der.octet_string(value))
    every = der.sequence(*(extension.encode() for extension in extensions), added)
    return with_field(EXTENSIONS, der.tagged(0xA3, every))


def named(tag: int, value: bytes) -> bytes:
    """A good one whose subject has a common name of this tag and value."""
    attribute = der.sequence(der.object_identifier("2.5.4.3"), der.tagged(tag, value))
    return with_field(SUBJECT, der.sequence(der.tagged(0x31, attribute)))


ODD_CERTIFICATES = {
    "not-before-year-0": with_field(VALIDITY, der.sequence(YEAR_0, YEAR_9999)),
    "not-after-year-0": with_field(VALIDITY, der.sequence(YEAR_0, YEAR_0)),
    "x400-subject": _with_extension("2.5.29.17", X400_ADDRESS),
    "x400-issuer": _with_extension("2.5.29.18", X400_ADDRESS),
    "unnamed-tls-feature": _with_extension("1.3.6.1.5.5.7.1.24", der.sequence(der.integer(77))),
    "bit-string-name": named(0x03, b"\0x"),
    "no-utf-8-name": named(0x0C, b"\xff"),
    "integer-name": named(0x02, b"\x01"),
    "pss-without-parameters": with_field(
        SIGNATURE, der.sequence(der.object_identifier("1.2.840.113549.1.1.10"))
    ),
}
