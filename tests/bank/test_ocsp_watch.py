"""A certificate is asked about when it signs, and again before the answer ends."""

from __future__ import annotations

import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509 import ocsp

from tests.bank.banking import Bench
from tests.bank.lifecycle.desk import Desk
from tests.bank.revocations import DAY, HOUR, ocsp_response
from tests.bank.service.backings import backing_of
from tests.bank.service.served import Served
from tests.bank.test_configuration import customer, folder, issue, opened, reason
from tests.openssl import needs_openssl
from tests.pki import NOW, Signer, authority, authority_key, pem
from tests.transaction.strategies import TRANSFER
from ushield.bank import RejectionReason, TransactionRejected, TrustStore, Verifier
from ushield.bank.revocation import OcspWatch, RevocationIndex, RevocationRefresher
from ushield.bank.verifier import UpToDate
from ushield.errors import InputInvalid
from ushield.transaction import write_message

__all__ = ["folder"]

ROOT = authority()
TRUST = TrustStore.load(pem(ROOT))
SIGNER = Signer.issued()
GOOD = SIGNER.sign(write_message(TRANSFER))


class Clock:
    def __init__(self, now: datetime = NOW) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now


class Asking:
    """A verifier with a watch, and all that failed."""

    def __init__(self, *responders: str, clock: Clock | None = None, timeout: float = 5.0) -> None:
        self.clock = clock or Clock()
        self.index = RevocationIndex((ROOT,))
        self.told: list[str] = []
        self.watch = OcspWatch(
            self.index,
            (TRUST,),
            responders,
            clock=self.clock,
            timeout=timeout,
            report=lambda source, error: self.told.append(str(error)),
        )
        refresher = RevocationRefresher(self.index, (), clock=self.clock, watch=self.watch)
        self.refresher = refresher
        self.verifier = UpToDate(
            Verifier(TRUST, revocation=self.index, clock=self.clock), refresher, self.watch
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.refresher.close()

    def outcome(self, signature: bytes = GOOD) -> RejectionReason | None:
        try:
            self.verifier.verify(signature, self.clock())
        except TransactionRejected as rejected:
            return rejected.reason
        return None


Answer = Callable[[bytes], bytes | None]


@contextmanager
def responding(answer: Answer) -> Iterator[tuple[str, list[bytes]]]:
    """A responder on a real socket: its address, and the requests that came."""
    asked: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            request = self.rfile.read(int(self.headers["Content-Length"]))
            asked.append(request)
            data = answer(request)
            if data is None:
                self.send_error(503)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def nonce_of(request: bytes) -> bytes:
    extensions = ocsp.load_der_ocsp_request(request).extensions
    return extensions.get_extension_for_class(x509.OCSPNonce).value.nonce


def says(clock: Clock, **changes: object) -> Answer:
    """An answer of now, about the signer, for an hour."""

    def answer(request: bytes) -> bytes:
        settings = {
            "this_update": clock(),
            "next_update": clock() + HOUR,
            "nonce": nonce_of(request),
        }
        return ocsp_response(SIGNER.certificate, **settings | changes)  # type: ignore[arg-type]

    return answer


def test_it_asks_with_the_first_signature_and_not_with_the_next() -> None:
    clock = Clock()
    with responding(says(clock)) as (url, asked), Asking(url, clock=clock) as asking:
        assert asking.watch.due is None
        assert [asking.outcome() for _ in range(3)] == [None] * 3
        (request,) = asked
        assert ocsp.load_der_ocsp_request(request).serial_number == SIGNER.certificate.serial_number
        assert asking.watch.due == clock() + HOUR / 2
        assert asking.told == []


def test_it_asks_again_before_the_answer_ends() -> None:
    clock = Clock()
    changes: dict[str, object] = {}

    def answer(request: bytes) -> bytes | None:
        return says(clock, **changes)(request)

    with (
        responding(answer) as (url, asked),
        Asking(url, clock=clock) as asking,
    ):
        assert asking.outcome() is None
        assert asking.refresher.refresh() == 0
        clock.now += HOUR / 2
        assert asking.refresher.refresh() == 1
        clock.now += HOUR * 3 / 4
        assert asking.outcome() is None
        changes |= {"status": ocsp.OCSPCertStatus.REVOKED, "since": clock()}
        assert asking.refresher.refresh() == 1
        assert asking.outcome() is RejectionReason.CERTIFICATE_REVOKED
        assert len(asked) == 3


def test_a_certificate_that_signs_no_more_is_asked_about_no_more() -> None:
    clock = Clock()
    with responding(says(clock)) as (url, asked), Asking(url, clock=clock) as asking:
        assert asking.outcome() is None
        clock.now += DAY + timedelta(seconds=1)
        assert (asking.refresher.refresh(), asking.watch.due, len(asked)) == (0, None, 1)
        assert asking.outcome() is None


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"nonce": None}, "no nonce"),
        ({"nonce": b"another"}, "nonce is not ours"),
        ({"next_update": None}, "when the next one comes"),
        ({"status": ocsp.OCSPCertStatus.UNKNOWN}, "does not know the certificate"),
        (
            {"responder": authority("Somebody"), "key": authority_key("Somebody")},
            "signed neither by the issuer",
        ),
    ],
    ids=["none of ours", "a replay", "no end", "unknown", "another's"],
)
def test_an_answer_that_cannot_be_believed_leaves_the_signature_refused(
    changes: dict[str, object], problem: str
) -> None:
    clock = Clock()
    with responding(says(clock, **changes)) as (url, asked), Asking(url, clock=clock) as asking:
        assert asking.outcome() is RejectionReason.REVOCATION_UNKNOWN
        assert problem in asking.told[0]
        # Signatures cannot be used to make it ask all the time.
        assert asking.outcome() is RejectionReason.REVOCATION_UNKNOWN
        assert len(asked) == 1
        clock.now += timedelta(seconds=31)
        assert asking.outcome() is RejectionReason.REVOCATION_UNKNOWN
        assert len(asked) == 2


