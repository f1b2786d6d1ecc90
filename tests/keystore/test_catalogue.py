"""Objects are found by their attributes; a certificate finds its key, and back, by CKA_ID."""

from __future__ import annotations

import io

import pytest

from tests.iso7816.connections import AlteringConnection, to_card
from ushield.algorithms import KeyAlgorithm
from ushield.errors import CertificateInvalid, ObjectNotFound, ProtocolViolation, SeveralObjects
from ushield.keystore import (
    Attribute,
    AttributeInvalid,
    Certificate,
    CertificateCategory,
    KeyType,
    KeyUsage,
    ObjectClass,
    PrivateKey,
    PublicKey,
)
from ushield.keystore.attributes import check_template
from ushield.shield.commands import DataObject
from ushield.shield.objects import tag_list
from ushield.signing.opening import token_behind
from ushield.testing.token import VirtualTokenUnderTest


def test_every_object_is_found_without_a_template(virtual_token: VirtualTokenUnderTest) -> None:
    with virtual_token.open() as token, token.session() as session:
        found = session.find()
        assert {type(one) for one in found} == {Certificate, PrivateKey, PublicKey}
        for one in found:
            check_template(one.attributes)
            assert session.find(one.attributes).one() == one


def test_certificate_and_key_find_each_other(virtual_token: VirtualTokenUnderTest) -> None:
    with virtual_token.open() as token, token.session() as session:
        certificate = session.certificates(label="signing").one()
        key = session.key_of(certificate)
        assert session.certificate_of(key) == certificate
        assert key.key_id == certificate.key_id
        assert session.public_keys(key_id=key.key_id).one().info == key.info
        assert certificate.attributes[Attribute.PUBLIC_KEY_INFO] == key.info.public_key


def test_objects_are_found_by_any_of_their_attributes(bare: VirtualTokenUnderTest) -> None:
    with bare.open() as token, token.session(bare.pin) as session:
        login = session.generate_key(KeyAlgorithm.P256, KeyUsage.AUTHENTICATION, label="login")
        session.generate_key(KeyAlgorithm.P384, KeyUsage.DISPLAY, label="signing")
        keys = {
            Attribute.CLASS: ObjectClass.PRIVATE_KEY,
            Attribute.ALWAYS_AUTHENTICATE: False,
        }
        assert session.find(keys).one() == login
        assert len(session.find({Attribute.KEY_TYPE: KeyType.EC})) == 4
        assert len(session.find({Attribute.LABEL: "login"})) == 2
        assert len(session.find({Attribute.MODULUS_BITS: 2048})) == 0
        assert session.private_keys(usage=KeyUsage.AUTHENTICATION).one() == login
        assert session.private_keys(label="login", key_id=login.key_id).one() == login
        with pytest.raises(SeveralObjects, match="private key"):
            session.private_keys().one()


def test_what_is_not_there_is_named(bare: VirtualTokenUnderTest) -> None:
    with bare.open() as token, token.session() as session:
        with pytest.raises(ObjectNotFound, match="certificate labelled 'signing'"):
            session.certificates(label="signing").one()
        with pytest.raises(ObjectNotFound, match="public key with id 0102"):
            session.public_keys(key_id=b"\x01\x02").one()
        with pytest.raises(ObjectNotFound, match="object with CLASS 1, ID 0102"):
            session.find(
                {Attribute.CLASS: ObjectClass.CERTIFICATE, Attribute.ID: b"\x01\x02"}
            ).one()


def test_a_template_of_the_wrong_type_is_refused(bare: VirtualTokenUnderTest) -> None:
    with bare.open() as token, token.session() as session, pytest.raises(AttributeInvalid):
        session.find({Attribute.LABEL: b"signing"})


def test_a_display_key_wants_the_pin_each_time_where_the_profile_says_so(
    virtual_token: VirtualTokenUnderTest,
) -> None:
    with virtual_token.open() as token, token.session() as session:
        assert token.info.pin_rules.pin_per_signature
        assert session.private_keys().one().always_authenticate


def test_a_deleted_certificate_is_gone_and_its_key_is_not(
    virtual_token: VirtualTokenUnderTest,
) -> None:
    with virtual_token.open() as token, token.session(virtual_token.pin) as session:
        certificate = session.certificates(label="signing").one()
        session.delete_certificate(certificate)
        assert certificate not in session.certificates()
        assert session.private_keys().one().key_id == certificate.key_id
        with pytest.raises(ObjectNotFound):
            session.delete_certificate(certificate)


def test_authorities_have_no_key(virtual_token: VirtualTokenUnderTest) -> None:
    with virtual_token.open() as token, token.session(virtual_token.pin) as session:
        session.import_certificates(virtual_token.authority.ca_pem)
        authorities = session.find({Attribute.CERTIFICATE_CATEGORY: CertificateCategory.AUTHORITY})
        authority = authorities.one()
        assert isinstance(authority, Certificate)
        with pytest.raises(ObjectNotFound):
            session.key_of(authority)


def test_a_certificate_that_the_directory_does_not_name_is_refused(
    virtual_token: VirtualTokenUnderTest,
) -> None:
    asked = tag_list(DataObject.CERTIFICATE, 1)

    def lie(command: bytes, response: bytes) -> bytes:
        return response[:-3] + b"\0" + response[-2:] if asked in command else response

    lying = AlteringConnection(to_card(virtual_token.virtual.card), lie)
    with token_behind(lying) as token, token.session() as session:
        with pytest.raises(ProtocolViolation, match="directory"):
            session.certificates()
        assert session.private_keys().one().label == "signing"


def test_directories_are_read_once_until_something_is_written(
    virtual_token: VirtualTokenUnderTest,
) -> None:
    stream = io.StringIO()

    def read() -> int:
        objects = [tag_list(tag).hex() for tag in (DataObject.KEYS, DataObject.CERTIFICATES)]
        return sum(stream.getvalue().count(each) for each in objects)

    with virtual_token.record(stream) as token, token.session(virtual_token.pin) as session:
        other = token.session()
        certificate = session.certificates(label="signing").one()
        assert session.key_of(certificate) == other.key_of(certificate)
        assert read() == 2
        session.generate_key(KeyAlgorithm.P256, KeyUsage.AUTHENTICATION, label="login")
        assert len(other.private_keys()) == 2
        assert read() == 3
        session.delete_certificate(certificate)
        assert not other.certificates(label="signing")
        assert read() == 4
        with pytest.raises(CertificateInvalid):
            session.import_certificates(b"no certificate")
        assert not other.certificates(label="signing")
        assert read() == 5
