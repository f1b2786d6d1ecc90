"""What token and host make together is CMS that other software takes."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest
from asn1crypto import cms, tsp

from tests.openssl import needs_openssl
from tests.pki import NOW, Signer, authority, pem, receipt_for
from tests.transaction.strategies import EXAMPLES, TRANSFER
from ushield.algorithms import HashAlgorithm, KeyAlgorithm
from ushield.cms import assemble, oids, parse_signed_data, signed_attributes
from ushield.cms.ecdsa import lower_s
from ushield.errors import CertificateInvalid
from ushield.transaction import write_message

MESSAGE = write_message(TRANSFER)
ALGORITHMS = [KeyAlgorithm.RSA_2048, KeyAlgorithm.RSA_3072, KeyAlgorithm.P256, KeyAlgorithm.P384]


def _openssl_verify(signature: bytes, directory: Path) -> subprocess.CompletedProcess[bytes]:
    (directory / "payment.p7s").write_bytes(signature)
    (directory / "ca.pem").write_bytes(pem(authority()))
    command = (
        "openssl cms -verify -inform DER -binary -in payment.p7s -CAfile ca.pem -purpose any"
        f" -attime {NOW.timestamp():.0f} -cades -out message.xml"
    )
    return subprocess.run(command.split(), cwd=directory, capture_output=True, check=False)


@needs_openssl
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_openssl_accepts_the_signature_and_gives_the_message(
    algorithm: KeyAlgorithm, tmp_path: Path
) -> None:
    done = _openssl_verify(Signer.issued(algorithm).sign(MESSAGE), tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "message.xml").read_bytes() == MESSAGE


@needs_openssl
def test_openssl_refuses_it_with_another_message(tmp_path: Path) -> None:
    signature = Signer.issued().sign(MESSAGE)
    swapped = signature.replace("张三".encode(), "张四".encode())
    assert swapped != signature
    assert _openssl_verify(swapped, tmp_path).returncode != 0


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_host_and_the_bank_agree_on_every_part(algorithm: KeyAlgorithm) -> None:
    signer = Signer.issued(algorithm)
    for transaction in EXAMPLES:
        message = write_message(transaction)
        attributes = signed_attributes(message, signer.der, receipt_for(message), algorithm.hash)
        signature = signer.raw(attributes)
        parsed = parse_signed_data(signer.assemble(message, attributes, signature))
        assert parsed.message == message
        assert parsed.certificate == signer.der
        assert parsed.display == receipt_for(message)
        assert parsed.signed_attributes == attributes
        ours = signature if algorithm.is_rsa else lower_s(signature, algorithm.hash)
        assert parsed.signature == ours
        assert (parsed.is_rsa, parsed.hash_algorithm) == (algorithm.is_rsa, algorithm.hash)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_attributes_are_the_four_of_the_standards_and_ours(algorithm: KeyAlgorithm) -> None:
    signer = Signer.issued(algorithm)
    receipt = receipt_for(MESSAGE)
    encoded = signed_attributes(MESSAGE, signer.der, receipt, algorithm.hash)
    attributes = cms.CMSAttributes.load(encoded, strict=True)
    found = {each["type"].dotted: each["values"][0] for each in attributes}
    assert len(attributes) == len(found) == 4
    assert found[oids.CONTENT_TYPE].dotted == oids.DATA
    assert found[oids.MESSAGE_DIGEST].native == hashlib.new(algorithm.hash, MESSAGE).digest()
    assert found[oids.RECEIPT].dump() == receipt.encode()
    certificates = found[oids.SIGNING_CERTIFICATE_V2]
    assert isinstance(certificates, tsp.SigningCertificateV2)
    assert certificates["certs"].native == [
        {
            "hash_algorithm": {"algorithm": "sha256", "parameters": None},
            "cert_hash": hashlib.sha256(signer.der).digest(),
            "issuer_serial": None,
        }
    ]


def test_our_identifiers_are_under_one_uuid() -> None:
    # X.667, 8: the UUID as one unsigned integer below 2.25
    arc = 0x5A06C725_55C2_42C6_9C2C_963AAB5AAB20
    assert [f"2.25.{arc}.{number}" for number in (1, 2)] == [oids.RECEIPT, oids.ATTESTATION]


@pytest.mark.parametrize("certificate", [b"", b"\x30\x00", b"garbage"])
def test_an_unreadable_certificate_is_refused(certificate: bytes) -> None:
    with pytest.raises(CertificateInvalid):
        assemble(
            message=MESSAGE,
            certificate=certificate,
            signed_attributes=b"1",
            signature=b"",
            is_rsa=False,
            hash_algorithm=HashAlgorithm.SHA256,
        )
