"""The PIV driver on a virtual token's PIV application, over its own USB frames."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
)

from tests.drivers.bench import OTHER_PIN, WRONG_PIN, WRONG_PUK
from tests.drivers.piv_bench import PIN, PUK, PivBench, issue
from tests.pki import authority_key, certificate
from ushield.algorithms import HashAlgorithm, KeyAlgorithm
from ushield.drivers.base import Capability, Demand, KeyInfo, KeyOptions, KeyUsage, TokenDriver
from ushield.drivers.piv import PivDriver
from ushield.drivers.registry import driver_for
from ushield.drivers.shield import ShieldDriver
from ushield.errors import (
    BlindSigningRefused,
    CapabilityMissing,
    CertificateKeyMissing,
    InputInvalid,
    LoginRequired,
    ManagementKeyIncorrect,
    ManagementKeyRequired,
    ObjectNotFound,
    PinIncorrect,
    PinInvalid,
    PinLocked,
    Rejected,
    SlotOccupied,
    TokenFull,
)
from ushield.iso7816.tlv import encode
from ushield.pin import KnownManagementKey, ManagementKey, Pin, PinReference
from ushield.piv.commands import (
    ALGORITHM_CODE,
    DEFAULT_MANAGEMENT_KEY,
    Instruction,
    ManagementAlgorithm,
)
from ushield.shield.events import PanelKey

SPKI = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
DIGEST = hashlib.sha256(b"hello").digest()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[PivBench]:
    bench = PivBench.plug(tmp_path / "token")
    yield bench
    bench.unplug()


def verify(key: KeyInfo, signature: bytes, digest: bytes, algorithm: HashAlgorithm) -> None:
    hashed = {HashAlgorithm.SHA256: hashes.SHA256(), HashAlgorithm.SHA384: hashes.SHA384()}
    prehashed = Prehashed(hashed[algorithm])
    public = load_der_public_key(key.public_key)
    if isinstance(public, rsa.RSAPublicKey):
        public.verify(signature, digest, padding.PKCS1v15(), prehashed)
    else:
        assert isinstance(public, ec.EllipticCurvePublicKey)
        public.verify(signature, digest, ec.ECDSA(prehashed))


# What the card is.


def test_the_card_tells_who_it_is(bench: PivBench) -> None:
    driver: TokenDriver = bench.driver
    info = driver.info
    assert (info.driver, info.firmware, info.virtual) == ("piv", "5.7.0", True)
    assert info.serial.isdigit()
    assert info.model
    assert info.screen is None
    assert info.capabilities == {
        Capability.KEY_GENERATION,
        Capability.MANAGEMENT_KEY,
        Capability.ATTESTATION,
    }
    assert (info.pin_rules.min_length, info.pin_rules.max_length) == (6, 8)


def test_a_card_with_a_display_is_opened_by_its_driver_unless_piv_is_named(
    bench: PivBench,
) -> None:
    assert isinstance(driver_for(bench.driver.connection), ShieldDriver)
    assert isinstance(driver_for(bench.driver.connection, "piv"), PivDriver)
    with pytest.raises(InputInvalid, match="no driver is called pvi"):
        driver_for(bench.driver.connection, "pvi")


# PIN and PUK.


def test_asking_for_the_tries_spends_none(bench: PivBench) -> None:
    before = bench.tries
    assert bench.tries == bench.tries == before == (6, 10)
    assert not bench.driver.pin_states()[PinReference.USER].is_default


def test_a_wrong_pin_spends_a_try_and_a_malformed_one_none(bench: PivBench) -> None:
    with pytest.raises(PinIncorrect) as caught:
        bench.driver.verify_pin(Pin(WRONG_PIN))
    assert caught.value.tries_left == 5
    for malformed in ("12345", "123456789"):
        with pytest.raises(PinInvalid):
            bench.driver.verify_pin(Pin(malformed))
    assert bench.tries == (5, 10)
    bench.login()
    assert bench.tries == (6, 10)


def test_a_locked_pin_is_unblocked_by_the_puk(bench: PivBench) -> None:
    for _ in range(5):
        with pytest.raises(PinIncorrect):
            bench.driver.verify_pin(Pin(WRONG_PIN))
    for _ in range(2):
        with pytest.raises(PinLocked):
            bench.driver.verify_pin(Pin(WRONG_PIN))
    with pytest.raises(PinIncorrect) as caught:
        bench.driver.unblock_pin(Pin(WRONG_PUK), Pin(OTHER_PIN))
    assert (caught.value.reference, caught.value.tries_left) == ("puk", 9)
    bench.driver.unblock_pin(Pin(PUK), Pin(OTHER_PIN))
    bench.driver.verify_pin(Pin(OTHER_PIN))
    assert bench.tries == (6, 10)


def test_pin_and_puk_are_changed_by_the_old_ones(bench: PivBench) -> None:
    bench.driver.change_pin(PinReference.USER, Pin(PIN), Pin(OTHER_PIN))
    bench.driver.verify_pin(Pin(OTHER_PIN))
    bench.driver.change_pin(PinReference.PUK, Pin(PUK), Pin("75319024"))
    for bad in ("123456", "111111", OTHER_PIN):
        with pytest.raises(PinInvalid):
            bench.driver.change_pin(PinReference.USER, Pin(OTHER_PIN), Pin(bad))
    assert bench.tries == (6, 10)
    sent = [each.command[1] for each in bench.exchanges]
    assert sent.count(Instruction.CHANGE_REFERENCE_DATA) == 2


def test_no_secret_is_in_what_is_recorded(bench: PivBench) -> None:
    bench.login()
    bench.manage()
    bench.driver.change_pin(PinReference.USER, Pin(PIN), Pin(OTHER_PIN))
    bench.put(0x5FC109, encode(0x88, encode(0x89, DEFAULT_MANAGEMENT_KEY)))
    bench.driver.prove_management_key(KnownManagementKey.BEHIND_PIN)
    recorded = b"".join(each.command + (each.response or b"") for each in bench.exchanges)
    for secret in (PIN.encode(), OTHER_PIN.encode(), DEFAULT_MANAGEMENT_KEY):
        assert secret not in recorded


def test_logging_out_ends_pin_and_management_key(bench: PivBench) -> None:
    key = bench.key()
    bench.login()
    bench.driver.sign_digest(key.reference, HashAlgorithm.SHA256, DIGEST)
    bench.driver.logout()
    with pytest.raises(LoginRequired):
        bench.driver.sign_digest(key.reference, HashAlgorithm.SHA256, DIGEST)
    with pytest.raises(ManagementKeyRequired):
        bench.driver.delete_certificate(key.reference)


# The management key.


def test_keys_and_certificates_want_the_management_key(bench: PivBench) -> None:
    bench.login()
    with pytest.raises(ManagementKeyRequired) as caught:
        bench.driver.generate_key(KeyAlgorithm.P256, KeyUsage.AUTHENTICATION, "")
    assert "--management-key" in caught.value.remedy
    assert bench.driver.keys() == ()


@pytest.mark.parametrize("algorithm", ManagementAlgorithm)
def test_each_kind_of_management_key_is_proven_from_both_sides(
    bench: PivBench, algorithm: ManagementAlgorithm
) -> None:
    secret = bytes(range(1, 1 + algorithm.key_size))
    bench.set_management_key(algorithm, secret)
    bench.driver.logout()
    driver = PivDriver.probe(bench.driver.connection)
    assert driver is not None
    for wrong in (secret[::-1], DEFAULT_MANAGEMENT_KEY):
        with pytest.raises((ManagementKeyIncorrect, InputInvalid)):
            driver.prove_management_key(ManagementKey(wrong))
    with pytest.raises(ManagementKeyRequired):
        driver.generate_key(KeyAlgorithm.P256, KeyUsage.AUTHENTICATION, "")
    driver.prove_management_key(ManagementKey.from_hex(secret.hex().encode()))
    driver.generate_key(KeyAlgorithm.P256, KeyUsage.AUTHENTICATION, "")


def test_a_management_key_behind_the_pin_is_fetched_after_the_pin(bench: PivBench) -> None:
    with pytest.raises(LoginRequired):
        bench.driver.prove_management_key(KnownManagementKey.BEHIND_PIN)
    bench.login()
    with pytest.raises(ObjectNotFound, match="keeps no management key"):
        bench.driver.prove_management_key(KnownManagementKey.BEHIND_PIN)
    bench.put(0x5FC109, encode(0x88, encode(0x89, DEFAULT_MANAGEMENT_KEY)))
    bench.driver.logout()
    bench.login()
    bench.driver.prove_management_key(KnownManagementKey.BEHIND_PIN)
    bench.driver.generate_key(KeyAlgorithm.P256, KeyUsage.AUTHENTICATION, "")


def test_a_management_key_may_want_a_touch(bench: PivBench) -> None:
    bench.set_management_key(ManagementAlgorithm.TRIPLE_DES, DEFAULT_MANAGEMENT_KEY, touch=True)
    bench.driver.logout()
    driver = PivDriver.probe(bench.driver.connection)
    assert driver is not None
    assert driver.management_touch is Demand.ALWAYS
    with bench.finger(PanelKey.CANCEL), pytest.raises(Rejected):
        driver.prove_management_key(KnownManagementKey.DEFAULT)
    with bench.finger(PanelKey.OK):
        driver.prove_management_key(KnownManagementKey.DEFAULT)


# Keys.


@pytest.mark.parametrize(
    ("algorithm", "hash_algorithm"),
    [
        (KeyAlgorithm.RSA_2048, HashAlgorithm.SHA256),
        (KeyAlgorithm.P256, HashAlgorithm.SHA256),
        (KeyAlgorithm.P384, HashAlgorithm.SHA384),
        (KeyAlgorithm.P384, HashAlgorithm.SHA256),
        (KeyAlgorithm.P256, HashAlgorithm.SHA384),
    ],
)
def test_a_key_signs_after_the_pin(
    bench: PivBench, algorithm: KeyAlgorithm, hash_algorithm: HashAlgorithm
) -> None:
    key = bench.key("9a", algorithm, certified=False)
    assert (key.label, key.algorithm, key.generated) == ("9a", algorithm, True)
    assert (key.pin, key.touch) == (Demand.ONCE, Demand.NEVER)
    assert bench.driver.keys() == (key,)
    digest = hashlib.new(hash_algorithm, b"hello").digest()
    with pytest.raises(LoginRequired):
        bench.driver.sign_digest(key.reference, hash_algorithm, digest)
    bench.login()
    verify(
        key, bench.driver.sign_digest(key.reference, hash_algorithm, digest), digest, hash_algorithm
    )
    challenge = bytes(range(32))
    digest = hashlib.new(algorithm.hash, challenge).digest()
    verify(key, bench.driver.sign_challenge(key.reference, challenge), digest, algorithm.hash)


@pytest.mark.parametrize(
    ("algorithm", "primes"),
    [
        (KeyAlgorithm.RSA_3072, (2**1536 - 3453, 3 * 2**1534 - 721)),
        (KeyAlgorithm.RSA_4096, (2**2048 - 1557, 3 * 2**2046 - 43)),
    ],
)
def test_an_imported_rsa_key_of_any_size_signs(
    bench: PivBench, algorithm: KeyAlgorithm, primes: tuple[int, int]
) -> None:
    p, q = primes
    size = p.bit_length() // 8
    d = pow(65537, -1, (p - 1) * (q - 1))
    parts = enumerate((p, q, d % (p - 1), d % (q - 1), pow(q, -1, p)), 1)
    data = b"".join(encode(tag, part.to_bytes(size, "big")) for tag, part in parts)
    bench.manage()
    bench.send(Instruction.IMPORT, ALGORITHM_CODE[algorithm], 0x9A, data)
    (key,) = bench.driver.keys()
    assert (key.algorithm, key.generated) == (algorithm, False)
    bench.login()
    for hash_algorithm in (HashAlgorithm.SHA256, HashAlgorithm.SHA384):
        digest = hashlib.new(hash_algorithm, b"hello").digest()
        signature = bench.driver.sign_digest(key.reference, hash_algorithm, digest)
        assert len(signature) == 2 * size
        verify(key, signature, digest, hash_algorithm)


def test_the_signature_slot_wants_the_pin_each_time(bench: PivBench) -> None:
    key = bench.key("9c", certified=False)
    assert key.pin is Demand.ALWAYS
    bench.login()
    bench.driver.sign_digest(key.reference, HashAlgorithm.SHA256, DIGEST)
    with pytest.raises(LoginRequired):
        bench.driver.sign_digest(key.reference, HashAlgorithm.SHA256, DIGEST)


def test_a_touch_lets_the_key_sign_and_c_does_not(bench: PivBench) -> None:
    key = bench.key("9a", touch=Demand.ALWAYS, certified=False)
    assert key.touch is Demand.ALWAYS
    bench.login()
    with bench.finger(PanelKey.OK) as seen:
        signature = bench.driver.sign_digest(key.reference, HashAlgorithm.SHA256, DIGEST)
    verify(key, signature, DIGEST, HashAlgorithm.SHA256)
    assert "PIV 9A" in seen[0][0]
    with bench.finger(PanelKey.CANCEL), pytest.raises(Rejected):
        bench.driver.sign_digest(key.reference, HashAlgorithm.SHA256, DIGEST)


def test_nothing_is_lost_by_making_a_key_unless_it_may_be(bench: PivBench) -> None:
    key = bench.key("9a")
    again = KeyOptions(place="9a")
    with pytest.raises(SlotOccupied) as caught:
        bench.driver.generate_key(KeyAlgorithm.P256, KeyUsage.AUTHENTICATION, "", again)
    assert caught.value.slot == "9a"
    assert bench.driver.keys() == (key,)
    other = bench.driver.generate_key(
        KeyAlgorithm.P256, KeyUsage.AUTHENTICATION, "", KeyOptions(place="9a", replace=True)
    )
    assert bench.driver.keys() == (other,)
    assert bench.driver.certificates() == ()


def test_a_deleted_key_is_gone_with_its_certificate(bench: PivBench) -> None:
    key = bench.key("9a")
    bench.driver.delete_key(key.reference)
    assert (bench.driver.keys(), bench.driver.certificates()) == ((), ())
    with pytest.raises(ObjectNotFound):
        bench.driver.delete_key(key.reference)


@pytest.mark.parametrize("place", ["9b", "f9", "80", "9", "", "9a ", "zz"])
def test_what_is_no_slot_is_refused(bench: PivBench, place: str) -> None:
    bench.manage()
    with pytest.raises(InputInvalid, match="no slot"):
        bench.driver.generate_key(
            KeyAlgorithm.P256, KeyUsage.AUTHENTICATION, "", KeyOptions(place=place)
        )


def test_a_piv_card_makes_no_display_keys_and_keeps_no_labels(bench: PivBench) -> None:
    bench.manage()
    with pytest.raises(CapabilityMissing):
        bench.driver.generate_key(KeyAlgorithm.P256, KeyUsage.DISPLAY, "")
    with pytest.raises(InputInvalid, match="labels"):
        bench.driver.generate_key(KeyAlgorithm.P256, KeyUsage.AUTHENTICATION, "signing")


def test_a_key_is_attested_by_the_card(bench: PivBench) -> None:
    key = bench.key("9a")
    attestation = x509.load_der_x509_certificate(bench.driver.attest(key.reference))
    issuer = x509.load_der_x509_certificate(bench.driver.device_certificate())
    attestation.verify_directly_issued_by(issuer)
    assert attestation.public_key() == load_der_public_key(key.public_key)
    with pytest.raises(ObjectNotFound):
        bench.driver.attest(0x9D)


# Certificates.


def test_a_certificate_goes_to_the_slot_of_its_key(bench: PivBench) -> None:
    first, second = bench.key("9a"), bench.key("82", KeyAlgorithm.P384)
    entries = bench.driver.certificates()
    assert [(entry.slot, entry.label, entry.key_id) for entry in entries] == [
        (0x9A, "9a", first.key_id),
        (0x82, "82", second.key_id),
    ]
    for entry in entries:
        der = bench.driver.read_certificate(entry.slot)
        assert (entry.size, entry.sha256) == (len(der), hashlib.sha256(der).digest())
    with pytest.raises(CertificateKeyMissing):
        bench.driver.write_certificate(
            issue(ec.generate_private_key(ec.SECP256R1()).public_key().public_bytes(*SPKI)), ""
        )
    with pytest.raises(CapabilityMissing):
        bench.driver.write_certificate(issue(first.public_key), "", is_ca=True)
    bench.driver.delete_certificate(0x9A)
    with pytest.raises(ObjectNotFound):
        bench.driver.read_certificate(0x9A)
    assert bench.driver.keys() == (first, second)


def test_a_compressed_certificate_is_read(bench: PivBench) -> None:
    key = bench.key("9a", certified=False)
    der = issue(key.public_key)
    value = encode(0x70, gzip.compress(der)) + encode(0x71, b"\x01") + encode(0xFE, b"")
    bench.put(0x5FC105, value)
    bench.driver.reset()
    assert bench.driver.read_certificate(0x9A) == der


def test_a_certificate_that_does_not_fit_leaves_the_old_one(bench: PivBench) -> None:
    key = bench.key("9a")
    before = bench.driver.read_certificate(0x9A)
    padding_out = x509.UnrecognizedExtension(
        x509.ObjectIdentifier("1.3.6.1.4.1.1"), bytes(bench.token.profile.max_certificate)
    )
    public = load_der_public_key(key.public_key)
    assert isinstance(public, ec.EllipticCurvePublicKey)
    huge = certificate(
        "李四",
        "Test Bank CA",
        public,
        authority_key("Test Bank CA"),
        extensions=[(padding_out, False)],
    )
    with pytest.raises(TokenFull):
        bench.driver.write_certificate(huge.public_bytes(Encoding.DER), "")
    assert bench.driver.read_certificate(0x9A) == before
    bench.driver.reset()
    assert bench.driver.read_certificate(0x9A) == before


# What it has not.


def test_without_a_screen_a_transaction_is_not_begun(bench: PivBench) -> None:
    key = bench.key("9a")
    with pytest.raises(BlindSigningRefused) as caught:
        bench.driver.begin(key.reference, b"")
    assert "--accept-blind" in caught.value.remedy
    for refused in (
        lambda: bench.driver.begin_certification_request(key.reference, b""),
        lambda: bench.driver.request_state(bytes(8)),
        lambda: bench.driver.finish(bytes(8)),
        lambda: bench.driver.cancel(bytes(8)),
        lambda: bench.driver.panel_event(0),
        bench.driver.vouchers,
        bench.driver.counters,
        lambda: bench.driver.set_label("x"),
        bench.driver.unblock_challenge,
        lambda: bench.driver.unblock_by_bank(b"", Pin(PIN)),
    ):
        with pytest.raises(CapabilityMissing):
            refused()
