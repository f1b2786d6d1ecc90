"""The CRL says what was revoked, its numbers grow, and its file is always one whole CRL."""

from __future__ import annotations

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tests.bank.authorities.issuing import Issuing, profile, request
from tests.openssl import needs_openssl
from tests.pki import NOW, Signer, private_key
from tests.transaction.strategies import TRANSFER
from ushield.algorithms import KeyAlgorithm
from ushield.bank import RejectionReason, TransactionRejected, Verifier
from ushield.bank.authorities import (
    CrlPublisher,
    CrlUnpublished,
    RevocationReason,
    new_transaction_id,
)
from ushield.bank.revocation import RevocationIndex
from ushield.errors import InputInvalid
from ushield.transaction.message import write_message

HOLD = RevocationReason.CERTIFICATE_HOLD


def publisher(issuing: Issuing, **settings: timedelta) -> CrlPublisher:
    return CrlPublisher(issuing.store, issuing.key, clock=issuing.clock, **settings)


def revoke(
    issuing: Issuing,
    certificate: x509.Certificate,
    reason: RevocationReason = RevocationReason.SUPERSEDED,
) -> None:
    issuing.authority.revoke(certificate.serial_number, reason, transaction_id=new_transaction_id())


def number(crl: x509.CertificateRevocationList) -> int:
    return crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number


def listed(crl: x509.CertificateRevocationList) -> dict[int, str | None]:
    found: dict[int, str | None] = {}
    for entry in crl:
        reasons = [
            each.value.reason.value
            for each in entry.extensions
            if isinstance(each.value, x509.CRLReason)
        ]
        found[entry.serial_number] = reasons[0] if reasons else None
    return found


def test_a_crl_has_what_was_revoked_and_why(issuing: Issuing) -> None:
    crls = publisher(issuing, lifetime=timedelta(hours=6))
    assert listed(crls.make()) == {}
    certificates = {reason: issuing.certificate() for reason in RevocationReason}
    good = issuing.certificate()
    for reason, certificate in certificates.items():
        revoke(issuing, certificate, reason)
    crl = crls.make()
    assert listed(crl) == {
        certificate.serial_number: None if reason is RevocationReason.UNSPECIFIED else reason.value
        for reason, certificate in certificates.items()
    }
    assert good.serial_number not in listed(crl)
    assert (crl.last_update_utc, crl.next_update_utc) == (NOW, NOW + timedelta(hours=6))
    assert crl.is_signature_valid(issuing.key.private_key.public_key())
    issuing.authority.release(certificates[HOLD].serial_number, transaction_id=new_transaction_id())
    assert certificates[HOLD].serial_number not in listed(crls.make())


def test_a_signature_is_refused_as_soon_as_the_crl_is_there(issuing: Issuing) -> None:
    certificate = issuing.certificate()
    key = private_key(KeyAlgorithm.P256)
    signature = Signer(KeyAlgorithm.P256, key, certificate).sign(write_message(TRANSFER))
    index = RevocationIndex([issuing.key.certificate])
    verifier = Verifier(issuing.trust, revocation=index, clock=issuing.clock)
    crls = publisher(issuing)
    issuing.clock.move(minutes=1)
    index.add_crl(crls.make().public_bytes(Encoding.DER), issuing.clock())
    assert verifier.verify(signature).transaction == TRANSFER
    issuing.clock.move(minutes=1)
    revoke(issuing, certificate)
    index.add_crl(crls.make().public_bytes(Encoding.DER), issuing.clock())
    with pytest.raises(TransactionRejected) as caught:
        verifier.verify(signature)
    assert caught.value.reason is RejectionReason.CERTIFICATE_REVOKED


def test_what_was_accepted_in_the_second_of_a_revocation_and_before_it_holds(
    issuing: Issuing,
) -> None:
    certificate = issuing.certificate()
    key = private_key(KeyAlgorithm.P256)
    signature = Signer(KeyAlgorithm.P256, key, certificate).sign(write_message(TRANSFER))
    issuing.clock.move(seconds=0.7)
    accepted_at = issuing.clock()
    issuing.clock.move(seconds=0.1)
    revoke(issuing, certificate)
    issuing.clock.move(seconds=0.2)
    index = RevocationIndex([issuing.key.certificate])
    crl = publisher(issuing).make()
    index.add_crl(crl.public_bytes(Encoding.DER), issuing.clock())
    verifier = Verifier(issuing.trust, revocation=index)
    assert verifier.verify(signature, accepted_at).transaction == TRANSFER
    with pytest.raises(TransactionRejected):
        verifier.verify(signature, issuing.clock())


