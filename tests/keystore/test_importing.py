"""Certificates come onto the token whole and in order, or not at all."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from tests import pki
from tests.keystore.conftest import MakeToken
from ushield.algorithms import KeyAlgorithm
from ushield.drivers.base import KeyInfo
from ushield.errors import (
    CertificateInvalid,
    CertificateKeyMissing,
    LoginRequired,
    TokenFull,
)
from ushield.keystore import Certificate, KeyUsage, PrivateKey, Session
from ushield.keystore.bundle import MAX_BUNDLE, read_bundle
from ushield.keystore.health import check_health
from ushield.testing.token import VirtualTokenUnderTest

ROOT = pki.authority("Test Root")
ISSUER = pki.authority("Test Issuing CA", "Test Root")
STRANGER = pki.authority("Another Root")


@contextmanager
def with_key(rig: VirtualTokenUnderTest) -> Iterator[tuple[Session, PrivateKey]]:
    with rig.open() as token, token.session(rig.pin) as session:
        yield session, session.generate_key(KeyAlgorithm.P256, KeyUsage.DISPLAY, label="signing")


def public_key_of(key: PrivateKey) -> ec.EllipticCurvePublicKey:
    public_key = load_der_public_key(key.info.public_key)
    assert isinstance(public_key, ec.EllipticCurvePublicKey)
    return public_key


def leaf_for(
    key: PrivateKey,
    subject: str = "李四",
    issuer: str = "Test Issuing CA",
    constraints: x509.BasicConstraints | None = None,
    usage: x509.KeyUsage = pki.SIGNING,
) -> x509.Certificate:
    public_key = public_key_of(key)
    return pki.certificate(
        subject,
        issuer,
        public_key,
        pki.authority_key(issuer),
        constraints=constraints,
        usage=usage,
    )


def on_token(session: Session) -> set[bytes]:
    return {one.der for one in session.certificates()}


def test_a_leaf_alone_may_be_der_or_pem(bare: VirtualTokenUnderTest) -> None:
    with with_key(bare) as (session, key):
        leaf = leaf_for(key)
        for data in (pki.der(leaf), pki.pem(leaf), b"Bank of Test\r\n" + pki.pem(leaf)):
            (imported,) = session.import_certificates(data)
            assert imported.der == pki.der(leaf)
            assert imported.key_id == key.key_id
            assert imported.label == "signing"
        assert len(session.certificates()) == 1


def test_a_chain_may_come_in_any_order(virtual_token_factory: MakeToken) -> None:
    rig = virtual_token_factory(algorithm=None)
    with with_key(rig) as (session, key):
        leaf = leaf_for(key)
        for order in itertools.permutations((leaf, ISSUER, ROOT)):
            imported = session.import_certificates(pki.pem(*order), label="签名")
            assert imported[0].der == pki.der(leaf)
            assert imported[0].label == "签名"
            assert {one.label for one in imported[1:]} == {"Test Root", "Test Issuing CA"}
            assert all(one.key_id == b"" for one in imported[1:])
            for one in session.certificates():
                session.delete_certificate(one)


def test_what_is_there_already_is_not_stored_twice(bare: VirtualTokenUnderTest) -> None:
    with with_key(bare) as (session, key):
        bundle = pki.pem(leaf_for(key), ISSUER, ROOT)
        first = session.import_certificates(bundle)
        assert session.import_certificates(bundle + bundle) == first
        assert len(session.certificates()) == 3


def test_a_renewed_certificate_takes_the_place_of_the_old_one(bare: VirtualTokenUnderTest) -> None:
    with with_key(bare) as (session, key):
        session.import_certificates(pki.der(leaf_for(key)))
        renewed = leaf_for(key)
        session.import_certificates(pki.der(renewed))
        assert session.certificate_of(key).der == pki.der(renewed)


def test_a_chain_alone_belongs_to_the_leaf_that_is_there(bare: VirtualTokenUnderTest) -> None:
    with with_key(bare) as (session, key):
        session.import_certificates(pki.der(leaf_for(key)))
        session.import_certificates(pki.der(ISSUER))
        session.import_certificates(pki.der(ROOT))
        assert len(session.certificates()) == 3


def test_the_chain_is_exported_leaf_first(bare: VirtualTokenUnderTest) -> None:
    with with_key(bare) as (session, key):
        leaf = leaf_for(key)
        session.import_certificates(pki.pem(ROOT, leaf, ISSUER))
        exported = session.export_chain(session.certificate_of(key))
        assert exported.encode() == pki.pem(leaf, ISSUER, ROOT)
        assert session.certificate_of(key).pem.encode() == pki.pem(leaf)


def test_a_certificate_whose_key_is_elsewhere_is_refused(bare: VirtualTokenUnderTest) -> None:
    foreign = pki.Signer.issued(issuer="Test Issuing CA").certificate
    with with_key(bare) as (session, key):
        for data in (pki.der(foreign), pki.pem(foreign, ISSUER, ROOT)):
            with pytest.raises(CertificateKeyMissing):
                session.import_certificates(data)
        with pytest.raises(CertificateKeyMissing):
            session.import_certificates(pki.pem(leaf_for(key), foreign))
        assert on_token(session) == set()


def test_an_authority_that_issued_nothing_here_is_refused(bare: VirtualTokenUnderTest) -> None:
    with with_key(bare) as (session, key):
        for data in (pki.der(ROOT), pki.pem(leaf_for(key), ISSUER, STRANGER)):
            with pytest.raises(CertificateInvalid, match="issued no certificate") as refusal:
                session.import_certificates(data)
            assert not isinstance(refusal.value, CertificateKeyMissing)
            assert "with it" in refusal.value.remedy
        assert on_token(session) == set()


def test_an_issuer_that_is_no_authority_is_refused(bare: VirtualTokenUnderTest) -> None:
    pretender = pki.authority("Pretender", usage=pki.SIGNING, constraints=None)
    idle = pki.authority("Idle CA", usage=pki.SIGNING)
    unnamed = pki.authority("No usage CA", usage=None)
    with with_key(bare) as (session, key):
        for one, issuer in ((pretender, "Pretender"), (idle, "Idle CA"), (unnamed, "No usage CA")):
            with pytest.raises(CertificateInvalid):
                session.import_certificates(pki.pem(leaf_for(key, issuer=issuer), one))
        assert on_token(session) == set()


def test_two_leaves_and_an_authority_as_leaf_are_refused(bare: VirtualTokenUnderTest) -> None:
    with with_key(bare) as (session, key):
        with pytest.raises(CertificateInvalid, match="2 certificates"):
            session.import_certificates(pki.pem(leaf_for(key), leaf_for(key)))
        authority = leaf_for(key, constraints=pki.CA, usage=pki.CERTIFYING)
        with pytest.raises(CertificateInvalid, match="authority"):
            session.import_certificates(pki.der(authority))
        assert on_token(session) == set()


def test_without_room_for_all_nothing_is_stored(virtual_token_factory: MakeToken) -> None:
    rig = virtual_token_factory(algorithm=None, profile="lenient")
    names = [f"CA {number}" for number in range(7)]
    chain = [
        pki.authority(name, issuer)
        for name, issuer in zip(names, [*names[1:], names[-1]], strict=True)
    ]
    with with_key(rig) as (session, key):
        first = leaf_for(key, issuer="CA 0")
        session.import_certificates(pki.pem(first, *chain[:2]))
        before = on_token(session)
        with pytest.raises(TokenFull):
            session.import_certificates(pki.pem(leaf_for(key, issuer="CA 0"), *chain))
        assert on_token(session) == before


def test_importing_wants_the_pin(bare: VirtualTokenUnderTest) -> None:
    with with_key(bare) as (session, key):
        session.logout()
        with pytest.raises(LoginRequired):
            session.import_certificates(pki.pem(leaf_for(key), ISSUER))
        assert on_token(session) == set()


def test_a_long_name_is_cut_for_the_label(bare: VirtualTokenUnderTest) -> None:
    units = [x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "很长的部门") for _ in range(5)]
    name = x509.Name(units)
    key = pki.authority_key("long")
    builder = (
        x509.CertificateBuilder()
        .serial_number(7)
        .issuer_name(name)
        .not_valid_before(pki.NOW - pki.YEAR)
        .not_valid_after(pki.NOW + pki.YEAR)
    )
    authority = (
        builder.subject_name(name)
        .public_key(key.public_key())
        .add_extension(pki.CA, critical=True)
        .add_extension(pki.CERTIFYING, critical=True)
        .sign(key, SHA256())
    )
    with with_key(bare) as (session, on_card):
        leaf = (
            builder.subject_name(pki.name("李四"))
            .public_key(public_key_of(on_card))
            .sign(key, SHA256())
        )
        _, imported = session.import_certificates(pki.pem(leaf, authority))
        assert name.rfc4514_string().startswith(imported.label)
        assert 60 < len(imported.label.encode()) <= 64


LEAF = pki.Signer.issued().certificate


@given(st.data())
def test_a_bundle_cut_short_is_refused(data: st.DataObject) -> None:
    first, rest = data.draw(
        st.sampled_from(
            [
                (b"", pki.der(LEAF)),
                (b"", pki.pem(LEAF).strip()),
                (pki.pem(ROOT) + b"-----", pki.pem(LEAF)[5:].strip()),
            ]
        )
    )
    cut = data.draw(st.integers(0, len(rest) - 1))
    with pytest.raises(CertificateInvalid):
        read_bundle(first + rest[:cut])


@given(st.binary(max_size=200))
def test_garbage_is_refused(data: bytes) -> None:
    for garbage in (data, pki.der(LEAF) + b"0" + data):
        with pytest.raises(CertificateInvalid):
            read_bundle(garbage)


@given(st.integers(0, len(pki.der(LEAF)) - 1), st.integers(1, 255))
def test_a_certificate_with_a_changed_byte_is_read_or_refused(position: int, change: int) -> None:
    changed = bytearray(pki.der(LEAF))
    changed[position] ^= change
    try:
        (certificate,) = read_bundle(bytes(changed))
    except CertificateInvalid:
        return
    key = KeyInfo(1, KeyAlgorithm.P256, KeyUsage.DISPLAY, b"\x01", "signing", b"")
    stored = Certificate(1, b"\x01", "signing", pki.der(certificate))
    assert check_health(stored, [key], [stored], at=pki.NOW)


@given(st.text(alphabet="-BEGINCRTFAD \n=/+aZ09", max_size=80))
def test_garbage_that_looks_like_pem_is_refused(text: str) -> None:
    with pytest.raises(CertificateInvalid):
        read_bundle(f"-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----".encode())


def test_a_bundle_is_certificates_and_nothing_else() -> None:
    key = b"-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n"
    with pytest.raises(CertificateInvalid, match="something else"):
        read_bundle(pki.pem(LEAF) + key)
    with pytest.raises(CertificateInvalid, match="more than any chain"):
        read_bundle(bytes(MAX_BUNDLE + 1))
