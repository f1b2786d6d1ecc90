"""Objects tell themselves in PKCS #11 attributes, each of its own type."""

from __future__ import annotations

import datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests import pki
from ushield.algorithms import HashAlgorithm, KeyAlgorithm
from ushield.drivers.base import KeyInfo, KeyUsage
from ushield.errors import CertificateInvalid, ProtocolViolation
from ushield.keystore import (
    Attribute,
    AttributeInvalid,
    AttributeValue,
    Certificate,
    CertificateCategory,
    KeyType,
    Mechanism,
    ObjectClass,
    PrivateKey,
    PublicKey,
)
from ushield.keystore.attributes import check_template

ALGORITHMS = [KeyAlgorithm.RSA_2048, KeyAlgorithm.P256, KeyAlgorithm.P384]
COMMON = {
    Attribute.CLASS,
    Attribute.TOKEN,
    Attribute.PRIVATE,
    Attribute.MODIFIABLE,
    Attribute.LABEL,
    Attribute.COPYABLE,
    Attribute.DESTROYABLE,
    Attribute.ID,
    Attribute.SUBJECT,
    Attribute.PUBLIC_KEY_INFO,
}


def key_info(algorithm: KeyAlgorithm, usage: KeyUsage = KeyUsage.DISPLAY) -> KeyInfo:
    public_key = pki.private_key(algorithm).public_key()
    der = public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return KeyInfo(1, algorithm, usage, b"\x01" * 20, "signing", der)


def stored(certificate: x509.Certificate, key_id: bytes = b"\x01" * 20) -> Certificate:
    return Certificate(1, key_id, "signing", pki.der(certificate))


# Numbers from pkcs11t.h of OASIS PKCS #11 v3.1.
@pytest.mark.parametrize(
    ("attribute", "number"),
    [
        (Attribute.CLASS, 0x00),
        (Attribute.TOKEN, 0x01),
        (Attribute.PRIVATE, 0x02),
        (Attribute.LABEL, 0x03),
        (Attribute.VALUE, 0x11),
        (Attribute.CERTIFICATE_TYPE, 0x80),
        (Attribute.ISSUER, 0x81),
        (Attribute.SERIAL_NUMBER, 0x82),
        (Attribute.ID, 0x102),
        (Attribute.SENSITIVE, 0x103),
        (Attribute.SIGN, 0x108),
        (Attribute.START_DATE, 0x110),
        (Attribute.MODULUS, 0x120),
        (Attribute.PUBLIC_KEY_INFO, 0x129),
        (Attribute.EXTRACTABLE, 0x162),
        (Attribute.EC_PARAMS, 0x180),
        (Attribute.EC_POINT, 0x181),
        (Attribute.ALWAYS_AUTHENTICATE, 0x202),
        (Attribute.ALLOWED_MECHANISMS, 0x40000600),
    ],
)
def test_attributes_have_the_numbers_of_the_standard(attribute: Attribute, number: int) -> None:
    assert attribute == number


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_attribute_of_every_object_has_its_type(algorithm: KeyAlgorithm) -> None:
    info = key_info(algorithm)
    check_template(PublicKey(info).attributes)
    check_template(PrivateKey(info, always_authenticate=True).attributes)
    check_template(stored(pki.Signer.issued(algorithm).certificate).attributes)


