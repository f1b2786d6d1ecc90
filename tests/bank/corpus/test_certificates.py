"""Hostile certificates: keys too weak or too strange, CAs as signers, look-alikes, mazes of CAs.

Each test names the trick; all of them are signed by a trusted CA unless they say otherwise.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from asn1crypto import x509 as asn1
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.bank.corpus.bank import MESSAGE, TRUST, counted, reason, refused, signature_with
from tests.bank.odd import EXTENSIONS, KEY, SERIAL, SIGNATURE, fields, named, sign, with_field
from tests.bank.revocations import crl
from tests.pki import (
    CA,
    NOW,
    YEAR,
    Signer,
    authority,
    authority_key,
    certificate,
    key_usage,
    pem,
    private_key,
)
from ushield.algorithms import KeyAlgorithm
from ushield.bank import RejectionReason, TransactionRejected, TrustStore, Verifier
from ushield.bank.revocation import RevocationIndex
from ushield.cms import der
from ushield.iso7816.tlv import parse_one

RSA_ENCRYPTION = der.sequence(der.object_identifier("1.2.840.113549.1.1.1"), der.null())
MODULUS = (1 << 2047) + 1


def _rsa(modulus: int, exponent: int) -> bytes:
    """A SubjectPublicKeyInfo, even of what is no RSA key."""
    return der.sequence(
        RSA_ENCRYPTION,
        der.tagged(0x03, b"\0", der.sequence(der.integer(modulus), der.integer(exponent))),
    )


def _info(key: Any) -> bytes:
    encoded: bytes = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return encoded


WEAK = {
    "RSA of 1024 bits": _rsa((1 << 1023) + 1, 65537),
    "RSA of 2047 bits": _rsa((1 << 2046) + 1, 65537),
    "exponent 3": _rsa(MODULUS, 3),
    "exponent 17": _rsa(MODULUS, 17),
    "secp256k1": _info(ec.generate_private_key(ec.SECP256K1()).public_key()),
    "P-192": _info(ec.generate_private_key(ec.SECP192R1()).public_key()),
    "P-224": _info(ec.generate_private_key(ec.SECP224R1()).public_key()),
    "brainpool": _info(ec.generate_private_key(ec.BrainpoolP256R1()).public_key()),
    "Ed25519": _info(ed25519.Ed25519PrivateKey.generate().public_key()),
    "Ed448": _info(ed448.Ed448PrivateKey.generate().public_key()),
}
INVALID = {
    "exponent 1": _rsa(MODULUS, 1),
    "exponent 0": _rsa(MODULUS, 0),
    "even exponent": _rsa(MODULUS, 65538),
    "even modulus": _rsa(MODULUS - 1, 65537),
    "RSA of 16384 bits": _rsa((1 << 16383) + 1, 65537),
    "RSA of 100000 bits": _rsa((1 << 100_000) + 1, 65537),
    "an exponent as long as the modulus": _rsa(MODULUS, MODULUS - 2),
    "a point that is not on the curve": der.sequence(
        der.sequence(
            der.object_identifier("1.2.840.10045.2.1"),
            der.object_identifier("1.2.840.10045.3.1.7"),
        ),
        der.tagged(0x03, b"\0\x04", bytes(63), b"\x05"),
    ),
    "a key of an unknown kind": der.sequence(
        der.sequence(der.object_identifier("1.2.3.4")), der.tagged(0x03, b"\0\x01")
    ),
    "a curve given by its equation": der.sequence(
        der.sequence(der.object_identifier("1.2.840.10045.2.1"), der.sequence(der.integer(1))),
        der.tagged(0x03, b"\0\x04", bytes(64)),
    ),
}


@pytest.mark.parametrize("key", WEAK.values(), ids=WEAK.keys())
def test_a_key_that_is_weak_or_of_an_unusual_curve(key: bytes) -> None:
    found = refused(signature_with(with_field(KEY, key)))
    assert found is RejectionReason.KEY_TOO_WEAK


@pytest.mark.parametrize("key", INVALID.values(), ids=INVALID.keys())
def test_what_is_no_key_at_all_or_one_to_keep_the_bank_busy(key: bytes) -> None:
    work = counted(lambda: refused(signature_with(with_field(KEY, key))))
    assert work.reason is RejectionReason.CERTIFICATE_INVALID
    assert work.calls < 20_000


def test_dsa() -> None:
    key = dsa.generate_private_key(2048).public_key()
    assert refused(signature_with(with_field(KEY, _info(key)))) is RejectionReason.KEY_TOO_WEAK


SERIALS = {
    "negative": der.tagged(0x02, b"\x80"),
    "minus one": der.tagged(0x02, b"\xff"),
    "zero": der.integer(0),
    "a padded one": der.tagged(0x02, b"\x00\x05"),
    "an empty one": der.tagged(0x02),
    "of 21 bytes": der.integer(1 << 160),
    "of 8000 bytes": der.integer(1 << 64_000),
}


@pytest.mark.parametrize("serial", SERIALS.values(), ids=SERIALS.keys())
def test_a_serial_number_that_is_none(serial: bytes) -> None:
    attempted = with_field(SERIAL, serial)
    # The signature names it just so.
    work = counted(lambda: refused(_named_by_hand(attempted)))
    assert work.reason in (
        RejectionReason.CERTIFICATE_INVALID,
        RejectionReason.CERTIFICATE_MISMATCH,
        RejectionReason.NOT_DER,
        RejectionReason.NOT_CANONICAL,
    )
    assert work.calls < 20_000


def _named_by_hand(attempted: bytes) -> bytes:
    try:
        return signature_with(attempted)
    except Exception:  # noqa: BLE001
        good = signature_with(with_field(SERIAL, der.integer(5)))
        return good.replace(with_field(SERIAL, der.integer(5)), attempted)


def test_pss_parameters_in_the_certificates_own_signature() -> None:
    pss = der.sequence(der.object_identifier("1.2.840.113549.1.1.10"), der.sequence())
    found = refused(signature_with(with_field(SIGNATURE, pss)))
    assert found in (RejectionReason.CERTIFICATE_INVALID, RejectionReason.PATH_INVALID)


def test_a_certificate_signed_over_sha_1() -> None:
    sha1 = der.sequence(der.object_identifier("1.2.840.10045.4.1"))
    found = refused(signature_with(with_field(SIGNATURE, sha1)))
    assert found in (RejectionReason.PATH_INVALID, RejectionReason.ISSUER_UNKNOWN)


@pytest.mark.parametrize(
    "name",
    ["李四\0", "李四\0.evil", "\0", "李\n四", "李\u202e四", "李\u200b四", "\x1b[2J"],
)
def test_a_name_with_what_no_eye_sees(name: str) -> None:
    found = refused(signature_with(named(0x0C, name.encode())))
    assert found is RejectionReason.CERTIFICATE_INVALID


def test_a_ca_whose_name_only_looks_like_the_trusted_one() -> None:
    # CYRILLIC CAPITAL LETTER ES and A for C and A.
    look_alike = Signer.issued(issuer="Test Bank \u0421\u0410")
    assert refused(look_alike.sign(MESSAGE)) is RejectionReason.ISSUER_UNKNOWN


def test_a_customer_whose_name_only_looks_like_another_is_another() -> None:
    # The bank knows customers by their certificates; a name is never compared by its looks.
    for name in ("xn--bcher-kva", "аlice", "ａlice"):
        one, other = Signer.issued(subject=name), Signer.issued(subject="alice")
        verifier = Verifier(TRUST)
        found = verifier.verify(one.sign(MESSAGE), NOW)
        assert found.signer != verifier.verify(other.sign(MESSAGE), NOW).signer
        assert found.certificate == one.der


def test_the_trusted_ca_itself_as_signer() -> None:
    issuer = Signer(KeyAlgorithm.P256, authority_key("Test Bank CA"), authority())
    trust = TrustStore.load(pem(issuer.certificate))
    assert refused(issuer.sign(MESSAGE), trust) is RejectionReason.CERTIFICATE_IS_CA


def test_an_intermediate_as_signer() -> None:
    lower = authority("Lower", "Test Bank CA")
    signer = Signer(KeyAlgorithm.P256, authority_key("Lower"), lower)
    trust = TrustStore.load(pem(authority(), lower))
    assert refused(signer.sign(MESSAGE), trust) is RejectionReason.CERTIFICATE_IS_CA


def test_a_customer_who_says_it_is_a_ca() -> None:
    assert refused(Signer.issued(constraints=CA).sign(MESSAGE)) is RejectionReason.CERTIFICATE_IS_CA


def test_a_customer_as_issuer() -> None:
    customer = Signer.issued(KeyAlgorithm.RSA_2048, subject="Customer")
    below = certificate(
        "李四", "Customer", private_key(KeyAlgorithm.P256).public_key(), customer.key
    )
    signer = dataclasses.replace(Signer.issued(), certificate=below)
    assert refused(signer.sign(MESSAGE)) is RejectionReason.ISSUER_UNKNOWN
    trust = TrustStore.load(pem(authority(), customer.certificate))
    assert refused(signer.sign(MESSAGE), trust) is RejectionReason.PATH_INVALID


@pytest.mark.parametrize(
    ("validity", "expected"),
    [
        ({"not_after": NOW - YEAR / 2}, RejectionReason.CERTIFICATE_EXPIRED),
        ({"not_before": NOW + YEAR / 2}, RejectionReason.CERTIFICATE_NOT_YET_VALID),
    ],
)
def test_out_of_its_time(validity: dict[str, Any], expected: RejectionReason) -> None:
    assert refused(Signer.issued(**validity).sign(MESSAGE)) is expected


@pytest.mark.parametrize("usage", [None, key_usage("key_encipherment"), key_usage("crl_sign")])
def test_for_another_use(usage: Any) -> None:
    found = refused(Signer.issued(usage=usage).sign(MESSAGE))
    assert found is RejectionReason.CERTIFICATE_USAGE


def test_an_extension_twice() -> None:
    extensions = parse_one(parse_one(fields()[EXTENSIONS]).value).value
    doubled = der.tagged(0xA3, der.sequence(extensions, extensions))
    found = refused(signature_with(with_field(EXTENSIONS, doubled)))
    assert found is RejectionReason.CERTIFICATE_INVALID


def test_ten_thousand_extensions_cost_bounded_work() -> None:
    one = der.sequence(der.object_identifier("1.2.3.4"), der.octet_string(b""))
    doubled = der.tagged(0xA3, der.sequence(one * 2500))
    work = counted(lambda: refused(signature_with(with_field(EXTENSIONS, doubled))))
    assert work.reason in (RejectionReason.CERTIFICATE_INVALID, RejectionReason.NOT_DER)
    assert work.calls < 40_000


def test_the_serial_number_of_a_victim_under_another_ca() -> None:
    lower = authority("Lower", "Test Bank CA")
    victim, attacker = Signer.issued(), Signer.issued(issuer="Lower", subject="王五")
    changed = asn1.Certificate.load(attacker.der)["tbs_certificate"]
    changed["serial_number"] = victim.certificate.serial_number
    body = changed.dump(force=True)
    algorithm = der.sequence(der.object_identifier("1.2.840.10045.4.3.2"))
    signature = der.tagged(0x03, b"\0", sign(authority_key("Lower"), body))
    forged = der.sequence(body, algorithm, signature)
    attacker = dataclasses.replace(attacker, certificate=x509.load_der_x509_certificate(forged))
    trust = TrustStore.load(pem(authority(), lower))
    index = RevocationIndex((authority(), lower))
    index.add_crl(crl(), NOW)
    index.add_crl(crl(issuer="Lower"), NOW)
    verifier = Verifier(trust, revocation=index)
    assert verifier.verify(victim.sign(MESSAGE), NOW).signer == "CN=李四"
    assert verifier.verify(attacker.sign(MESSAGE), NOW).signer == "CN=王五"
    # Taken back under its own issuer, it takes nothing from the victim.
    index.add_crl(crl(attacker.certificate, issuer="Lower", this_update=NOW), NOW)
    verifier.verify(victim.sign(MESSAGE), NOW)
    with pytest.raises(TransactionRejected) as caught:
        verifier.verify(attacker.sign(MESSAGE), NOW)
    assert caught.value.reason is RejectionReason.CERTIFICATE_REVOKED
    swapped = victim.sign(MESSAGE).replace(victim.der, forged)
    assert refused(swapped, trust) in (
        RejectionReason.CERTIFICATE_MISMATCH,
        RejectionReason.NOT_DER,
    )


def test_a_maze_of_cas_that_certify_each_other_costs_bounded_work() -> None:
    names = [f"CA {number}" for number in range(12)]
    maze = [authority(one, other) for one in names for other in names if one != other]
    trust = TrustStore.load(pem(authority(), *maze))
    signer = Signer.issued(issuer="CA 0")
    work = counted(lambda: refused(signer.sign(MESSAGE), trust))
    assert work.reason is RejectionReason.PATH_INVALID
    assert work.calls < 60_000


def test_good_ones_are_good() -> None:
    assert reason(signature_with(with_field(SERIAL, der.integer(5)))) is None
    assert reason(Signer.issued(KeyAlgorithm.RSA_3072).sign(MESSAGE)) is None
    assert isinstance(private_key(KeyAlgorithm.RSA_2048), rsa.RSAPrivateKey)
