"""The shield driver, keys and certificates, on the virtual token."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.serialization import load_der_public_key

from tests.drivers.bench import Bench, issue, message
from tests.pki import authority, der, private_key
from ushield.algorithms import HashAlgorithm, KeyAlgorithm
from ushield.drivers.base import CertificateInfo, KeyUsage
from ushield.errors import (
    CertificateInvalid,
    InputInvalid,
    KeyUsageRefused,
    LoginRequired,
    ObjectNotFound,
    ScreenBusy,
    TokenFull,
)
from ushield.iso7816.apdu import CommandApdu
from ushield.pin import PinReference


def test_a_new_key_is_in_the_directory(bench: Bench) -> None:
    assert bench.driver.keys() == ()
    bench.login()
    made = [
        bench.driver.generate_key(KeyAlgorithm.P256, KeyUsage.DISPLAY, "签名"),
        bench.driver.generate_key(KeyAlgorithm.P384, KeyUsage.AUTHENTICATION, "login"),
    ]
    assert list(bench.driver.keys()) == made
    assert [(key.algorithm, key.usage, key.label) for key in made] == [
        (KeyAlgorithm.P256, KeyUsage.DISPLAY, "签名"),
        (KeyAlgorithm.P384, KeyUsage.AUTHENTICATION, "login"),
    ]
    for key in made:
        bits = x509.SubjectKeyIdentifier.from_public_key(_elliptic(key.public_key)).digest
        assert key.key_id == bits


def _elliptic(public_key: bytes) -> ec.EllipticCurvePublicKey:
    key = load_der_public_key(public_key)
    assert isinstance(key, ec.EllipticCurvePublicKey)
    return key


def test_making_a_key_takes_the_pin_and_a_label_that_can_be_kept(bench: Bench) -> None:
    with pytest.raises(LoginRequired):
        bench.driver.generate_key(KeyAlgorithm.P256, KeyUsage.DISPLAY, "signing")
    bench.login()
    for label in ("x" * 65, "a\u202eb", "\ud800"):
        with pytest.raises(InputInvalid):
            bench.driver.generate_key(KeyAlgorithm.P256, KeyUsage.DISPLAY, label)
    assert bench.driver.keys() == ()


def test_a_token_without_room_for_another_key_says_so(plug: Callable[..., Bench]) -> None:
    bench = plug(profile="lenient")
    bench.login()
    for number in range(4):
        bench.driver.generate_key(KeyAlgorithm.P256, KeyUsage.DISPLAY, str(number))
    with pytest.raises(TokenFull):
        bench.driver.generate_key(KeyAlgorithm.P256, KeyUsage.DISPLAY, "one more")
    assert len(bench.driver.keys()) == 4


def test_a_deleted_key_makes_room_for_another(plug: Callable[..., Bench]) -> None:
    bench = plug(profile="lenient")
    key = bench.key()
    for number in range(3):
        bench.driver.generate_key(KeyAlgorithm.P256, KeyUsage.DISPLAY, str(number))
    bench.driver.delete_key(key.reference)
    assert bench.driver.certificates() == ()
    made = bench.driver.generate_key(KeyAlgorithm.P256, KeyUsage.DISPLAY, "new")
    assert made.reference != key.reference
    assert set(bench.driver.keys()) >= {made}
    with pytest.raises(ObjectNotFound):
        bench.driver.delete_key(key.reference)


def test_a_key_that_is_in_use_or_not_one_s_own_is_not_deleted(bench: Bench) -> None:
    key = bench.key()
    begun = bench.driver.begin(key.reference, message())
    with pytest.raises(ScreenBusy):
        bench.driver.delete_key(key.reference)
    bench.driver.cancel(begun.request_id)
    bench.driver.logout()
    with pytest.raises(LoginRequired):
        bench.driver.delete_key(key.reference)
    assert bench.driver.keys() == (key,)


@pytest.mark.parametrize("size", [16, 255])
@pytest.mark.parametrize("algorithm", [KeyAlgorithm.P256, KeyAlgorithm.P384])
def test_an_authentication_key_signs_a_challenge_s_hash(
    bench: Bench, algorithm: KeyAlgorithm, size: int
) -> None:
    key = bench.key(KeyUsage.AUTHENTICATION, algorithm)
    challenge = bytes(range(size))
    signature = bench.driver.sign_challenge(key.reference, challenge)
    hash_ = {KeyAlgorithm.P256: hashes.SHA256(), KeyAlgorithm.P384: hashes.SHA384()}
    _elliptic(key.public_key).verify(signature, challenge, ec.ECDSA(hash_[algorithm]))


def test_signing_a_challenge_takes_the_pin_a_key_and_a_challenge(bench: Bench) -> None:
    display, key = bench.key(), bench.key(KeyUsage.AUTHENTICATION)
    with pytest.raises(KeyUsageRefused):
        bench.driver.sign_challenge(display.reference, bytes(16))
    with pytest.raises(ObjectNotFound):
        bench.driver.sign_challenge(99, bytes(16))
    sent = len(bench.exchanges)
    for size in (0, 15, 256):
        with pytest.raises(InputInvalid):
            bench.driver.sign_challenge(key.reference, bytes(size))
    assert len(bench.exchanges) == sent
    bench.driver.logout()
    with pytest.raises(LoginRequired):
        bench.driver.sign_challenge(key.reference, bytes(16))


def test_the_counters_count_signatures_and_power_ups(bench: Bench) -> None:
    before = bench.driver.counters()
    key = bench.key()
    begun = bench.driver.begin(key.reference, message())
    bench.confirm()
    bench.driver.finish(begun.request_id)
    bench.driver.reset()
    after = bench.driver.counters()
    assert (after.signatures, after.unblocks) == (before.signatures + 1, before.unblocks) == (1, 0)
    assert after.power_ups == before.power_ups + 1


def test_a_token_is_renamed(bench: Bench) -> None:
    with pytest.raises(LoginRequired):
        bench.driver.set_label("工资")
    bench.login()
    bench.driver.set_label("工资")
    assert bench.driver.info.label == "工资"
    bench.driver.reset()
    assert bench.driver.info.label == "工资"
    bench.login()
    for label in ("x" * 33, "a\nb", "\ud800"):
        with pytest.raises(InputInvalid):
            bench.driver.set_label(label)
    assert bench.driver.info.label == "工资"


def test_a_token_tells_how_much_it_holds(bench: Bench) -> None:
    info = bench.driver.info
    assert (info.max_keys, info.max_certificate, info.max_message) == (16, 8192, 4096)


@pytest.mark.parametrize("algorithm", [HashAlgorithm.SHA256, HashAlgorithm.SHA384])
def test_an_authentication_key_signs_digests(bench: Bench, algorithm: HashAlgorithm) -> None:
    key = bench.key(KeyUsage.AUTHENTICATION)
    digest = hashlib.new(algorithm, b"challenge").digest()
    signature = bench.driver.sign_digest(key.reference, algorithm, digest)
    hash_ = {HashAlgorithm.SHA256: hashes.SHA256(), HashAlgorithm.SHA384: hashes.SHA384()}
    scheme = ec.ECDSA(Prehashed(hash_[algorithm]))
    _elliptic(key.public_key).verify(signature, digest, scheme)


def test_an_rsa_key_signs_with_pkcs_1(bench: Bench) -> None:
    key = bench.key(KeyUsage.AUTHENTICATION, KeyAlgorithm.RSA_2048)
    digest = hashlib.sha256(b"challenge").digest()
    signature = bench.driver.sign_digest(key.reference, HashAlgorithm.SHA256, digest)
    public = load_der_public_key(key.public_key)
    assert isinstance(public, rsa.RSAPublicKey)
    public.verify(signature, digest, padding.PKCS1v15(), Prehashed(hashes.SHA256()))


def test_a_display_key_signs_no_digest(bench: Bench) -> None:
    key = bench.key(KeyUsage.DISPLAY)
    with pytest.raises(KeyUsageRefused):
        bench.driver.sign_digest(key.reference, HashAlgorithm.SHA256, bytes(32))


def test_signing_a_digest_takes_the_pin_a_key_and_a_digest(bench: Bench) -> None:
    key = bench.key(KeyUsage.AUTHENTICATION)
    with pytest.raises(ObjectNotFound):
        bench.driver.sign_digest(99, HashAlgorithm.SHA256, bytes(32))
    sent = len(bench.exchanges)
    with pytest.raises(InputInvalid):
        bench.driver.sign_digest(key.reference, HashAlgorithm.SHA256, bytes(20))
    assert len(bench.exchanges) == sent
    bench.driver.logout()
    with pytest.raises(LoginRequired):
        bench.driver.sign_digest(key.reference, HashAlgorithm.SHA256, bytes(32))


def test_certificates_are_stored_listed_read_and_deleted(bench: Bench) -> None:
    bench.login()
    key = bench.driver.generate_key(KeyAlgorithm.P256, KeyUsage.DISPLAY, "signing")
    leaf, ca = issue(key.public_key), der(authority())
    slots = {
        "leaf": bench.driver.write_certificate(leaf, "签名"),
        "ca": bench.driver.write_certificate(ca, "Bank CA", is_ca=True),
    }
    directory = {entry.slot: entry for entry in bench.driver.certificates()}
    assert directory == {
        slots["leaf"]: CertificateInfo(
            slots["leaf"], key.key_id, "签名", len(leaf), hashlib.sha256(leaf).digest()
        ),
        slots["ca"]: CertificateInfo(
            slots["ca"], b"", "Bank CA", len(ca), hashlib.sha256(ca).digest()
        ),
    }
    assert bench.driver.read_certificate(slots["leaf"]) == leaf
    assert bench.driver.read_certificate(slots["ca"]) == ca
    bench.driver.delete_certificate(slots["ca"])
    assert [entry.slot for entry in bench.driver.certificates()] == [slots["leaf"]]
    for attempt in (bench.driver.read_certificate, bench.driver.delete_certificate):
        with pytest.raises(ObjectNotFound):
            attempt(slots["ca"])


def test_a_key_s_new_certificate_replaces_the_old_one(bench: Bench) -> None:
    bench.login()
    key = bench.driver.generate_key(KeyAlgorithm.P256, KeyUsage.DISPLAY, "signing")
    old = bench.driver.write_certificate(issue(key.public_key), "old")
    new = bench.driver.write_certificate(issue(key.public_key), "new")
    assert old == new
    assert [entry.label for entry in bench.driver.certificates()] == ["new"]


def test_what_cannot_be_stored_is_refused_and_changes_nothing(bench: Bench) -> None:
    key = bench.key()
    before = bench.driver.certificates()
    leaf = issue(key.public_key)
    foreign = issue(_foreign())
    for bad in (b"rubbish", leaf[:-1], leaf[: len(leaf) // 2], foreign):
        with pytest.raises(CertificateInvalid):
            bench.driver.write_certificate(bad, "bad")
    with pytest.raises(TokenFull, match="up to 8192"):
        bench.driver.write_certificate(leaf + bytes(8192), "large")
    with pytest.raises(CertificateInvalid):
        bench.driver.write_certificate(b"", "empty")
    assert bench.driver.certificates() == before


def _foreign() -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    key = private_key(KeyAlgorithm.P256, "somebody else").public_key()
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def test_storing_and_deleting_take_the_pin(bench: Bench) -> None:
    bench.key()
    bench.driver.logout()
    (entry,) = bench.driver.certificates()
    with pytest.raises(LoginRequired):
        bench.driver.delete_certificate(entry.slot)
    with pytest.raises(LoginRequired):
        bench.driver.write_certificate(der(authority()), "CA", is_ca=True)
    assert bench.driver.read_certificate(entry.slot)


def test_the_device_key_attests_where_a_key_was_made(bench: Bench) -> None:
    key = bench.key()
    device = x509.load_der_x509_certificate(bench.driver.device_certificate())
    attestation = x509.load_der_x509_certificate(bench.driver.attest(key.reference))
    attestation.verify_directly_issued_by(device)
    assert attestation.public_key() == _elliptic(key.public_key)
    with pytest.raises(ObjectNotFound):
        bench.driver.attest(99)


def test_directories_grow_over_what_one_short_answer_carries(bench: Bench) -> None:
    bench.login()
    for number in range(16):
        bench.driver.generate_key(KeyAlgorithm.P256, KeyUsage.DISPLAY, f"{number} " + "钥" * 20)
    directory = bench.driver.keys()
    assert [key.reference for key in directory] == list(range(1, 17))
    answer = bench.exchanges[-1].response
    assert answer is not None
    assert len(answer) > 2000


def test_the_pin_state_tells_the_login(bench: Bench) -> None:
    bench.key()
    assert bench.driver.pin_states()[PinReference.USER].verified
    assert CommandApdu.decode(bench.exchanges[-1].command).ins == 0xCB
