"""Key pairs on the token: made, kept, and used for the signatures their algorithms say."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512
from cryptography.hazmat.primitives.serialization import load_der_public_key

from tests.virtual.memory import make_memory
from ushield.algorithms import HashAlgorithm, KeyAlgorithm
from ushield.errors import InputInvalid, ObjectNotFound, TokenFileInvalid, TokenFull
from ushield.shield.commands import KeyUsageCode
from ushield.virtual import keys
from ushield.virtual.keys import KeyStore, key_id
from ushield.virtual.nvram import Nvram

HASHES = {
    HashAlgorithm.SHA256: SHA256(),
    HashAlgorithm.SHA384: SHA384(),
    HashAlgorithm.SHA512: SHA512(),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return make_memory(tmp_path / "a.token", profile="lenient")


@pytest.fixture
def nvram(path: Path) -> Iterator[Nvram]:
    with Nvram.open(path) as memory:
        yield memory


def verify(public_key: bytes, signature: bytes, digest: bytes, algorithm: HashAlgorithm) -> None:
    """Check by `cryptography`; ``InvalidSignature``."""
    key = load_der_public_key(public_key)
    hashed = Prehashed(HASHES[algorithm])
    if isinstance(key, rsa.RSAPublicKey):
        key.verify(signature, digest, padding.PKCS1v15(), hashed)
    else:
        assert isinstance(key, ec.EllipticCurvePublicKey)
        key.verify(signature, digest, ec.ECDSA(hashed))


@pytest.mark.parametrize("algorithm", [KeyAlgorithm.RSA_2048, KeyAlgorithm.P256, KeyAlgorithm.P384])
def test_key_signs_any_digest_with_every_hash(nvram: Nvram, algorithm: KeyAlgorithm) -> None:
    store = KeyStore(nvram)
    stored = store.generate(algorithm, KeyUsageCode.AUTHENTICATION, "登录")
    assert (stored.reference, stored.algorithm, stored.usage, stored.label) == (
        1,
        algorithm,
        KeyUsageCode.AUTHENTICATION,
        "登录",
    )
    assert nvram.keys() == (stored,)
    for hash_algorithm in HashAlgorithm:
        digest = hashlib.new(hash_algorithm, b"message").digest()
        signature = store.sign(1, hash_algorithm, digest)
        verify(stored.public_key, signature, digest, hash_algorithm)
        other = hashlib.new(hash_algorithm, b"another").digest()
        with pytest.raises(InvalidSignature):
            verify(stored.public_key, signature, other, hash_algorithm)


@pytest.mark.parametrize("algorithm", KeyAlgorithm)
def test_every_algorithm_makes_a_key_of_its_kind(algorithm: KeyAlgorithm) -> None:
    key = keys.generate_private_key(algorithm)
    if isinstance(key, rsa.RSAPrivateKey):
        assert f"rsa{key.key_size}" == algorithm.value
        assert key.public_key().public_numbers().e == 65537
    else:
        curves = {KeyAlgorithm.P256: "secp256r1", KeyAlgorithm.P384: "secp384r1"}
        assert key.curve.name == curves[algorithm]


def test_key_id_is_the_sha1_of_the_public_keys_bits(nvram: Nvram) -> None:
    stored = KeyStore(nvram).generate(KeyAlgorithm.P256, KeyUsageCode.DISPLAY, "")
    # RFC 5480, 2: an uncompressed P-256 point is the last 65 bytes of its SubjectPublicKeyInfo.
    assert stored.key_id == hashlib.sha1(stored.public_key[-65:], usedforsecurity=False).digest()


def test_key_signs_again_after_the_token_was_switched_off(path: Path) -> None:
    digest = hashlib.sha256(b"message").digest()
    with Nvram.open(path) as nvram:
        stored = KeyStore(nvram).generate(KeyAlgorithm.P256, KeyUsageCode.DISPLAY, "signing")
    with Nvram.open(path) as nvram:
        signature = KeyStore(nvram).sign(stored.reference, HashAlgorithm.SHA256, digest)
    verify(stored.public_key, signature, digest, HashAlgorithm.SHA256)


def test_each_key_signs_for_itself(nvram: Nvram) -> None:
    store = KeyStore(nvram)
    made = [store.generate(KeyAlgorithm.P256, KeyUsageCode.DISPLAY, "") for _ in range(2)]
    digest = hashlib.sha256(b"message").digest()
    for stored, other in zip(made, reversed(made), strict=True):
        signature = store.sign(stored.reference, HashAlgorithm.SHA256, digest)
        verify(stored.public_key, signature, digest, HashAlgorithm.SHA256)
        with pytest.raises(InvalidSignature):
            verify(other.public_key, signature, digest, HashAlgorithm.SHA256)


def test_unknown_key_and_wrong_digest_length_are_refused(nvram: Nvram) -> None:
    store = KeyStore(nvram)
    with pytest.raises(ObjectNotFound):
        store.sign(1, HashAlgorithm.SHA256, bytes(32))
    store.generate(KeyAlgorithm.P256, KeyUsageCode.DISPLAY, "")
    for length in (0, 31, 33):
        with pytest.raises(InputInvalid):
            store.sign(1, HashAlgorithm.SHA256, bytes(length))


def test_a_deleted_key_signs_no_more_even_if_it_just_did(nvram: Nvram) -> None:
    store = KeyStore(nvram)
    reference = store.generate(KeyAlgorithm.P256, KeyUsageCode.DISPLAY, "").reference
    store.sign(reference, HashAlgorithm.SHA256, bytes(32))
    store.delete(reference)
    with pytest.raises(ObjectNotFound):
        store.sign(reference, HashAlgorithm.SHA256, bytes(32))
    with pytest.raises(ObjectNotFound):
        store.delete(reference)


def test_full_token_refuses_before_it_makes_a_key(
    nvram: Nvram, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = KeyStore(nvram)
    for _ in range(nvram.profile.max_keys):
        store.generate(KeyAlgorithm.P256, KeyUsageCode.DISPLAY, "")
    monkeypatch.setattr(keys, "generate_private_key", lambda algorithm: pytest.fail("too late"))
    with pytest.raises(TokenFull):
        store.generate(KeyAlgorithm.P256, KeyUsageCode.DISPLAY, "")


@pytest.mark.parametrize("damage", ["x'00'", "zeroblob(138)", "(SELECT device_key FROM identity)"])
def test_damaged_key_is_told_as_such_and_never_signs(path: Path, damage: str) -> None:
    with Nvram.open(path) as nvram:
        KeyStore(nvram).generate(KeyAlgorithm.P256, KeyUsageCode.DISPLAY, "")
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute(f"UPDATE key SET private_key = {damage}")
    with Nvram.open(path) as nvram, pytest.raises(TokenFileInvalid):
        KeyStore(nvram).sign(1, HashAlgorithm.SHA256, bytes(32))


def test_another_keys_private_half_is_noticed(path: Path) -> None:
    with Nvram.open(path) as nvram:
        store = KeyStore(nvram)
        for _ in range(2):
            store.generate(KeyAlgorithm.P256, KeyUsageCode.DISPLAY, "")
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute(
            "UPDATE key SET private_key = (SELECT private_key FROM key WHERE reference = 2)"
        )
    with Nvram.open(path) as nvram, pytest.raises(TokenFileInvalid):
        KeyStore(nvram).sign(1, HashAlgorithm.SHA256, bytes(32))


def test_key_of_another_kind_is_no_private_key_of_a_token() -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    with pytest.raises(ValueError, match="neither"):
        keys.load_private_key(keys.encode_private_key(Ed25519PrivateKey.generate()))  # type: ignore[arg-type]


def test_public_key_id_is_the_same_from_either_half() -> None:
    key = keys.generate_private_key(KeyAlgorithm.P256)
    again = keys.load_private_key(keys.encode_private_key(key))
    assert key_id(key.public_key()) == key_id(again.public_key())
