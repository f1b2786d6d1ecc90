"""A CA's key in a file: its owner's alone, and its certificates' own."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from tests.bank.authorities.issuing import AUTHORITY_KEY
from tests.pki import NOW, Signer, authority, authority_key, pem, private_key
from ushield.algorithms import KeyAlgorithm
from ushield.bank.authorities import AuthorityKey
from ushield.bank.authorities.certificates import authority_name
from ushield.bank.authorities.key import read_passphrase
from ushield.errors import InputInvalid


def write_key(path: Path, key: object) -> Path:
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))  # type: ignore[attr-defined]
    path.chmod(0o600)
    return path


@pytest.mark.parametrize(
    ("algorithm", "passphrase"),
    [
        (KeyAlgorithm.P256, None),
        (KeyAlgorithm.P256, b"correct horse"),
        (KeyAlgorithm.RSA_3072, b"correct horse"),
    ],
    ids=["p256", "p256-encrypted", "rsa3072-encrypted"],
)
def test_a_key_comes_back_from_its_file(
    tmp_path: Path, algorithm: KeyAlgorithm, passphrase: bytes | None
) -> None:
    made = AuthorityKey.create(authority_name("Test Bank"), NOW, algorithm=algorithm)
    made.save(tmp_path / "key.pem", tmp_path / "ca.pem", passphrase=passphrase)
    assert stat.S_IMODE((tmp_path / "key.pem").stat().st_mode) == 0o600
    loaded = AuthorityKey.load(tmp_path / "key.pem", tmp_path / "ca.pem", passphrase=passphrase)
    assert loaded.chain == made.chain
    assert loaded.identity == made.identity
    assert loaded.private_key.private_numbers() == made.private_key.private_numbers()


def test_a_key_is_never_replaced(tmp_path: Path) -> None:
    AUTHORITY_KEY.save(tmp_path / "key.pem", tmp_path / "ca.pem")
    before = (tmp_path / "key.pem").read_bytes()
    with pytest.raises(InputInvalid):
        AUTHORITY_KEY.save(tmp_path / "key.pem", tmp_path / "ca.pem")
    assert (tmp_path / "key.pem").read_bytes() == before


@pytest.mark.parametrize("passphrase", [None, b"wrong"])
def test_an_encrypted_key_wants_its_passphrase_and_repeats_none(
    tmp_path: Path, passphrase: bytes | None
) -> None:
    AUTHORITY_KEY.save(tmp_path / "key.pem", tmp_path / "ca.pem", passphrase=b"right")
    with pytest.raises(InputInvalid) as caught:
        AuthorityKey.load(tmp_path / "key.pem", tmp_path / "ca.pem", passphrase=passphrase)
    assert "wrong" not in str(caught.value)
    assert "passphrase" in caught.value.remedy


def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    AUTHORITY_KEY.save(tmp_path / "key.pem", tmp_path / "ca.pem")
    (tmp_path / "key.pem").chmod(0o640)
    with pytest.raises(InputInvalid) as caught:
        AuthorityKey.load(tmp_path / "key.pem", tmp_path / "ca.pem")
    assert "chmod 600" in caught.value.remedy


def test_the_key_is_in_no_repr() -> None:
    assert "private_key" not in repr(AUTHORITY_KEY)


def test_a_ca_below_another_has_both_certificates(tmp_path: Path) -> None:
    root, below = authority("Root"), authority("Below", "Root")
    key = write_key(tmp_path / "key.pem", authority_key("Below"))
    chain = tmp_path / "ca.pem"
    chain.write_bytes(pem(below, root))
    assert AuthorityKey.load(key, chain).chain == (below, root)
    for wrong in (pem(root, below), pem(below), pem(below, authority("Other")), b"", b"none"):
        chain.write_bytes(wrong)
        with pytest.raises(InputInvalid):
            AuthorityKey.load(key, chain)


def test_what_is_no_ca_s_key_is_refused(tmp_path: Path) -> None:
    chain = tmp_path / "ca.pem"
    signer = Signer.issued()
    chain.write_bytes(pem(signer.certificate, authority()))
    with pytest.raises(InputInvalid):
        AuthorityKey.load(write_key(tmp_path / "signer.pem", signer.key), chain)
    small = private_key(KeyAlgorithm.RSA_2048)
    with pytest.raises(InputInvalid):
        AuthorityKey.load(write_key(tmp_path / "small.pem", small), chain)
    with pytest.raises(InputInvalid):
        AuthorityKey.create(authority_name("Test"), NOW, algorithm=KeyAlgorithm.RSA_2048)


def test_a_passphrase_is_the_first_line_of_a_file_of_its_owner_s(tmp_path: Path) -> None:
    path = tmp_path / "passphrase"
    path.write_bytes(b"correct horse\nmore\n")
    path.chmod(0o600)
    assert read_passphrase(path) == b"correct horse"
    path.chmod(0o644)
    with pytest.raises(InputInvalid):
        read_passphrase(path)
    path.chmod(0o600)
    path.write_bytes(b"\n")
    with pytest.raises(InputInvalid):
        read_passphrase(path)
