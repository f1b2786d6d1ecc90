"""OCSP for the embedded CA: what the bank's own index and OpenSSL make of its answers."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.ocsp import OCSPCertStatus, OCSPResponseStatus
from hypothesis import given
from hypothesis import strategies as st

from tests.bank.authorities.issuing import AUTHORITY_KEY, Issuing
from tests.openssl import needs_openssl
from tests.pki import NOW, authority
from ushield.bank.authorities import (
    AuthorityKey,
    OcspResponder,
    ResponderKey,
    RevocationReason,
    new_transaction_id,
)
from ushield.bank.revocation import OcspQuery, OcspStatement
from ushield.errors import InputInvalid

DELEGATED = ResponderKey.create(AUTHORITY_KEY, NOW)


@pytest.fixture(params=["itself", "delegated"])
def responder(issuing: Issuing, request: pytest.FixtureRequest) -> OcspResponder:
    signer = AUTHORITY_KEY if request.param == "itself" else DELEGATED
    return OcspResponder(issuing.store, signer, clock=issuing.clock)


def failure(answer: bytes) -> OCSPResponseStatus:
    response = ocsp.load_der_ocsp_response(answer)
    assert response.response_status is not OCSPResponseStatus.SUCCESSFUL
    return response.response_status


def ask(
    number: int,
    issuer: x509.Certificate = AUTHORITY_KEY.certificate,
    *,
    algorithm: hashes.HashAlgorithm | None = None,
    extension: tuple[x509.ExtensionType, bool] | None = None,
) -> bytes:
    template = ocsp.OCSPRequestBuilder().add_certificate(
        issuer,
        issuer,
        algorithm or hashes.SHA256(),
    )
    found = template.build()
    builder = ocsp.OCSPRequestBuilder().add_certificate_by_hash(
        found.issuer_name_hash, found.issuer_key_hash, number, algorithm or hashes.SHA256()
    )
    if extension is not None:
        builder = builder.add_extension(extension[0], critical=extension[1])
    return builder.build().public_bytes(Encoding.DER)


def test_the_bank_s_own_index_believes_what_is_answered(
    issuing: Issuing, responder: OcspResponder
) -> None:
    certificate = issuing.certificate()
    issuer = AUTHORITY_KEY.certificate

    def told() -> OcspStatement:
        query = OcspQuery.about(certificate, issuer)
        answer = responder.answer(query.request)
        (statement,) = OcspStatement.read(answer, [issuer], NOW, nonce=query.nonce)
        return statement

    assert told().revoked is None
    assert told().next_update == NOW + timedelta(hours=1)
    for reason, is_hold in (
        (RevocationReason.CERTIFICATE_HOLD, True),
        (RevocationReason.UNSPECIFIED, False),
    ):
        issuing.authority.revoke(
            certificate.serial_number, reason, transaction_id=new_transaction_id()
        )
        revoked = told().revoked
        assert revoked is not None
        assert (revoked.since, revoked.is_hold) == (NOW, is_hold)


def test_a_revocation_is_told_by_the_first_whole_second_that_is_not_before_it(
    issuing: Issuing, responder: OcspResponder
) -> None:
    certificate, issuer = issuing.certificate(), AUTHORITY_KEY.certificate
    issuing.clock.move(seconds=0.8)
    reason = RevocationReason.UNSPECIFIED
    issuing.authority.revoke(certificate.serial_number, reason, transaction_id=new_transaction_id())
    answer = responder.answer(OcspQuery.about(certificate, issuer).request)
    (statement,) = OcspStatement.read(answer, [issuer], NOW)
    assert statement.revoked is not None
    assert statement.revoked.since == NOW + timedelta(seconds=1)


def test_a_certificate_that_was_never_issued_is_unknown(responder: OcspResponder) -> None:
    for algorithm in (hashes.SHA1(), hashes.SHA256()):
        response = ocsp.load_der_ocsp_response(responder.answer(ask(7, algorithm=algorithm)))
        assert response.certificate_status is OCSPCertStatus.UNKNOWN
        assert response.serial_number == 7


def test_another_ca_s_certificates_are_none_of_its_business(responder: OcspResponder) -> None:
    assert failure(responder.answer(ask(7, authority()))) is OCSPResponseStatus.UNAUTHORIZED
    md5 = ask(7).replace(
        bytes.fromhex("0609608648016503040201"), bytes.fromhex("0609608648016503040209")
    )
    assert failure(responder.answer(md5)) is OCSPResponseStatus.UNAUTHORIZED


def test_a_nonce_comes_back_unless_it_is_too_long(responder: OcspResponder) -> None:
    for length in (1, 16, 128):
        nonce = x509.OCSPNonce(bytes(length))
        response = ocsp.load_der_ocsp_response(responder.answer(ask(7, extension=(nonce, False))))
        assert response.extensions.get_extension_for_class(x509.OCSPNonce).value == nonce
    long = ask(7, extension=(x509.OCSPNonce(bytes(129)), False))
    assert failure(responder.answer(long)) is OCSPResponseStatus.MALFORMED_REQUEST


def test_what_must_be_understood_and_is_not_is_refused(responder: OcspResponder) -> None:
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3"), b"\x05\x00")
    asked = ask(7, extension=(unknown, True))
    assert failure(responder.answer(asked)) is OCSPResponseStatus.MALFORMED_REQUEST
    response = ocsp.load_der_ocsp_response(responder.answer(ask(7, extension=(unknown, False))))
    assert response.response_status is OCSPResponseStatus.SUCCESSFUL


def test_what_is_no_request_has_its_own_answer(responder: OcspResponder) -> None:
    good = ask(7)
    for bad in (b"", good[:-1], b"\x30\x00", good + b"\x00", good + bytes(1 << 13), b"GET /"):
        assert failure(responder.answer(bad)) is OCSPResponseStatus.MALFORMED_REQUEST


def test_no_bytes_make_it_raise(sqlite_template: Path) -> None:
    asked = ask(7)
    issuing = Issuing.open(f"sqlite:///{sqlite_template}")
    responder = OcspResponder(issuing.store, AUTHORITY_KEY, clock=issuing.clock)

    @given(st.integers(0, len(asked) - 1), st.integers(1, 255))
    def garbled(place: int, flip: int) -> None:
        changed = bytearray(asked)
        changed[place] ^= flip
        ocsp.load_der_ocsp_response(responder.answer(bytes(changed)))

    garbled()
    issuing.store.close()


def test_a_database_that_fails_puts_the_answer_off(issuing: Issuing) -> None:
    responder = OcspResponder(issuing.store, AUTHORITY_KEY, clock=issuing.clock)
    with issuing.store.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE ca_certificate RENAME TO elsewhere")
    try:
        assert failure(responder.answer(ask(7))) is OCSPResponseStatus.TRY_LATER
    finally:
        with issuing.store.engine.begin() as connection:
            connection.exec_driver_sql("ALTER TABLE elsewhere RENAME TO ca_certificate")


def test_a_responder_s_key_comes_back_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / "responder.pem"
    DELEGATED.save(path)
    assert path.stat().st_mode & 0o777 == 0o600
    loaded = ResponderKey.load(path, AUTHORITY_KEY.certificate)
    assert loaded.certificate == DELEGATED.certificate
    assert loaded.identity == AUTHORITY_KEY.identity
    with pytest.raises(InputInvalid):
        ResponderKey.load(path, authority())


@contextmanager
def serving(responder: OcspResponder) -> Iterator[str]:
    """The responder behind HTTP (RFC 6960, A.1); its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = self.rfile.read(int(self.headers["Content-Length"]))
            answer = responder.answer(asked)
            self.send_response(200)
            self.send_header("Content-Type", "application/ocsp-response")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


