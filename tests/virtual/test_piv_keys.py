"""Keys of the PIV application: made, imported, used as their policies say, moved and attested."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.virtual.piv_host import (
    CONDITIONS,
    NOT_SATISFIED,
    OK,
    P256,
    P384,
    RSA_2048,
    PivHost,
)
from ushield.cms import oids
from ushield.cms.attestation import Attestation
from ushield.iso7816.status import StatusWord
from ushield.iso7816.tlv import encode
from ushield.piv.commands import ALGORITHM_CODE, KEY_SLOTS, Instruction
from ushield.shield.commands import KeyUsageCode

PIN_NEVER, PIN_ONCE, PIN_ALWAYS = (encode(0xAA, bytes((policy,))) for policy in (1, 2, 3))
WRONG_DATA, WRONG_PARAMETERS = StatusWord.WRONG_DATA, StatusWord.WRONG_PARAMETERS
NO_KEY = StatusWord.REFERENCED_DATA_NOT_FOUND
DIGEST = bytes(range(32))


@pytest.fixture
def host(tmp_path: Path) -> Iterator[PivHost]:
    with PivHost.create(tmp_path) as host:
        yield host


@pytest.fixture(scope="module")
def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def rsa_parts(key: rsa.RSAPrivateKey) -> bytes:
    numbers = key.private_numbers()
    values = (numbers.p, numbers.q, numbers.dmp1, numbers.dmq1, numbers.iqmp)
    return b"".join(encode(tag, value.to_bytes(128, "big")) for tag, value in enumerate(values, 1))


def block(key: rsa.RSAPublicKey, digest: bytes = DIGEST) -> bytes:
    """A digest with PKCS #1 v1.5 padding (RFC 8017, 9.2), as hosts send it."""
    info = bytes.fromhex("3031300D060960864801650304020105000420") + digest
    return b"\x00\x01" + b"\xff" * (key.key_size // 8 - len(info) - 3) + b"\x00" + info


def check_ec(host: PivHost, slot: int, signature: bytes, digest: bytes = DIGEST) -> None:
    public_key = host.public_key(slot)
    assert isinstance(public_key, ec.EllipticCurvePublicKey)
    hashed = hashes.SHA256() if len(digest) == 32 else hashes.SHA384()
    public_key.verify(signature, digest, ec.ECDSA(utils.Prehashed(hashed)))


@pytest.mark.parametrize("slot", sorted(KEY_SLOTS), ids=lambda slot: f"{slot:02X}")
def test_every_slot_makes_and_uses_a_key(host: PivHost, slot: int) -> None:
    host.key(slot)
    host.verify()
    check_ec(host, slot, host.taken(host.sign(slot, DIGEST), 0x82))


def test_a_key_is_made_by_the_management_key_alone(host: PivHost) -> None:
    host.verify()
    assert host.generate() == NOT_SATISFIED
    assert host.send(Instruction.GET_METADATA, 0, 0x9A).sw == NO_KEY


@pytest.mark.parametrize("algorithm", [0x00, 0x03, 0x06, 0xE0, 0xE1])
def test_other_kinds_of_keys_are_refused(host: PivHost, algorithm: int) -> None:
    host.authenticate()
    assert host.generate(0x9A, algorithm) == WRONG_DATA


@pytest.mark.parametrize("slot", [0x00, 0x80, 0x96, 0x9B, 0xF9])
def test_other_slots_are_refused(host: PivHost, slot: int) -> None:
    host.authenticate()
    assert host.generate(slot) == WRONG_PARAMETERS


def test_p384_signs_its_own_length(host: PivHost) -> None:
    host.key(0x9A, P384)
    host.verify()
    answer = host.sign(0x9A, bytes(48), P384)
    check_ec(host, 0x9A, host.taken(answer, 0x82), bytes(48))


def test_digests_of_other_lengths_are_the_numbers_that_they_are(host: PivHost) -> None:
    host.key()
    host.verify()
    short = host.taken(host.sign(0x9A, b"\x05" * 20), 0x82)
    check_ec(host, 0x9A, short, bytes(12) + b"\x05" * 20)
    long = host.taken(host.sign(0x9A, b"\x05" * 64), 0x82)
    check_ec(host, 0x9A, long, b"\x05" * 32)
    for wrong in (b"", b"\x05" * 65):
        assert host.sign(0x9A, wrong).sw == WRONG_DATA


def test_an_rsa_key_works_on_blocks_that_the_host_padded(host: PivHost) -> None:
    host.key(0x9A, RSA_2048)
    host.verify()
    public_key = host.public_key()
    assert isinstance(public_key, rsa.RSAPublicKey)
    assert public_key.key_size == 2048
    signature = host.taken(host.sign(0x9A, block(public_key), RSA_2048), 0x82)
    public_key.verify(signature, DIGEST, padding.PKCS1v15(), utils.Prehashed(hashes.SHA256()))
    secret = public_key.encrypt(b"a secret", padding.PKCS1v15())
    assert host.taken(host.sign(0x9A, secret, RSA_2048), 0x82).endswith(b"\x00a secret")
    for wrong in (bytes(255), bytes(257), b"\xff" * 256):
        assert host.sign(0x9A, wrong, RSA_2048).sw == WRONG_DATA


@pytest.mark.parametrize("algorithm", [P256, P384])
def test_an_ec_key_agrees_on_a_secret(host: PivHost, algorithm: int) -> None:
    host.key(0x9D, algorithm)
    host.verify()
    public_key = host.public_key(0x9D)
    assert isinstance(public_key, ec.EllipticCurvePublicKey)
    mine = ec.generate_private_key(public_key.curve)
    point = mine.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    answer = host.dynamic(algorithm, 0x9D, (0x82, b""), (0x85, point))
    assert host.taken(answer, 0x82) == mine.exchange(ec.ECDH(), public_key)
    for wrong in (b"", point[:-1], point[:-1] + bytes((point[-1] ^ 1,)), b"\x04" + bytes(64)):
        assert host.dynamic(algorithm, 0x9D, (0x82, b""), (0x85, wrong)).sw == WRONG_DATA


def test_the_algorithm_must_be_the_key_s(host: PivHost) -> None:
    host.key()
    host.verify()
    for code in {0x00, *ALGORITHM_CODE.values()} - {P256}:
        assert host.sign(0x9A, DIGEST, code).sw == WRONG_PARAMETERS
    assert host.sign(0x9C).sw == NO_KEY
    assert host.dynamic(P256, 0x80, (0x82, b""), (0x81, DIGEST)).sw == WRONG_PARAMETERS


@pytest.mark.parametrize(
    "data",
    ["", "7C", "7C00", "7B028200", "7C048201008100", "7C028200", "7C0481008100", "7C0282008100"],
)
def test_malformed_templates_are_refused(host: PivHost, data: str) -> None:
    host.key()
    host.verify()
    answer = host.send(Instruction.GENERAL_AUTHENTICATE, P256, 0x9A, bytes.fromhex(data))
    assert answer.sw == WRONG_DATA


@pytest.mark.parametrize(
    ("slot", "policies", "expected"),
    [
        (0x9A, b"", 2),
        (0x9C, b"", 3),
        (0x9D, b"", 2),
        (0x9E, b"", 1),
        (0x82, b"", 2),
        (0x9A, PIN_NEVER, 1),
        (0x9C, PIN_ONCE, 2),
        (0x9E, PIN_ALWAYS, 3),
    ],
)
def test_each_slot_has_its_pin_policy_unless_another_is_said(
    host: PivHost, slot: int, policies: bytes, expected: int
) -> None:
    host.key(slot, P256, policies)
    assert host.metadata(slot)[2] == bytes((expected, 1))


@pytest.mark.parametrize("policies", ["AA0104", "AA0105", "AA020101", "AB0104", "AC0101"])
def test_other_policies_are_refused(host: PivHost, policies: str) -> None:
    host.authenticate()
    assert host.generate(0x9A, P256, bytes.fromhex(policies)) == WRONG_DATA


def test_a_key_that_wants_the_pin_once_signs_until_it_is_forgotten(host: PivHost) -> None:
    host.key(0x9A, P256, PIN_ONCE)
    assert host.sign().sw == NOT_SATISFIED
    host.verify()
    assert [host.sign().sw, host.sign().sw] == [OK, OK]
    host.send(Instruction.VERIFY, 0xFF, 0x80)
    assert host.sign().sw == NOT_SATISFIED


def test_a_key_that_wants_the_pin_always_signs_once(host: PivHost) -> None:
    host.key(0x9C, P256, PIN_ALWAYS)
    host.key(0x9A, P256, PIN_ONCE)
    host.verify()
    assert [host.sign(0x9C).sw, host.sign(0x9C).sw] == [OK, NOT_SATISFIED]
    host.verify()
    assert host.sign(0x9A).ok
    assert host.sign(0x9C).sw == NOT_SATISFIED, "another key was used in between"


def test_a_key_that_never_wants_the_pin_signs_without(host: PivHost) -> None:
    host.key(0x9E)
    assert host.sign(0x9E).ok


def test_malformed_work_spends_no_pin(host: PivHost) -> None:
    host.key(0x9C)
    host.verify()
    assert host.sign(0x9C, b"").sw == WRONG_DATA
    assert host.sign(0x9C).ok


def test_an_rsa_key_is_imported(host: PivHost, rsa_key: rsa.RSAPrivateKey) -> None:
    parts = rsa_parts(rsa_key)
    assert host.send(Instruction.IMPORT, RSA_2048, 0x9A, parts).sw == NOT_SATISFIED
    host.authenticate()
    assert host.send(Instruction.IMPORT, RSA_2048, 0x9A, parts + PIN_NEVER).ok
    assert host.metadata(0x9A)[3] == b"\x02"
    answer = host.sign(0x9A, block(rsa_key.public_key()), RSA_2048)
    rsa_key.public_key().verify(
        host.taken(answer, 0x82), DIGEST, padding.PKCS1v15(), utils.Prehashed(hashes.SHA256())
    )


def test_an_ec_key_is_imported(host: PivHost) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    scalar = key.private_numbers().private_value.to_bytes(32, "big")
    host.authenticate()
    assert host.send(Instruction.IMPORT, P256, 0x9E, encode(0x06, scalar)).ok
    assert host.public_key(0x9E) == key.public_key()
    check_ec(host, 0x9E, host.taken(host.sign(0x9E, DIGEST), 0x82))


def test_parts_that_are_no_key_pair_are_refused(host: PivHost, rsa_key: rsa.RSAPrivateKey) -> None:
    host.authenticate()
    parts = rsa_parts(rsa_key)
    numbers = rsa_key.private_numbers()
    swapped = parts.replace(numbers.dmp1.to_bytes(128, "big"), numbers.dmq1.to_bytes(128, "big"))
    even = parts.replace(numbers.p.to_bytes(128, "big"), (numbers.p - 1).to_bytes(128, "big"))
    for wrong in (b"", parts[:-131], swapped, even, encode(0x06, b"\x01"), parts + parts):
        assert host.send(Instruction.IMPORT, RSA_2048, 0x9A, wrong).sw == WRONG_DATA
    assert host.send(Instruction.IMPORT, 0x05, 0x9A, parts).sw == WRONG_DATA
    for scalar in (b"", bytes(32), b"\xff" * 32):
        assert host.send(Instruction.IMPORT, P256, 0x9A, encode(0x06, scalar)).sw == WRONG_DATA
    assert host.send(Instruction.GET_METADATA, 0, 0x9A).sw == NO_KEY


def test_a_key_is_moved_to_a_free_slot_and_deleted(host: PivHost) -> None:
    host.key(0x9A, P256, PIN_NEVER)
    host.key(0x9C)
    public_key = host.public_key(0x9A)
    assert host.send(Instruction.MOVE_KEY, 0x9C, 0x9A).sw == CONDITIONS
    assert host.send(Instruction.MOVE_KEY, 0x82, 0x9A).ok
    assert host.public_key(0x82) == public_key
    check_ec(host, 0x82, host.taken(host.sign(0x82, DIGEST), 0x82))
    assert host.send(Instruction.MOVE_KEY, 0x83, 0x9A).sw == NO_KEY
    assert host.send(Instruction.MOVE_KEY, 0xFF, 0x82).ok
    assert host.sign(0x82).sw == NO_KEY
    assert host.send(Instruction.MOVE_KEY, 0xFF, 0x82).sw == NO_KEY
    host.token.card.power_on()
    host.select()
    assert host.send(Instruction.MOVE_KEY, 0xFF, 0x9C).sw == NOT_SATISFIED


def test_a_key_made_here_is_attested_for_bare_signatures(host: PivHost) -> None:
    host.key(0x9C)
    answer = host.send(Instruction.ATTEST, 0x9C)
    certificate = x509.load_der_x509_certificate(answer.data)
    assert certificate.public_key() == host.public_key(0x9C)
    extension = certificate.extensions.get_extension_for_oid(
        x509.ObjectIdentifier(oids.ATTESTATION)
    ).value
    assert isinstance(extension, x509.UnrecognizedExtension)
    attestation = Attestation.decode(extension.value)
    assert attestation.usage == KeyUsageCode.AUTHENTICATION, "never what a display key signs"
    assert attestation.virtual
    device_key = host.public_key(0xF9)
    assert isinstance(device_key, ec.EllipticCurvePublicKey)
    assert certificate.signature_hash_algorithm is not None
    device_key.verify(
        certificate.signature,
        certificate.tbs_certificate_bytes,
        ec.ECDSA(certificate.signature_hash_algorithm),
    )
    with pytest.raises(InvalidSignature):
        device_key.verify(certificate.signature, b"", ec.ECDSA(hashes.SHA256()))


def test_a_key_made_elsewhere_is_not_attested(host: PivHost) -> None:
    host.authenticate()
    host.send(Instruction.IMPORT, P256, 0x9A, encode(0x06, b"\x07"))
    assert host.send(Instruction.ATTEST, 0x9A).sw == CONDITIONS
    assert host.send(Instruction.ATTEST, 0x9C).sw == NO_KEY
    assert host.send(Instruction.ATTEST, 0xF9).sw == WRONG_PARAMETERS


def test_an_empty_slot_has_no_metadata(host: PivHost) -> None:
    for reference in (0x9A, 0x82, 0x96, 0x00):
        assert host.send(Instruction.GET_METADATA, 0, reference).sw == NO_KEY


def test_keys_outlive_the_power(host: PivHost) -> None:
    host.key(0x9E)
    public_key = host.public_key(0x9E)
    host.token.unplug()
    host.token.plug()
    host.token.card.power_on()
    host.select()
    assert host.public_key(0x9E) == public_key
    check_ec(host, 0x9E, host.taken(host.sign(0x9E, DIGEST), 0x82))
