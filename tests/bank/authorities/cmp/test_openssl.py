"""The CMP client against OpenSSL's own server.

That one answers every request by the one certificate it was given, whatever was asked for; takes
any transactionID and none twice; and revokes that certificate's number only.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from tests.bank.authorities.cmp.serving import (
    CA,
    MAC,
    SECRET,
    client,
    issued,
    needs_openssl_cmp,
    openssl_server,
)
from tests.bank.authorities.issuing import profile, request
from tests.pki import NOW, Signer, private_key
from ushield.algorithms import KeyAlgorithm
from ushield.bank.authorities import (
    CaAnswerInvalid,
    CaPending,
    CaRefused,
    CertificateAuthority,
    RevocationReason,
    new_transaction_id,
)
from ushield.bank.authorities.cmp.protection import MacProtection, SignatureProtection
from ushield.bank.store.store import Store
from ushield.errors import AuthorityError

pytestmark = needs_openssl_cmp
WITH_SECRET = ("-srv_secret", f"pass:{SECRET.decode()}")
ATTIME = ("-attime", str(int(NOW.timestamp())))


def order(authority: CertificateAuthority, subject: str = "whoever") -> x509.Certificate:
    der = authority.issue(request(subject=subject), profile(), transaction_id=new_transaction_id())
    return x509.load_der_x509_certificate(der)


def test_certificates_are_issued_renewed_and_revoked_by_a_shared_secret(
    store: Store, tmp_path: Path
) -> None:
    certificate = issued()
    with openssl_server(tmp_path, *WITH_SECRET, certificate=certificate) as url:
        authority = client(store, url)
        # As a template (cr), and as it came from the token (p10cr).
        assert order(authority) == certificate
        assert order(authority, "李四") == certificate
        old = certificate.public_bytes(Encoding.DER)
        assert authority.renew(
            request(), profile(), certificate=old, transaction_id=new_transaction_id()
        )
        number = certificate.serial_number
        for reason in RevocationReason:
            authority.revoke(number, reason, transaction_id=new_transaction_id())
        authority.release(number, transaction_id=new_transaction_id())
        with pytest.raises(CaRefused) as caught:
            authority.revoke(7, RevocationReason.SUPERSEDED, transaction_id=new_transaction_id())
    assert caught.value.failures == ("badRequest",)
    assert "wrong certificate" in caught.value.text


@pytest.mark.parametrize("algorithm", [KeyAlgorithm.P256, KeyAlgorithm.RSA_2048])
def test_certificates_are_issued_by_the_key_of_a_registration_authority(
    sqlite_store: Store, tmp_path: Path, algorithm: KeyAlgorithm
) -> None:
    key = private_key(algorithm, "RA")
    (tmp_path / "key.pem").write_bytes(
        CA.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    protection = SignatureProtection(key, (issued(key, "RA"),), (CA.certificate,))
    options = ("-srv_cert", "ca.pem", "-srv_key", "key.pem", "-srv_trusted", "ca.pem")
    files = [str(tmp_path / each) if each.endswith(".pem") else each for each in options]
    with openssl_server(tmp_path, *files, *ATTIME, certificate=issued()) as url:
        assert order(client(sqlite_store, url, protection)) == issued_in(tmp_path)
        # Another responder than the one that is known would do as little as any customer.
        other = SignatureProtection(key, protection.chain, (Signer.issued().certificate,))
        with pytest.raises(CaAnswerInvalid) as caught:
            order(client(sqlite_store, url, other))
    assert caught.value.fault == "protection"


def issued_in(folder: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate((folder / "issued.pem").read_bytes())


def test_a_ca_that_takes_its_time_is_asked_again(sqlite_store: Store, tmp_path: Path) -> None:
    waiting = ("-poll_count", "2", "-check_after", "1")
    with openssl_server(tmp_path, *WITH_SECRET, *waiting, certificate=issued()) as url:
        assert order(client(sqlite_store, url)) == issued_in(tmp_path)


def test_a_ca_that_takes_too_long_is_asked_again_another_time(
    sqlite_store: Store, tmp_path: Path
) -> None:
    waiting = ("-poll_count", "3", "-check_after", "3600")
    asked, transaction_id = request(), new_transaction_id()
    with openssl_server(tmp_path, *WITH_SECRET, *waiting, certificate=issued()) as url:
        authority = client(sqlite_store, url)
        for _ in range(2):
            with pytest.raises(CaPending) as caught:
                authority.issue(asked, profile(), transaction_id=transaction_id)
            assert caught.value.check_after == 3600
        assert authority.issue(asked, profile(), transaction_id=transaction_id)


def refused_by(store: Store, folder: Path, *options: str) -> AuthorityError:
    with (
        openssl_server(folder, *options, certificate=issued()) as url,
        pytest.raises(AuthorityError) as caught,
    ):
        order(client(store, url))
    return caught.value


def test_a_refusal_carries_the_ca_s_reasons(sqlite_store: Store, tmp_path: Path) -> None:
    no = ("-pkistatus", "2", "-failurebits", str(1 << 9 | 1 << 19), "-statusstring", "not you")
    error = refused_by(sqlite_store, tmp_path, *WITH_SECRET, *no)
    assert isinstance(error, CaRefused)
    assert error.failures == ("badCertTemplate", "badPOP")
    assert error.status == "rejection"
    assert "not you" in error.text


def test_an_error_message_is_a_refusal(sqlite_store: Store, tmp_path: Path) -> None:
    error = refused_by(sqlite_store, tmp_path, *WITH_SECRET, "-send_error")
    assert isinstance(error, CaRefused)
    assert error.failures == ("badRequest",)


def test_an_answer_without_protection_is_not_believed(sqlite_store: Store, tmp_path: Path) -> None:
    for how in (
        ("-send_unprotected",),
        ("-pkistatus", "2", "-send_error", "-send_unprot_err"),
    ):
        error = refused_by(sqlite_store, tmp_path, *WITH_SECRET, *how)
        assert isinstance(error, CaAnswerInvalid)
        assert error.fault == "protection"


def test_another_secret_is_found_out_on_either_side(sqlite_store: Store, tmp_path: Path) -> None:
    error = refused_by(sqlite_store, tmp_path, "-srv_secret", "pass:another-secret-it-is")
    assert isinstance(error, CaAnswerInvalid)
    assert error.fault == "protection"
    careless = ("-srv_secret", "pass:another-secret-it-is", "-accept_unprotected")
    error = refused_by(sqlite_store, tmp_path, *careless)
    assert isinstance(error, CaAnswerInvalid)
    assert error.fault == "protection"
    assert MacProtection(SECRET, "bank") == MAC
    assert SECRET.decode() not in repr(MAC)


def test_a_certificate_for_another_key_is_rejected_and_the_ca_told_so(
    sqlite_store: Store, tmp_path: Path
) -> None:
    other = issued(private_key(KeyAlgorithm.P256, "another"))
    with (
        openssl_server(tmp_path, *WITH_SECRET, certificate=other) as url,
        pytest.raises(CaAnswerInvalid) as caught,
    ):
        order(client(sqlite_store, url))
    assert caught.value.fault == "key"
