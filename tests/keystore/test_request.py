"""Certification requests: the subject asked for, the token's key, a signature that holds."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256, SHA384
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from tests import pki
from ushield.algorithms import KeyAlgorithm
from ushield.drivers.base import KeyInfo, KeyUsage
from ushield.errors import SignatureMismatch
from ushield.keystore import PrivateKey, SubjectInvalid
from ushield.keystore.request import assemble_request, encode_subject
from ushield.shield.requests import Signed

SUBJECT = "CN=张三,O=Example Ltd,C=CN"
ALGORITHMS = [KeyAlgorithm.RSA_2048, KeyAlgorithm.P256, KeyAlgorithm.P384]


def key_of(algorithm: KeyAlgorithm) -> PrivateKey:
    public_key = pki.private_key(algorithm).public_key()
    der = public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    info = KeyInfo(1, algorithm, KeyUsage.DISPLAY, b"\x01" * 20, "signing", der)
    return PrivateKey(info, always_authenticate=True)


def signed_request(algorithm: KeyAlgorithm, subject: bytes) -> Signed:
    """What a token hands out, made by another implementation of PKCS #10."""
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name.from_rfc4514_string(SUBJECT))
        .sign(
            pki.private_key(algorithm),
            SHA384() if algorithm is KeyAlgorithm.P384 else SHA256(),
        )
    )
    assert request.subject.public_bytes() == subject
    return Signed(request.tbs_certrequest_bytes, request.signature)


def test_a_subject_may_be_text_or_a_name() -> None:
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "CN"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Example Ltd"),
            x509.NameAttribute(NameOID.COMMON_NAME, "张三"),
        ]
    )
    assert encode_subject(SUBJECT) == encode_subject(name) == name.public_bytes()


@pytest.mark.parametrize(
    "subject", ["", "张三", "CN=", "XX=张三", "CN=张三,,C=CN", "C=China", "CN=" + "很" * 65]
)
def test_what_is_no_subject_is_refused(subject: str) -> None:
    with pytest.raises(SubjectInvalid):
        encode_subject(subject)


def test_an_empty_name_is_refused() -> None:
    with pytest.raises(SubjectInvalid, match="empty"):
        encode_subject(x509.Name([]))


@given(st.text(max_size=60))
def test_any_text_is_a_subject_or_refused_as_one(text: str) -> None:
    try:
        encoded = encode_subject(text)
    except SubjectInvalid:
        return
    assert encoded[0] == 0x30


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_request_is_the_same_as_others_write_it(algorithm: KeyAlgorithm) -> None:
    subject = encode_subject(SUBJECT)
    key = key_of(algorithm)
    request = assemble_request(key, subject, signed_request(algorithm, subject))
    read = x509.load_der_x509_csr(request.der)
    assert read.is_signature_valid
    assert read.public_bytes(Encoding.PEM).decode() == request.pem
    assert request.subject == SUBJECT
    assert request.key_id == key.key_id


@pytest.mark.parametrize("algorithm", [KeyAlgorithm.RSA_2048, KeyAlgorithm.P256])
def test_no_changed_byte_gets_through(algorithm: KeyAlgorithm) -> None:
    subject = encode_subject(SUBJECT)
    key = key_of(algorithm)
    good = signed_request(algorithm, subject)
    for position in range(len(good.signed)):
        changed = bytearray(good.signed)
        changed[position] ^= 0x01
        with pytest.raises(SignatureMismatch):
            assemble_request(key, subject, Signed(bytes(changed), good.signature))
    for position in range(len(good.signature)):
        changed = bytearray(good.signature)
        changed[position] ^= 0x01
        with pytest.raises(SignatureMismatch):
            assemble_request(key, subject, Signed(good.signed, bytes(changed)))


def test_a_request_for_another_subject_or_key_is_refused() -> None:
    subject = encode_subject(SUBJECT)
    good = signed_request(KeyAlgorithm.P256, subject)
    key = key_of(KeyAlgorithm.P256)
    with pytest.raises(SignatureMismatch, match="another subject"):
        assemble_request(key, encode_subject("CN=李四"), good)
    stranger = pki.private_key(KeyAlgorithm.P256, "stranger").public_key()
    other = PrivateKey(
        KeyInfo(
            2,
            KeyAlgorithm.P256,
            KeyUsage.DISPLAY,
            b"",
            "other",
            stranger.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        ),
        always_authenticate=True,
    )
    with pytest.raises(SignatureMismatch, match="another key"):
        assemble_request(other, subject, good)