@pytest.mark.parametrize(
    "answer",
    [lambda _: None, lambda _: b"", lambda _: b"\x30\x03\x0a\x01\x06", lambda _: b"x" * 70000],
)
def test_rubbish_is_told_and_the_next_responder_is_asked(answer: Answer) -> None:
    clock = Clock()
    with (
        responding(answer) as (first, _),
        responding(says(clock)) as (second, _),
        Asking(first, second, clock=clock) as asking,
    ):
        assert asking.outcome() is None
        assert len(asking.told) == 1


def test_a_responder_that_hangs_or_is_gone_is_waited_for_no_longer_than_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        with Asking(url, timeout=0.3) as asking:
            begun = time.monotonic()
            assert asking.outcome() is RejectionReason.REVOCATION_UNKNOWN
            assert time.monotonic() - begun < 5
    with Asking(url, timeout=0.3) as asking:
        assert asking.outcome() is RejectionReason.REVOCATION_UNKNOWN
        assert asking.told


def test_a_responder_that_hangs_holds_up_three_payments_and_not_all_of_them() -> None:
    others = [Signer.issued(subject=f"c{number}") for number in range(8)]
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        with Asking(url, timeout=0.2) as asking:
            for each in others:
                signature = each.sign(write_message(TRANSFER))
                assert asking.outcome(signature) is RejectionReason.REVOCATION_UNKNOWN
            assert len(asking.told) == 3
            asking.clock.now += timedelta(seconds=31)
            for each in others:
                asking.watch.ask(each.der)
            # One was tried, to see whether it is back.
            assert len(asking.told) == 4


def test_after_a_rest_everybody_is_asked_about_again() -> None:
    clock = Clock()
    down = True

    def answer(request: bytes) -> bytes | None:
        return None if down else says(clock)(request)

    others = [Signer.issued(subject=f"c{number}") for number in range(3)]
    with responding(answer) as (url, _), Asking(url, clock=clock) as asking:
        for each in others:
            asking.watch.ask(each.der)
        assert asking.outcome() is RejectionReason.REVOCATION_UNKNOWN
        down = False
        assert asking.outcome() is RejectionReason.REVOCATION_UNKNOWN
        clock.now += timedelta(seconds=31)
        assert asking.outcome() is None


def test_certificates_that_nobody_knows_give_the_responder_no_rest() -> None:
    clock = Clock()

    def answer(request: bytes) -> bytes | None:
        known = (
            ocsp.load_der_ocsp_request(request).serial_number == SIGNER.certificate.serial_number
        )
        status = ocsp.OCSPCertStatus.GOOD if known else ocsp.OCSPCertStatus.UNKNOWN
        return says(clock, status=status)(request)

    strangers = [Signer.issued(subject=f"c{number}") for number in range(5)]
    with responding(answer) as (url, _), Asking(url, clock=clock) as asking:
        for each in strangers:
            asking.watch.ask(each.der)
        assert len(asking.told) == 5
        assert asking.outcome() is None


def test_what_was_known_stays_in_force_until_it_ends_when_the_responder_is_gone() -> None:
    clock = Clock()
    with responding(says(clock)) as (url, _):
        asking = Asking(url, clock=clock)
        assert asking.outcome() is None
    with asking:
        clock.now += HOUR / 2
        assert asking.refresher.refresh() == 0
        assert asking.outcome() is None
        clock.now += HOUR
        assert asking.outcome() is RejectionReason.REVOCATION_STALE


def test_the_thread_asks_again_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(RevocationRefresher, "pause", 0.01)
    with responding(says(clock)) as (url, asked), Asking(url, clock=clock) as asking:
        assert asking.outcome() is None
        clock.now += HOUR / 2
        end = time.monotonic() + 20
        while len(asked) < 2:
            assert time.monotonic() < end
            time.sleep(0.01)