def test_a_certificate_has_the_attributes_of_an_x509_certificate_object() -> None:
    certificate = pki.Signer.issued().certificate
    attributes = stored(certificate).attributes
    assert attributes.keys() == COMMON | {
        Attribute.CERTIFICATE_TYPE,
        Attribute.TRUSTED,
        Attribute.CERTIFICATE_CATEGORY,
        Attribute.CHECK_VALUE,
        Attribute.START_DATE,
        Attribute.END_DATE,
        Attribute.ISSUER,
        Attribute.SERIAL_NUMBER,
        Attribute.VALUE,
        Attribute.URL,
    }
    assert attributes[Attribute.VALUE] == pki.der(certificate)
    assert attributes[Attribute.SUBJECT] == certificate.subject.public_bytes()
    assert attributes[Attribute.ISSUER] == certificate.issuer.public_bytes()
    assert attributes[Attribute.START_DATE] == certificate.not_valid_before_utc.date()
    assert attributes[Attribute.END_DATE] == certificate.not_valid_after_utc.date()
    assert attributes[Attribute.TRUSTED] is False
    serial = attributes[Attribute.SERIAL_NUMBER]
    assert isinstance(serial, bytes)
    assert serial[0] == 0x02
    assert int.from_bytes(serial[2:], "big") == certificate.serial_number
    assert serial in pki.der(certificate)


def test_a_certificate_with_a_key_is_the_users_and_one_without_an_authoritys() -> None:
    authority = pki.authority()
    assert stored(authority, b"").category is CertificateCategory.AUTHORITY
    assert stored(authority).category is CertificateCategory.TOKEN_USER


def test_a_private_key_never_leaves_and_says_so() -> None:
    attributes = PrivateKey(key_info(KeyAlgorithm.P256), always_authenticate=True).attributes
    assert attributes.keys() == COMMON | {
        Attribute.KEY_TYPE,
        Attribute.DERIVE,
        Attribute.LOCAL,
        Attribute.KEY_GEN_MECHANISM,
        Attribute.ALLOWED_MECHANISMS,
        Attribute.SENSITIVE,
        Attribute.SIGN,
        Attribute.EXTRACTABLE,
        Attribute.ALWAYS_SENSITIVE,
        Attribute.NEVER_EXTRACTABLE,
        Attribute.ALWAYS_AUTHENTICATE,
    }
    assert attributes[Attribute.SENSITIVE] is True
    assert attributes[Attribute.ALWAYS_SENSITIVE] is True
    assert attributes[Attribute.EXTRACTABLE] is False
    assert attributes[Attribute.NEVER_EXTRACTABLE] is True
    assert attributes[Attribute.ALWAYS_AUTHENTICATE] is True
    assert attributes[Attribute.LOCAL] is True


def test_a_display_key_allows_no_mechanism_that_takes_a_digest() -> None:
    display = PrivateKey(key_info(KeyAlgorithm.P256), always_authenticate=True)
    assert display.attributes[Attribute.ALLOWED_MECHANISMS] == {Mechanism.DISPLAY_SIGNING}


@pytest.mark.parametrize(
    ("algorithm", "mechanisms"),
    [
        (
            KeyAlgorithm.RSA_2048,
            {Mechanism.SHA256_RSA_PKCS, Mechanism.SHA384_RSA_PKCS, Mechanism.SHA512_RSA_PKCS},
        ),
        (
            KeyAlgorithm.P256,
            {Mechanism.ECDSA_SHA256, Mechanism.ECDSA_SHA384, Mechanism.ECDSA_SHA512},
        ),
    ],
)
def test_an_authentication_key_signs_digests_of_its_kind(
    algorithm: KeyAlgorithm, mechanisms: set[Mechanism]
) -> None:
    key = PrivateKey(key_info(algorithm, KeyUsage.AUTHENTICATION), always_authenticate=False)
    assert key.attributes[Attribute.ALLOWED_MECHANISMS] == mechanisms
    assert len(mechanisms) == len(HashAlgorithm)


def test_an_rsa_public_key_has_its_modulus_and_exponent() -> None:
    key = pki.private_key(KeyAlgorithm.RSA_2048)
    assert isinstance(key, rsa.RSAPrivateKey)
    numbers = key.public_key().public_numbers()
    attributes = PublicKey(key_info(KeyAlgorithm.RSA_2048)).attributes
    assert attributes[Attribute.KEY_TYPE] is KeyType.RSA
    assert attributes[Attribute.MODULUS] == numbers.n.to_bytes(256, "big")
    assert attributes[Attribute.MODULUS_BITS] == 2048
    assert attributes[Attribute.PUBLIC_EXPONENT] == b"\x01\x00\x01"


