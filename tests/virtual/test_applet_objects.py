"""Keys, certificates, labels, attestation and bare signatures on the applet."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.pki import authority, der
from tests.virtual.host import (
    OK,
    PIN,
    Host,
    certificate_for,
    check_signature,
    foreign_certificate,
)
from ushield.algorithms import HashAlgorithm, KeyAlgorithm
from ushield.iso7816.apdu import ResponseApdu
from ushield.iso7816.status import StatusWord
from ushield.iso7816.tlv import encode
from ushield.shield.commands import DataObject, Feature, Instruction, KeyUsageCode
from ushield.shield.objects import (
    ChallengeToSign,
    DigestToSign,
    GenerateKey,
    KeyEntry,
    StoredCertificate,
    decode_certificates,
    decode_keys,
    encode_key_reference,
    tag_list,
)

NEEDS_PIN = int(StatusWord.SECURITY_STATUS_NOT_SATISFIED)
WRONG_DATA = int(StatusWord.WRONG_DATA)
NO_ROOM = int(StatusWord.NOT_ENOUGH_MEMORY)
NOT_FOUND = int(StatusWord.REFERENCED_DATA_NOT_FOUND)
NOT_SATISFIED = int(StatusWord.CONDITIONS_NOT_SATISFIED)
AUTHENTICATION = KeyUsageCode.AUTHENTICATION


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    with Host.create(tmp_path) as host:
        yield host


def digest_signature(host: Host, key: KeyEntry, algorithm: HashAlgorithm) -> ResponseApdu:
    digest = hashlib.new(algorithm, b"data").digest()
    data = DigestToSign(key.reference, algorithm, digest).encode()
    return host.send(0, Instruction.PERFORM_SECURITY_OPERATION, 0x9E9A, data)


def challenge_signature(host: Host, key: KeyEntry, challenge: bytes) -> ResponseApdu:
    data = ChallengeToSign(key.reference, challenge).encode()
    return host.send(0, Instruction.INTERNAL_AUTHENTICATE, data=data)


def test_the_application_tells_what_the_profile_says_and_that_it_is_virtual(host: Host) -> None:
    info, profile = host.info(), host.token.profile
    assert info.features & Feature.VIRTUAL
    assert "virtual" in info.model
    assert info.serial == host.token.serial
    assert (info.screen, info.pin_rules) == (profile.screen, profile.pin_rules)
    assert (info.max_message, info.max_keys, info.timeout) == (4096, 16, 60)


@pytest.mark.parametrize("algorithm", [KeyAlgorithm.RSA_2048, KeyAlgorithm.P256, KeyAlgorithm.P384])
@pytest.mark.parametrize("usage", list(KeyUsageCode))
def test_a_key_made_on_the_token_stands_in_its_directory(
    host: Host, algorithm: KeyAlgorithm, usage: KeyUsageCode
) -> None:
    key = host.generate(usage, algorithm, "网银")
    assert (key.algorithm, key.usage, key.label) == (algorithm, usage, "网银")
    assert decode_keys(host.get(DataObject.KEYS).data) == (key,)


def test_making_a_key_wants_the_pin(host: Host) -> None:
    data = GenerateKey(KeyAlgorithm.P256, KeyUsageCode.DISPLAY, "k").encode()
    assert host.send(0, Instruction.GENERATE_KEY_PAIR, data=data).sw == NEEDS_PIN
    assert host.get(DataObject.KEYS).data == b""


def test_a_full_token_makes_no_more_keys(tmp_path: Path) -> None:
    with Host.create(tmp_path, profile="lenient") as host:
        keys = tuple(host.generate() for _ in range(4))
        data = GenerateKey(KeyAlgorithm.P256, KeyUsageCode.DISPLAY, "k").encode()
        assert host.send(0, Instruction.GENERATE_KEY_PAIR, data=data).sw == NO_ROOM
        assert decode_keys(host.get(DataObject.KEYS).data) == keys


def test_a_full_token_makes_keys_again_when_one_was_deleted(tmp_path: Path) -> None:
    with Host.create(tmp_path, profile="lenient") as host:
        keys = [host.generate() for _ in range(4)]
        host.enrol(keys[1])
        assert host.delete_key(keys[1]) == OK
        assert host.get(DataObject.CERTIFICATES).data == b""
        made = host.generate()
        assert made.reference not in [key.reference for key in keys]
        assert decode_keys(host.get(DataObject.KEYS).data) == (keys[0], *keys[2:], made)


def test_deleting_a_key_wants_the_pin_and_a_key(host: Host) -> None:
    key = host.generate()
    assert host.logout() == OK
    assert host.delete_key(key) == NEEDS_PIN
    assert host.verify() == OK
    data = encode_key_reference(key.reference + 1)
    assert host.send(0x80, Instruction.DELETE_KEY, data=data).sw == NOT_FOUND
    assert host.send(0x80, Instruction.DELETE_KEY).sw == WRONG_DATA
    assert decode_keys(host.get(DataObject.KEYS).data) == (key,)


@pytest.mark.parametrize("label", ["x" * 65, "a\nb", "\u202e"])
def test_a_key_takes_no_label_that_cannot_be_read(host: Host, label: str) -> None:
    assert host.verify() == OK
    data = GenerateKey(KeyAlgorithm.P256, KeyUsageCode.DISPLAY, label).encode()
    assert host.send(0, Instruction.GENERATE_KEY_PAIR, data=data).sw == WRONG_DATA


def test_a_display_key_signs_nothing_that_the_screen_did_not_show(host: Host) -> None:
    key = host.signing_key()
    assert host.verify() == OK
    assert digest_signature(host, key, HashAlgorithm.SHA256).sw == NOT_SATISFIED
    assert challenge_signature(host, key, bytes(16)).sw == NOT_SATISFIED
    assert host.begin(key).ok, "the refusals did not use the PIN up"


@pytest.mark.parametrize("algorithm", [KeyAlgorithm.RSA_2048, KeyAlgorithm.P256, KeyAlgorithm.P384])
def test_an_authentication_key_signs_digests_and_challenges(
    host: Host, algorithm: KeyAlgorithm
) -> None:
    key = host.generate(AUTHENTICATION, algorithm)
    answer = digest_signature(host, key, algorithm.hash)
    check_signature(key, answer.data, b"data")
    assert host.verify() == OK
    challenge = bytes(range(32))
    check_signature(key, challenge_signature(host, key, challenge).data, challenge)


def test_a_bare_signature_wants_the_pin_each_time(host: Host) -> None:
    key = host.generate(AUTHENTICATION)
    assert digest_signature(host, key, HashAlgorithm.SHA256).ok
    assert digest_signature(host, key, HashAlgorithm.SHA256).sw == NEEDS_PIN
    assert challenge_signature(host, key, bytes(16)).sw == NEEDS_PIN


@pytest.mark.parametrize("size", [0, 20, 31, 33, 48])
def test_a_digest_of_another_length_than_its_hash_has_is_refused(host: Host, size: int) -> None:
    key = host.generate(AUTHENTICATION)
    data = DigestToSign(key.reference, HashAlgorithm.SHA256, bytes(size)).encode()
    answer = host.send(0, Instruction.PERFORM_SECURITY_OPERATION, 0x9E9A, data)
    assert answer == ResponseApdu(b"", WRONG_DATA)
    assert digest_signature(host, key, HashAlgorithm.SHA256).ok


@pytest.mark.parametrize("size", [0, 15, 256])
def test_a_challenge_too_short_or_too_long_is_refused(host: Host, size: int) -> None:
    key = host.generate(AUTHENTICATION)
    assert challenge_signature(host, key, bytes(size)).sw == WRONG_DATA


def test_a_key_that_is_not_there_is_not_found(host: Host) -> None:
    assert host.verify() == OK
    missing = KeyEntry(9, KeyAlgorithm.P256, AUTHENTICATION, b"", "", b"")
    assert digest_signature(host, missing, HashAlgorithm.SHA256).sw == NOT_FOUND
    assert host.begin(missing).sw == NOT_FOUND
    attest = host.send(0x80, Instruction.ATTEST, data=encode_key_reference(9))
    assert attest.sw == NOT_FOUND


def test_the_device_attests_a_key_by_its_own_certificate(host: Host) -> None:
    key = host.generate()
    answer = host.send(0x80, Instruction.ATTEST, data=encode_key_reference(key.reference))
    attested = x509.load_der_x509_certificate(answer.data)
    device = x509.load_der_x509_certificate(host.get(DataObject.DEVICE_CERTIFICATE).data)
    attested.verify_directly_issued_by(device)
    spki = attested.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert spki == key.public_key


# Certificates.


def test_a_leaf_is_stored_under_its_keys_id(host: Host) -> None:
    key = host.generate()
    certificate = host.enrol(key)
    (entry,) = decode_certificates(host.get(DataObject.CERTIFICATES).data)
    assert (entry.slot, entry.key_id, entry.label) == (1, key.key_id, "signing")
    assert entry.size == len(certificate)
    assert entry.sha256 == hashlib.sha256(certificate).digest()
    assert host.get(DataObject.CERTIFICATE, 1).data == certificate


def test_a_new_leaf_takes_the_place_of_the_keys_old_one(host: Host) -> None:
    key = host.generate()
    host.enrol(key)
    renewed = certificate_for(key)
    assert host.put_certificate(renewed).data == b"\x01"
    assert host.get(DataObject.CERTIFICATE, 1).data == renewed
    assert len(decode_certificates(host.get(DataObject.CERTIFICATES).data)) == 1


def test_a_key_never_has_two_certificates(host: Host) -> None:
    key = host.generate()
    host.enrol(key)
    assert host.put_certificate(certificate_for(key), 5).sw == NOT_SATISFIED


def test_an_authority_is_stored_once_and_without_a_key(host: Host) -> None:
    assert host.verify() == OK
    ca = der(authority())
    first = host.put_certificate(ca, label="Bank CA", is_ca=True)
    again = host.put_certificate(ca, label="Bank CA", is_ca=True)
    assert first == again == ResponseApdu(b"\x01", OK)
    (entry,) = decode_certificates(host.get(DataObject.CERTIFICATES).data)
    assert entry.key_id == b""


def test_an_authoritys_certificate_is_never_the_one_that_a_signature_names(host: Host) -> None:
    key = host.generate()
    assert host.put_certificate(certificate_for(key), is_ca=True).ok
    assert host.begin(key).sw == NOT_FOUND


def test_a_leaf_whose_key_is_elsewhere_is_refused(host: Host) -> None:
    assert host.verify() == OK
    assert host.put_certificate(foreign_certificate()).sw == WRONG_DATA
    assert host.get(DataObject.CERTIFICATES).data == b""


@pytest.mark.parametrize("is_ca", [False, True])
@pytest.mark.parametrize("garbage", [b"\x00", b"0\x03abc", bytes(200)])
def test_garbage_is_no_certificate(host: Host, garbage: bytes, is_ca: bool) -> None:
    assert host.verify() == OK
    assert host.put_certificate(garbage, is_ca=is_ca).sw == WRONG_DATA
    assert host.get(DataObject.CERTIFICATES).data == b""


@pytest.mark.parametrize("is_ca", [False, True])
def test_a_certificate_of_a_version_that_x509_has_not_is_refused(host: Host, is_ca: bool) -> None:
    # Version v3 is the number 2 in [0] (RFC 5280, 4.1.2.1).
    v3, v8 = bytes.fromhex("A003020102"), bytes.fromhex("A003020107")
    certified = certificate_for(host.generate())
    assert host.put_certificate(certified.replace(v3, v8, 1), is_ca=is_ca).sw == WRONG_DATA
    assert host.get(DataObject.CERTIFICATES).data == b""


def test_a_certificate_cut_short_or_continued_is_refused(host: Host) -> None:
    certificate = certificate_for(host.generate())
    for changed in (certificate[:-1], certificate + b"\0", certificate[1:]):
        assert host.put_certificate(changed).sw == WRONG_DATA
    assert host.put_certificate(certificate).ok


def test_a_certificate_larger_than_the_profile_takes_has_no_room(host: Host) -> None:
    filling = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3"), bytes(8192))
    assert host.verify() == OK
    large = der(authority(extensions=[(filling, False)]))
    assert host.put_certificate(large, is_ca=True).sw == NO_ROOM


def test_no_slot_but_the_profiles_is_written(host: Host) -> None:
    key = host.generate()
    assert host.put_certificate(certificate_for(key), 25).sw == NO_ROOM
    assert host.put_certificate(certificate_for(key), 24).data == b"\x18"


def test_a_full_directory_takes_no_more_but_keeps_what_it_has(tmp_path: Path) -> None:
    with Host.create(tmp_path, profile="lenient") as host:
        assert host.verify() == OK
        for number in range(6):
            assert host.put_certificate(der(authority(f"CA {number}")), is_ca=True).ok
        assert host.put_certificate(der(authority("CA 7")), is_ca=True).sw == NO_ROOM
        assert len(decode_certificates(host.get(DataObject.CERTIFICATES).data)) == 6


def test_a_certificate_is_deleted_by_its_slot(host: Host) -> None:
    host.enrol(host.generate())
    empty = StoredCertificate(1, b"").encode()
    assert host.put(DataObject.CERTIFICATE, empty, 1) == ResponseApdu(b"", OK)
    assert host.put(DataObject.CERTIFICATE, empty, 1).sw == NOT_FOUND
    assert host.get(DataObject.CERTIFICATE, 1).sw == NOT_FOUND


def test_writing_and_deleting_want_the_pin(host: Host) -> None:
    key = host.generate()
    certificate = host.enrol(key)
    host.logout()
    assert host.put_certificate(certificate).sw == NEEDS_PIN
    assert host.put(DataObject.CERTIFICATE, encode(0x53, b""), 1).sw == NEEDS_PIN
    assert host.put_label(b"mine") == NEEDS_PIN
    assert host.get(DataObject.CERTIFICATE, 1).data == certificate


def test_upkeep_needs_no_second_pin_after_a_signature(host: Host) -> None:
    key = host.signing_key()
    host.signed(key)
    assert host.put_certificate(certificate_for(key)).ok


# Label and directory objects.


def test_the_label_can_be_written(host: Host) -> None:
    assert host.verify() == OK
    assert host.put_label("公司 U盾".encode()) == OK
    assert host.get(DataObject.LABEL).data.decode() == "公司 U盾"
    assert host.info().label == "公司 U盾"


def test_the_label_can_be_written_twice_in_a_row(host: Host) -> None:
    host.verify()
    assert host.put_label(b"first") == OK
    assert host.put_label(b"second") == OK
    assert host.info().label == "second"


@pytest.mark.parametrize("label", [b"x" * 33, b"\xff", b"a\x00", "a\u200b".encode()])
def test_a_label_that_cannot_be_read_is_refused(host: Host, label: bytes) -> None:
    assert host.verify() == OK
    assert host.put_label(label) == WRONG_DATA
    assert host.get(DataObject.LABEL).data == b""


@pytest.mark.parametrize(
    "tag",
    [
        DataObject.PIN_STATES,
        DataObject.KEYS,
        DataObject.COUNTERS,
        DataObject.DEVICE_CERTIFICATE,
        DataObject.UNBLOCK_KEY,
        0xDF99,
    ],
)
def test_nothing_else_can_be_written(host: Host, tag: int) -> None:
    assert host.verify() == OK
    assert host.put(tag, encode(0x53, b"x")).sw == NOT_FOUND


@pytest.mark.parametrize(
    ("data", "sw"),
    [
        (b"", WRONG_DATA),
        (tag_list(0xDF99), NOT_FOUND),
        (tag_list(DataObject.CERTIFICATE), WRONG_DATA),
        (tag_list(DataObject.CERTIFICATE, 9), NOT_FOUND),
        (tag_list(DataObject.KEYS, 1), WRONG_DATA),
        (tag_list(DataObject.KEYS) + b"\x81\x00", WRONG_DATA),
        (tag_list(DataObject.LAST_REFUSAL), NOT_FOUND),
    ],
)
def test_a_tag_list_that_names_nothing_is_refused(host: Host, data: bytes, sw: int) -> None:
    assert host.send(0, Instruction.GET_DATA, 0x3FFF, data).sw == sw


def test_power_ups_are_counted(host: Host) -> None:
    before = host.counters().power_ups
    host.start()
    assert host.counters().power_ups == before + 1


def test_what_the_token_keeps_is_there_after_power_is_gone(host: Host) -> None:
    key = host.generate()
    certificate = host.enrol(key)
    host.start()
    assert decode_keys(host.get(DataObject.KEYS).data) == (key,)
    assert host.get(DataObject.CERTIFICATE, 1).data == certificate
    assert host.verify(PIN) == OK