def test_those_who_ask_at_once_share_one_question() -> None:
    clock = Clock()
    answer = says(clock)

    def slowly(request: bytes) -> bytes | None:
        time.sleep(0.2)
        return answer(request)

    with responding(slowly) as (url, asked), Asking(url, clock=clock) as asking:
        found: list[RejectionReason | None] = []
        threads = [
            threading.Thread(target=lambda: found.append(asking.outcome())) for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (found, len(asked)) == ([None] * 8, 1)


def test_the_least_wanted_is_forgotten_where_there_is_no_room() -> None:
    clock = Clock()
    with responding(says(clock)) as (url, _), Asking(url, clock=clock) as asking:
        asking.watch._most = 2
        others = [Signer.issued(subject=f"c{number}") for number in range(3)]
        for each in (SIGNER, *others):
            asking.watch.ask(each.der)
        kept = {each.certificate.serial_number for each in asking.watch._watched.values()}
        assert kept == {each.certificate.serial_number for each in others[1:]}


def test_a_certificate_of_no_trusted_ca_is_not_asked_about() -> None:
    with responding(lambda _: None) as (url, asked), Asking(url) as asking:
        stranger = Signer.issued(issuer="Another CA")
        assert asking.outcome(stranger.sign(write_message(TRANSFER))) is not None
        asking.watch.ask(b"no certificate")
        asking.watch.ask(stranger.der)
        assert asked == []


def test_only_http_addresses_are_taken() -> None:
    with pytest.raises(InputInvalid):
        Asking("file:///etc/passwd")


def test_the_bank_s_own_responder_answers_over_http(bench: Bench, tmp_path: Path) -> None:
    desk = Desk.at(bench)
    enrolled = desk.enrol()
    assert enrolled.certificate is not None
    certificate = enrolled.certificate
    with Served(bench, tmp_path, backing=backing_of(bench)) as served:
        index = RevocationIndex((ROOT,))
        watch = OcspWatch(index, (TRUST,), [f"{served.url}/pki/ocsp"], clock=bench.clock)
        path = TRUST.check(x509.load_der_x509_certificate(certificate), bench.clock())
        watch.ask(certificate)
        index.view.clear(path, bench.clock())
        bench.bank.report_loss("US-alice")
        bench.bank.revocations(desk.authority).run()
        due = watch.due
        assert due is not None
        bench.clock.at = due
        assert watch.refresh() == 1
        with pytest.raises(TransactionRejected) as caught:
            index.view.clear(path, bench.clock())
        assert caught.value.reason is RejectionReason.CERTIFICATE_REVOKED


class OpensslResponder:
    """`openssl ocsp`, with the status of these signers."""

    def __init__(self, folder: Path, good: Sequence[Signer], revoked: Sequence[Signer]) -> None:
        folder.mkdir()
        (folder / "ca.pem").write_bytes(pem(ROOT))
        (folder / "key.pem").write_bytes(
            authority_key("Test Bank CA").private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        with (folder / "index.txt").open("w") as index:
            for signers, state, since in ((good, "V", ""), (revoked, "R", "260101000000Z")):
                for each in signers:
                    serial = f"{each.certificate.serial_number:040X}"
                    index.write(f"{state}\t300101000000Z\t{since}\t{serial}\tunknown\t/CN=x\n")
        command = (
            "openssl ocsp -port 0 -index index.txt -CA ca.pem -rsigner ca.pem -rkey key.pem"
            " -rmd sha256 -nmin 60"
        )
        self._process = subprocess.Popen(
            command.split(),
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._process.stdout is not None
        # ACCEPT [::]:40331 PID=15183
        self.port = int(self._process.stdout.readline().split()[1].rpartition(":")[2])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._process.kill()
        self._process.communicate()


@needs_openssl
def test_a_bank_asks_the_responder_that_its_folder_names(
    folder: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with opened(folder, "") as bank:
        alice = customer(bank)
    good = OpensslResponder(folder / "good", [alice.signer], [])
    with good, opened(folder, f'[revocation]\nocsp = ["{good.url}"]\n') as bank:
        challenge = issue(bank)
        bank.accept(challenge.id, alice.sign(challenge.message))
    revoked = OpensslResponder(folder / "revoked", [], [alice.signer])
    with revoked, opened(folder, f'[revocation]\nocsp = ["{revoked.url}"]\n') as bank:
        challenge = issue(bank)
        signature = alice.sign(challenge.message)
        assert reason(bank, challenge, signature) is RejectionReason.CERTIFICATE_REVOKED
    unknown = OpensslResponder(folder / "unknown", [SIGNER], [])
    with unknown, opened(folder, f'[revocation]\nocsp = ["{unknown.url}"]\n') as bank:
        signature = alice.sign(challenge.message)
        assert reason(bank, challenge, signature) is RejectionReason.REVOCATION_UNKNOWN
        assert "does not know the certificate" in caplog.text
        assert bank.challenge(challenge.id).state == "issued"