@pytest.mark.parametrize(
    ("algorithm", "curve", "point_header"),
    [
        # OBJECT IDENTIFIERs secp256r1 and secp384r1 (RFC 5480, 2.1.1.1) in DER.
        (KeyAlgorithm.P256, "06082a8648ce3d030107", "044104"),
        (KeyAlgorithm.P384, "06052b81040022", "046104"),
    ],
)
def test_an_ec_public_key_has_its_curve_and_point_in_der(
    algorithm: KeyAlgorithm, curve: str, point_header: str
) -> None:
    key = pki.private_key(algorithm)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    numbers = key.public_key().public_numbers()
    attributes = PublicKey(key_info(algorithm)).attributes
    assert attributes[Attribute.KEY_TYPE] is KeyType.EC
    assert attributes[Attribute.EC_PARAMS] == bytes.fromhex(curve)
    size = key.key_size // 8
    assert attributes[Attribute.EC_POINT] == (
        bytes.fromhex(point_header)
        + numbers.x.to_bytes(size, "big")
        + numbers.y.to_bytes(size, "big")
    )


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        (Attribute.CLASS, 1),
        (Attribute.CLASS, KeyType.RSA),
        (Attribute.TOKEN, 1),
        (Attribute.LABEL, b"signing"),
        (Attribute.ID, "signing"),
        (Attribute.MODULUS_BITS, True),
        (Attribute.START_DATE, datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)),
    ],
)
def test_a_template_with_a_value_of_another_type_is_refused_by_name(
    attribute: Attribute, value: AttributeValue
) -> None:
    with pytest.raises(AttributeInvalid) as refusal:
        check_template({attribute: value})
    assert refusal.value.facts == {"attribute": attribute.name}


def test_a_template_with_values_of_the_right_types_is_taken() -> None:
    check_template(
        {
            Attribute.CLASS: ObjectClass.CERTIFICATE,
            Attribute.LABEL: "签名",
            Attribute.ID: b"\x01",
            Attribute.START_DATE: datetime.date(2026, 1, 1),
        }
    )


def test_a_certificate_that_cannot_be_read_is_told_by_its_label() -> None:
    with pytest.raises(CertificateInvalid, match="signing"):
        Certificate(1, b"", "signing", b"\x30\x00").parsed()


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("06082A8648CE3D030107", "06082A8648CE3D020107"),  # an unknown curve
        ("034200", "034201"),  # a point of 519 bits
        ("0C026161", "03020061"),  # a name that is a BIT STRING
        ("A003020102", "A003020107"),  # version v8
    ],
)
def test_a_certificate_from_a_lying_token_is_refused_and_by_no_other_error(
    right: str, wrong: str
) -> None:
    key = pki.private_key(KeyAlgorithm.P256).public_key()
    der = pki.der(pki.certificate("aa", "CA", key, pki.authority_key("CA")))
    assert bytes.fromhex(right) in der
    lying = Certificate(1, b"x", "x", der.replace(bytes.fromhex(right), bytes.fromhex(wrong), 1))
    with pytest.raises(CertificateInvalid):
        lying.attributes  # noqa: B018


@pytest.mark.parametrize("public_key", [b"", b"\x30\x00", None], ids=["none", "empty", "other"])
def test_a_public_key_from_a_lying_token_is_a_violation(public_key: bytes | None) -> None:
    other = key_info(KeyAlgorithm.P256).public_key
    told = other if public_key is None else public_key
    info = KeyInfo(1, KeyAlgorithm.RSA_2048, KeyUsage.DISPLAY, b"x", "x", told)
    with pytest.raises(ProtocolViolation):
        PublicKey(info).attributes  # noqa: B018