@needs_openssl
@pytest.mark.parametrize("signer", [AUTHORITY_KEY, DELEGATED], ids=["itself", "delegated"])
def test_openssl_believes_what_is_answered(
    sqlite_url: str, tmp_path: Path, signer: AuthorityKey | ResponderKey
) -> None:
    issuing = Issuing.open(sqlite_url)
    good, bad = issuing.certificate(), issuing.certificate()
    issuing.authority.revoke(
        bad.serial_number, RevocationReason.SUPERSEDED, transaction_id=new_transaction_id()
    )
    ca = tmp_path / "ca.pem"
    ca.write_bytes(AUTHORITY_KEY.pem)
    path = tmp_path / "certificate.pem"
    with serving(OcspResponder(issuing.store, signer, clock=issuing.clock)) as url:
        for certificate, says in ((good, "good"), (bad, "revoked")):
            path.write_bytes(certificate.public_bytes(Encoding.PEM))
            told = subprocess.run(
                [
                    *("openssl", "ocsp", "-issuer", str(ca), "-cert", str(path), "-url", url),
                    # The answer is from the tests' own time.
                    *("-CAfile", str(ca), "-attime", str(int(NOW.timestamp()))),
                    *("-validity_period", "999999999", "-timeout", "10"),
                ],
                capture_output=True,
                text=True,
                check=False,
            )
            assert "Response verify OK" in told.stderr
            assert "Nonce" not in told.stderr
            assert f": {says}" in told.stdout
    issuing.store.close()


def test_a_number_below_zero_is_no_certificate_s(responder: OcspResponder) -> None:
    good = ask(7)
    number = good.rindex(b"\x02\x01\x07") + 2
    below = good[:number] + b"\xf9" + good[number + 1 :]
    assert failure(responder.answer(below)) is OCSPResponseStatus.MALFORMED_REQUEST
