"""The embedded CA issues once for an order, whatever happens in between, and only what it may."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from sqlalchemy import Engine, select

from tests.bank.authorities.issuing import AUTHORITY_KEY, Issuing, profile, request
from tests.bank.banking import Bench
from tests.pki import NOW, SIGNING, name, private_key
from ushield.algorithms import KeyAlgorithm
from ushield.bank import CertificateUnknown, DuplicateEntry
from ushield.bank.authorities import (
    AuthorityKey,
    CaRefused,
    CertificateProfile,
    PublicationPoints,
    RevocationReason,
    new_transaction_id,
)
from ushield.bank.authorities.certificates import authority_name
from ushield.bank.store.tables import audit_entry, ca_certificate
from ushield.errors import InputInvalid

POINTS = PublicationPoints(
    crl=("http://ca.bank.example/bank.crl",), ocsp=("http://ocsp.bank.example/",)
)


def serials(engine: Engine) -> list[str]:
    with engine.connect() as connection:
        return list(connection.scalars(select(ca_certificate.c.serial_number)))


def events(engine: Engine) -> list[tuple[str, str | None]]:
    with engine.connect() as connection:
        found = connection.execute(
            select(audit_entry.c.event, audit_entry.c.reason).order_by(audit_entry.c.id)
        )
        return [(row.event, row.reason) for row in found]


def test_a_certificate_is_for_the_key_asked_for_and_the_subject_the_bank_chose(url: str) -> None:
    issuing = Issuing.open(url, points=POINTS)
    certificate = issuing.certificate("李四")
    issuing.store.close()
    assert certificate.public_key() == private_key(KeyAlgorithm.P256).public_key()
    assert certificate.subject == name("李四")
    assert certificate.not_valid_before_utc == NOW - timedelta(hours=1)
    assert certificate.not_valid_after_utc == NOW + timedelta(days=730)
    extensions = certificate.extensions
    usage = extensions.get_extension_for_class(x509.KeyUsage)
    assert usage == x509.Extension(x509.KeyUsage.oid, True, SIGNING)
    assert not extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    (point,) = extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    assert [each.value for each in point.full_name or ()] == list(POINTS.crl)
    (who,) = extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
    assert who.access_location.value == POINTS.ocsp[0]
    assert issuing.trust.check(certificate, NOW)[-1] == issuing.key.certificate


def test_serial_numbers_are_of_128_random_bits(issuing: Issuing) -> None:
    numbers = {issuing.certificate().serial_number for _ in range(8)}
    assert len(numbers) == 8
    assert all(1 <= number < 1 << 128 for number in numbers)
    assert max(numbers).bit_length() > 120


def test_an_order_repeated_gets_the_same_certificate(issuing: Issuing, engine: Engine) -> None:
    order, asked = new_transaction_id(), request()
    first = issuing.authority.issue(asked, profile(), transaction_id=order)
    issuing.clock.move(days=3)
    again = Issuing.open(issuing.url, issuing.clock)
    assert again.authority.issue(asked, profile(), transaction_id=order) == first
    assert events(engine) == [("ca-issued", None)]
    # Another order is another certificate, even if all else is the same.
    another = again.authority.issue(asked, profile(), transaction_id=new_transaction_id())
    again.store.close()
    assert another != first
    assert len(serials(engine)) == 2


def test_a_certificate_is_erased_with_its_customer(url: str) -> None:
    with Bench.open(url) as bench:
        issuing = Issuing.open(url, bench.clock)
        order, asked = new_transaction_id(), request()
        issued = issuing.authority.issue(asked, profile(), transaction_id=order)
        number = x509.load_der_x509_certificate(issued).serial_number
        bench.bank.add_customer("alice")
        bench.bank.enrol("alice", issued, token="US-1")
        bench.bank.erase("alice")
        assert issuing.authority.certificate(number).der == b""
        issuing.authority.revoke(
            number, RevocationReason.SUPERSEDED, transaction_id=new_transaction_id()
        )
        with pytest.raises(CertificateUnknown):
            issuing.authority.issue(asked, profile(), transaction_id=order)
        issuing.store.close()


def test_a_transaction_id_is_for_one_order(issuing: Issuing, engine: Engine) -> None:
    order, asked = new_transaction_id(), request()
    issued = issuing.authority.issue(asked, profile(), transaction_id=order)
    assert issuing.authority.issue(asked, profile(), transaction_id=order) == issued
    longer = CertificateProfile(subject=name("李四"), validity=timedelta(days=731))
    for other, terms in ((request(), profile()), (asked, profile("张三")), (asked, longer)):
        with pytest.raises(DuplicateEntry):
            issuing.authority.issue(other, terms, transaction_id=order)
    with pytest.raises(InputInvalid):
        issuing.authority.issue(asked, profile(), transaction_id=b"short")
    assert len(serials(engine)) == 1


def test_processes_that_repeat_one_order_at_once_get_one_certificate(
    url: str, engine: Engine
) -> None:
    asked, order = request(), new_transaction_id()
    banks = [Issuing.open(url) for _ in range(4)]
    with ThreadPoolExecutor(4) as threads:
        issued = set(
            threads.map(
                lambda bank: bank.authority.issue(asked, profile(), transaction_id=order), banks
            )
        )
    for bank in banks:
        bank.store.close()
    assert len(issued) == len(serials(engine)) == 1
    assert events(engine) == [("ca-issued", None)]


KILLED = """
import os, signal, sys
from sqlalchemy import event
from tests.bank.authorities.issuing import Issuing, profile
bank = Issuing.open(sys.argv[1])
def kill(*_):
    os.kill(os.getpid(), signal.SIGKILL)
