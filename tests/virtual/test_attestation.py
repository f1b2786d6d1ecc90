"""The device key's certificates, as `cryptography` and OpenSSL read them."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from ushield.algorithms import KeyAlgorithm
from ushield.cms import oids
from ushield.cms.attestation import Attestation, AttestationInvalid
from ushield.shield.commands import KeyUsageCode
from ushield.virtual.attestation import attest
from ushield.virtual.create import create_token
from ushield.virtual.keys import KeyStore
from ushield.virtual.nvram import Nvram

ATTESTATION = Attestation("V1", "Shield S1 (virtual)", "1.0.0", 1, generated=True, virtual=True)


@pytest.fixture
def nvram(tmp_path: Path) -> Iterator[Nvram]:
    create_token(tmp_path / "a.token", serial="V00000000042", pin="135790", puk="24681357")
    with Nvram.open(tmp_path / "a.token") as memory:
        yield memory


@pytest.mark.parametrize("usage", KeyUsageCode)
@pytest.mark.parametrize("algorithm", [KeyAlgorithm.RSA_2048, KeyAlgorithm.P256, KeyAlgorithm.P384])
def test_attestation_says_which_key_on_which_token_for_what(
    nvram: Nvram, algorithm: KeyAlgorithm, usage: KeyUsageCode
) -> None:
    key = KeyStore(nvram).generate(algorithm, usage, "signing")
    certificate = x509.load_der_x509_certificate(attest(nvram.identity, key))
    device = x509.load_der_x509_certificate(nvram.identity.device_certificate)
    certificate.verify_directly_issued_by(device)
    assert (
        certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        == key.public_key
    )
    extension = certificate.extensions.get_extension_for_oid(
        x509.ObjectIdentifier(oids.ATTESTATION)
    ).value
    assert isinstance(extension, x509.UnrecognizedExtension)
    assert Attestation.decode(extension.value) == Attestation(
        serial="V00000000042",
        model=nvram.profile.model,
        firmware="1.0.0",
        usage=int(usage),
        generated=True,
        virtual=True,
    )
    identifier = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    assert identifier.digest == key.key_id
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert not constraints.ca


def test_device_certificate_says_model_serial_and_that_it_is_virtual(nvram: Nvram) -> None:
    device = x509.load_der_x509_certificate(nvram.identity.device_certificate)
    device.verify_directly_issued_by(device)
    said = {attribute.oid: attribute.value for attribute in device.subject}
    assert said[NameOID.SERIAL_NUMBER] == "V00000000042"
    assert said[NameOID.COMMON_NAME] == "Shield S1 (virtual) V00000000042"
    assert said[NameOID.ORGANIZATIONAL_UNIT_NAME] == "virtual"
    constraints = device.extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.critical
    assert constraints.value == x509.BasicConstraints(ca=True, path_length=0)
    usage = device.extensions.get_extension_for_class(x509.KeyUsage).value
    assert usage.key_cert_sign
    assert not usage.digital_signature


def test_openssl_accepts_the_path_of_an_attestation(nvram: Nvram, tmp_path: Path) -> None:
    key = KeyStore(nvram).generate(KeyAlgorithm.P256, KeyUsageCode.DISPLAY, "")
    pem = {
        "device": nvram.identity.device_certificate,
        "key": attest(nvram.identity, key),
    }
    for name, der in pem.items():
        certificate = x509.load_der_x509_certificate(der)
        (tmp_path / name).write_bytes(certificate.public_bytes(Encoding.PEM))
    done = subprocess.run(
        ["openssl", "verify", "-x509_strict", "-CAfile", "device", "key"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == "key: OK", done.stderr


def test_attestation_of_one_token_does_not_hold_for_another(nvram: Nvram, tmp_path: Path) -> None:
    key = KeyStore(nvram).generate(KeyAlgorithm.P256, KeyUsageCode.DISPLAY, "")
    create_token(tmp_path / "b.token", serial="V00000000042")
    with Nvram.open(tmp_path / "b.token") as other:
        device = x509.load_der_x509_certificate(other.identity.device_certificate)
    certificate = x509.load_der_x509_certificate(attest(nvram.identity, key))
    with pytest.raises(InvalidSignature):
        certificate.verify_directly_issued_by(device)


@given(
    st.builds(
        Attestation,
        serial=st.text(min_size=1, max_size=64),
        model=st.text(min_size=1, max_size=64),
        firmware=st.text(max_size=32),
        usage=st.sampled_from((1, 2)),
        generated=st.booleans(),
        virtual=st.booleans(),
    )
)
def test_attestation_survives_its_encoding(attestation: Attestation) -> None:
    assert Attestation.decode(attestation.encode()) == attestation


@given(st.data())
def test_no_two_encodings_say_the_same(data: st.DataObject) -> None:
    changed = bytearray(ATTESTATION.encode())
    place = data.draw(st.integers(0, len(changed) - 1))
    changed[place] ^= data.draw(st.integers(1, 255))
    with suppress(AttestationInvalid):
        assert Attestation.decode(bytes(changed)) != ATTESTATION


@given(st.binary(max_size=60))
def test_bytes_that_are_no_attestation_are_refused(data: bytes) -> None:
    with pytest.raises(AttestationInvalid):
        Attestation.decode(data)


def test_attestation_of_another_version_is_refused() -> None:
    with pytest.raises(AttestationInvalid, match="version"):
        Attestation.decode(ATTESTATION.encode().replace(b"\x02\x01\x01\x0c", b"\x02\x01\x02\x0c"))


@pytest.mark.parametrize("usage", [0, 3])
def test_attestation_of_an_unknown_usage_cannot_be_made(usage: int) -> None:
    with pytest.raises(AttestationInvalid):
        replace(ATTESTATION, usage=usage)