def test_an_entry_stays_until_a_crl_after_the_certificate_s_end(issuing: Issuing) -> None:
    certificate = issuing.certificate()
    crls = publisher(issuing)
    revoke(issuing, certificate)
    issuing.clock.move(days=729)
    for days, is_listed in ((0, True), (2, True), (1, False)):
        issuing.clock.move(days=days)
        assert (certificate.serial_number in listed(crls.make())) is is_listed


def test_numbers_grow_whoever_publishes(url: str, tmp_path: Path) -> None:
    path = tmp_path / "bank.crl"
    banks = [Issuing.open(url) for _ in range(4)]
    with ThreadPoolExecutor(4) as threads:
        made = list(threads.map(lambda bank: number(publisher(bank).make()), [*banks, *banks]))
        assert sorted(made) == list(range(1, 9))
        list(threads.map(lambda bank: publisher(bank).publish(path), [*banks, *banks]))
    for bank in banks:
        bank.store.close()
    assert number(x509.load_der_x509_crl(path.read_bytes())) == 16
    assert [each for each in os.listdir(tmp_path) if "crl" in each] == [path.name]


def test_a_newer_crl_in_the_file_is_left_there(issuing: Issuing, tmp_path: Path) -> None:
    path = tmp_path / "published.crl"
    crls = publisher(issuing)
    first = crls.make()
    newer = crls.publish(path, pem=True)
    assert x509.load_pem_x509_crl(path.read_bytes()) == newer
    # As if this process had been held up between making and writing.
    crls.make = lambda: first  # type: ignore[method-assign]
    assert crls.publish(path) == newer
    assert x509.load_pem_x509_crl(path.read_bytes()) == newer
    path.write_bytes(b"damaged")
    assert crls.publish(path) == first
    assert x509.load_der_x509_crl(path.read_bytes()) == first


def test_a_file_that_cannot_be_written_is_told(issuing: Issuing, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    for path in (tmp_path / "none" / "bank.crl", folder):
        with pytest.raises(CrlUnpublished):
            publisher(issuing).publish(path)
    assert os.listdir(folder) == []


def test_a_crl_of_no_sensible_life_is_refused(issuing: Issuing) -> None:
    for lifetime in (timedelta(seconds=1), timedelta(days=365)):
        with pytest.raises(InputInvalid):
            publisher(issuing, lifetime=lifetime)


@needs_openssl
def test_openssl_takes_the_crl_and_refuses_what_is_on_it(sqlite_url: str, tmp_path: Path) -> None:
    issuing = Issuing.open(sqlite_url)
    good, bad = issuing.certificate(), issuing.certificate()
    revoke(issuing, bad, RevocationReason.KEY_COMPROMISE)
    crl = tmp_path / "published.crl"
    publisher(issuing).publish(crl, pem=True)
    issuing.store.close()
    ca = tmp_path / "ca.pem"
    ca.write_bytes(issuing.key.pem)

    def openssl(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False)

    shown = openssl("crl", "-in", str(crl), "-noout", "-text", "-CAfile", str(ca))
    assert "verify OK" in shown.stderr
    assert "Key Compromise" in shown.stdout
    for certificate, says in ((good, "OK"), (bad, "certificate revoked")):
        path = tmp_path / "certificate.pem"
        path.write_bytes(certificate.public_bytes(Encoding.PEM))
        checked = openssl(
            *("verify", "-crl_check", "-attime", str(int(NOW.timestamp()))),
            *("-CAfile", str(ca), "-CRLfile", str(crl), str(path)),
        )
        assert says in checked.stdout + checked.stderr


def test_a_repeated_order_after_a_revocation_gets_the_certificate_as_it_was(
    issuing: Issuing,
) -> None:
    order, asked = new_transaction_id(), request()
    issued = issuing.authority.issue(asked, profile(), transaction_id=order)
    revoke(issuing, x509.load_der_x509_certificate(issued))
    assert issuing.authority.issue(asked, profile(), transaction_id=order) == issued
