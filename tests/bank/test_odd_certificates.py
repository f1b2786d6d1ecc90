"""Certificates as no CA should write them, in signatures that hold: a reason, never a traceback."""

from __future__ import annotations

from contextlib import suppress

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.pki import NOW, PrivateKey, Signer, authority, authority_key, pem, receipt_for
from tests.transaction.strategies import TRANSFER
from ushield.algorithms import KeyAlgorithm
from ushield.bank import RejectionReason, TransactionRejected, TrustStore, verify_transaction
from ushield.cms import der, signed_attributes
from ushield.errors import CertificateInvalid
from ushield.iso7816.tlv import parse, parse_one
from ushield.transaction import write_message

MESSAGE = write_message(TRANSFER)
RECEIPT = receipt_for(MESSAGE)
TRUST = TrustStore.load(pem(authority()))
SIGNER = Signer.issued(KeyAlgorithm.P256)

# Places in TBSCertificate (RFC 5280, 4.1), its version being the first.
SIGNATURE, VALIDITY, SUBJECT, KEY, EXTENSIONS = 2, 4, 5, 6, 7

YEAR_0 = der.tagged(0x18, b"00000101000000Z")
YEAR_9999 = der.tagged(0x18, b"99991231235959Z")
X400_ADDRESS = der.sequence(der.tagged(0xA3))


def _ecdsa(key: PrivateKey, data: bytes) -> bytes:
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key.sign(data, ec.ECDSA(hashes.SHA256()))


def _fields() -> list[bytes]:
    signed = parse(parse_one(SIGNER.der).value)[0]
    return [field.encode() for field in parse(signed.value)]


def _issued(fields: list[bytes]) -> bytes:
    """The certificate of these fields, signed by the trusted CA whatever is in them."""
    signed = der.sequence(*fields)
    signature = _ecdsa(authority_key("Test Bank CA"), signed)
    return der.sequence(signed, fields[SIGNATURE], der.tagged(0x03, b"\0", signature))


def _with(place: int, field: bytes) -> bytes:
    fields = _fields()
    fields[place] = field
    return _issued(fields)


def _with_extension(oid: str, value: bytes) -> bytes:
    extensions = parse(parse_one(parse(_fields()[EXTENSIONS])[0].value).value)
    added = der.sequence(der.object_identifier(oid), der.octet_string(value))
    every = der.sequence(*(extension.encode() for extension in extensions), added)
    return _with(EXTENSIONS, der.tagged(0xA3, every))


def _named(tag: int, value: bytes) -> bytes:
    attribute = der.sequence(der.object_identifier("2.5.4.3"), der.tagged(tag, value))
    return _with(SUBJECT, der.sequence(der.tagged(0x31, attribute)))


def _signature_with(certificate: bytes) -> bytes:
    """What the holder of the key signs as the subject of ``certificate``."""
    attributes = signed_attributes(MESSAGE, certificate, RECEIPT, SIGNER.algorithm.hash)
    return SIGNER.assemble(MESSAGE, attributes, _ecdsa(SIGNER.key, attributes), certificate)


def test_a_certificate_put_together_again_is_accepted() -> None:
    signature = _signature_with(_issued(_fields()))
    assert verify_transaction(signature, TRUST, NOW).signer == "CN=李四"


@pytest.mark.parametrize(
    "certificate",
    [
        _with(VALIDITY, der.sequence(YEAR_0, YEAR_9999)),
        _with(VALIDITY, der.sequence(YEAR_0, YEAR_0)),
        _with_extension("2.5.29.17", X400_ADDRESS),
        _with_extension("2.5.29.18", X400_ADDRESS),
        _with_extension("1.3.6.1.5.5.7.1.24", der.sequence(der.integer(77))),
        _named(0x03, b"\0x"),
        _named(0x0C, b"\xff"),
        _named(0x02, b"\x01"),
        _with(SIGNATURE, der.sequence(der.object_identifier("1.2.840.113549.1.1.10"))),
    ],
    ids=[
        "not-before-year-0",
        "not-after-year-0",
        "x400-subject",
        "x400-issuer",
        "unnamed-tls-feature",
        "bit-string-name",
        "no-utf-8-name",
        "integer-name",
        "pss-without-parameters",
    ],
)
def test_an_odd_certificate_is_refused_for_a_reason(certificate: bytes) -> None:
    with pytest.raises(TransactionRejected) as caught:
        verify_transaction(_signature_with(certificate), TRUST, NOW)
    assert caught.value.reason in (
        RejectionReason.CERTIFICATE_INVALID,
        RejectionReason.PATH_INVALID,
    )


@given(st.data())
@settings(max_examples=150)
def test_any_change_before_it_was_signed_gives_a_verdict(data: st.DataObject) -> None:
    fields = _fields()
    place = data.draw(st.integers(1, len(fields) - 1))
    field = bytearray(fields[place])
    for _ in range(data.draw(st.integers(1, 3))):
        field[data.draw(st.integers(0, len(field) - 1))] = data.draw(st.integers(0, 255))
    fields[place] = bytes(field)
    # `CertificateInvalid` comes of what leaves no issuer and serial number to name the signer by.
    with suppress(CertificateInvalid, TransactionRejected):
        verify_transaction(_signature_with(_issued(fields)), TRUST, NOW)