if sys.argv[4] == "before":
    event.listen(bank.store.engine, "commit", kill)
bank.authority.issue(
    bytes.fromhex(sys.argv[2]), profile(), transaction_id=bytes.fromhex(sys.argv[3])
)
kill()
"""


@pytest.mark.parametrize(("moment", "left"), [("before", 0), ("after", 1)])
def test_an_order_survives_a_killed_process(sqlite_url: str, moment: str, left: int) -> None:
    asked, order = request(), new_transaction_id()
    arguments = [sqlite_url, asked.hex(), order.hex(), moment]
    code = subprocess.run(
        [sys.executable, "-c", KILLED, *arguments], cwd=os.getcwd(), check=False
    ).returncode
    assert code == -signal.SIGKILL
    issuing = Issuing.open(sqlite_url)
    assert len(serials(issuing.store.engine)) == left
    certificate = issuing.authority.issue(asked, profile(), transaction_id=order)
    assert len(serials(issuing.store.engine)) == 1
    assert issuing.authority.issue(asked, profile(), transaction_id=order) == certificate
    issuing.store.close()


def test_requests_that_nobody_should_sign_are_refused(issuing: Issuing, engine: Engine) -> None:
    good = request()
    builder = x509.CertificateSigningRequestBuilder().subject_name(name("weak"))
    weak = builder.sign(rsa.generate_private_key(65537, 1024), hashes.SHA256())
    unseen = CertificateProfile(
        subject=x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "李\u200b四")])
    )
    for refused, terms in (
        (b"", profile()),
        (good[:-3], profile()),
        (good[:-1] + bytes([good[-1] ^ 1]), profile()),
        (b"\x30" * (1 << 15), profile()),
        (weak.public_bytes(Encoding.DER), profile()),
        (good, unseen),
    ):
        with pytest.raises(InputInvalid):
            issuing.authority.issue(refused, terms, transaction_id=new_transaction_id())
    assert serials(engine) == []
    assert events(engine) == []


def test_no_certificate_outlives_the_ca(issuing: Issuing) -> None:
    issuing.clock.move(days=3650 - 729)
    with pytest.raises(CaRefused) as caught:
        issuing.certificate()
    assert "outlive" in str(caught.value)


def test_a_certificate_is_renewed_for_its_holder(issuing: Issuing) -> None:
    old = issuing.certificate()
    order, asked = new_transaction_id(), request()
    encoded = old.public_bytes(Encoding.DER)
    for _ in range(2):
        new = issuing.authority.renew(asked, profile(), certificate=encoded, transaction_id=order)
    assert x509.load_der_x509_certificate(new).serial_number != old.serial_number
    assert issuing.authority.certificate(old.serial_number).revocation is None
    with pytest.raises(DuplicateEntry):
        issuing.authority.issue(asked, profile(), transaction_id=order)


def test_what_is_not_this_ca_s_or_does_not_hold_is_not_renewed(issuing: Issuing) -> None:
    def renew(certificate: bytes) -> None:
        issuing.authority.renew(
            request(), profile(), certificate=certificate, transaction_id=new_transaction_id()
        )

    old = issuing.certificate()
    encoded = old.public_bytes(Encoding.DER)
    other = Issuing.open(
        issuing.url, issuing.clock, AuthorityKey.create(authority_name("Other"), NOW)
    )
    with pytest.raises(CertificateUnknown):
        renew(other.certificate().public_bytes(Encoding.DER))
    other.store.close()
    with pytest.raises(CertificateUnknown):
        renew(b"none")
    issuing.clock.move(days=731)
    with pytest.raises(CaRefused) as caught:
        renew(encoded)
    assert caught.value.failures == ("badTime",)
    issuing.clock.move(days=-731)
    issuing.authority.revoke(
        old.serial_number, RevocationReason.CERTIFICATE_HOLD, transaction_id=new_transaction_id()
    )
    with pytest.raises(CaRefused) as caught:
        renew(encoded)
    assert caught.value.failures == ("certRevoked",)


def test_a_revocation_is_for_good_and_a_hold_is_not(issuing: Issuing, engine: Engine) -> None:
    number = issuing.certificate().serial_number

    def revoke(reason: RevocationReason) -> tuple[str, float] | None:
        issuing.authority.revoke(number, reason, transaction_id=new_transaction_id())
        return standing()

    def standing() -> tuple[str, float] | None:
        found = issuing.authority.certificate(number).revocation
        if found is None:
            return None
        return found.reason.value, (found.at - NOW).total_seconds()

    issuing.clock.move(seconds=1)
    assert revoke(RevocationReason.CERTIFICATE_HOLD) == ("certificateHold", 1)
    issuing.authority.release(number, transaction_id=new_transaction_id())
    issuing.authority.release(number, transaction_id=new_transaction_id())
    assert standing() is None
    issuing.clock.move(seconds=1)
    assert revoke(RevocationReason.CERTIFICATE_HOLD) == ("certificateHold", 2)
    issuing.clock.move(seconds=1)
    # Since it was held, nothing was signed with it that counts.
    assert revoke(RevocationReason.KEY_COMPROMISE) == ("keyCompromise", 2)
    for reason in RevocationReason:
        assert revoke(reason) == ("keyCompromise", 2)
    with pytest.raises(CaRefused) as caught:
        issuing.authority.release(number, transaction_id=new_transaction_id())
    assert caught.value.failures == ("certRevoked",)
    assert events(engine) == [
        ("ca-issued", None),
        ("ca-revoked", "certificateHold"),
        ("ca-released", None),
        ("ca-revoked", "certificateHold"),
        ("ca-revoked", "keyCompromise"),
    ]


def test_a_certificate_that_was_never_issued_is_not_revoked(issuing: Issuing) -> None:
    with pytest.raises(CertificateUnknown):
        issuing.authority.revoke(
            7, RevocationReason.SUPERSEDED, transaction_id=new_transaction_id()
        )
    with pytest.raises(CertificateUnknown):
        issuing.authority.release(7, transaction_id=new_transaction_id())


def test_a_profile_has_a_subject_and_a_sensible_validity() -> None:
    with pytest.raises(InputInvalid):
        CertificateProfile(subject=x509.Name([]))
    for validity in (timedelta(0), timedelta(days=36500)):
        with pytest.raises(InputInvalid):
            CertificateProfile(subject=name("李四"), validity=validity)


def test_the_chain_begins_with_the_ca_s_own_certificate(issuing: Issuing) -> None:
    assert issuing.authority.chain == (AUTHORITY_KEY.certificate.public_bytes(Encoding.DER),)
