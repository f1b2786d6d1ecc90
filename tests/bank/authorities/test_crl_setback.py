"""A CRL goes on being published after the database was set back, or its file taken by another."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from sqlalchemy import update

from tests.bank.authorities.issuing import Issuing
from tests.pki import NOW
from ushield.bank.authorities import (
    AuthorityKey,
    CrlPublisher,
    RevocationReason,
    new_transaction_id,
)
from ushield.bank.store.tables import ca_crl


def publisher(issuing: Issuing) -> CrlPublisher:
    return CrlPublisher(issuing.store, issuing.key, clock=issuing.clock)


def number(crl: x509.CertificateRevocationList) -> int:
    return crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number


def test_a_database_set_back_to_a_backup_hides_no_revocation(
    issuing: Issuing, tmp_path: Path
) -> None:
    path = tmp_path / "bank.crl"
    for _ in range(5):
        publisher(issuing).publish(path)
    issuing.store.write(lambda connection: connection.execute(update(ca_crl).values(number=2)))
    revoked = issuing.certificate()
    issuing.authority.revoke(
        revoked.serial_number,
        RevocationReason.KEY_COMPROMISE,
        transaction_id=new_transaction_id(),
    )
    published = publisher(issuing).publish(path)
    assert published.get_revoked_certificate_by_serial_number(revoked.serial_number)
    assert x509.load_der_x509_crl(path.read_bytes()) == published
    # No number that was given out before the backup came back is given to another list.
    assert number(published) == 6
    assert number(publisher(issuing).publish(path)) == 7


def test_a_list_that_is_not_the_cas_keeps_no_place(issuing: Issuing, tmp_path: Path) -> None:
    path = tmp_path / "bank.crl"
    of_another_key = AuthorityKey.create(issuing.key.certificate.subject, NOW)
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuing.key.certificate.subject)
        .last_update(NOW)
        .next_update(NOW + timedelta(days=3650))
        .add_extension(x509.CRLNumber(1 << 150), critical=False)
    )
    forged = builder.sign(of_another_key.private_key, SHA256())
    path.write_bytes(forged.public_bytes(Encoding.DER))
    published = publisher(issuing).publish(path)
    public = issuing.key.private_key.public_key()
    assert published.is_signature_valid(public)
    assert x509.load_der_x509_crl(path.read_bytes()) == published
