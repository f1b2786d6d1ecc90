"""New lists are fetched before the old ones end; what fails is told and tried again."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bank.revocations import DAY, HOUR, crl
from tests.bank.service.certificates import TlsAuthority
from tests.pki import NOW, Signer, authority, pem
from tests.transaction.strategies import TRANSFER
from ushield.bank import TransactionRejected, TrustStore, Verifier
from ushield.bank.revocation import (
    FileSource,
    HttpSource,
    RefreshSchedule,
    RevocationIndex,
    RevocationInvalid,
    RevocationRefresher,
    RevocationSource,
    RevocationUnavailable,
)
from ushield.errors import InputInvalid
from ushield.transaction import write_message

ROOT = authority()
SIGNER = Signer.issued()
GOOD = SIGNER.sign(write_message(TRANSFER))
MINUTE = timedelta(minutes=1)


class Clock:
    def __init__(self, now: datetime = NOW) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now


class Source:
    """Gives what a test put there, and counts how often it was asked."""

    name = "source"

    def __init__(self, data: bytes | None) -> None:
        self.data = data
        self.asked = 0

    def fetch(self) -> bytes:
        self.asked += 1
        if self.data is None:
            raise RevocationUnavailable("gone")
        return self.data


@given(st.timedeltas(timedelta(seconds=-10), timedelta(days=400)))
def test_the_next_fetch_is_between_a_minute_and_six_hours_away(left: timedelta) -> None:
    schedule = RefreshSchedule(NOW)
    schedule.succeeded(NOW, NOW + left)
    assert NOW + MINUTE <= schedule.due <= NOW + 6 * HOUR
    assert schedule.due <= NOW + max(left / 2, MINUTE)


def test_after_failures_it_is_tried_less_and_less_often_but_always_again() -> None:
    schedule = RefreshSchedule(NOW)
    pauses = []
    for _ in range(8):
        schedule.failed(NOW)
        pauses.append(schedule.due - NOW)
    assert pauses[:3] == [MINUTE / 2, MINUTE, 2 * MINUTE]
    assert pauses[-2:] == [15 * MINUTE, 15 * MINUTE]
    schedule.succeeded(NOW, NOW + DAY)
    schedule.failed(NOW)
    assert schedule.due - NOW == MINUTE / 2


def test_a_list_is_fetched_when_it_is_due_and_not_before() -> None:
    index, clock, source = RevocationIndex((ROOT,)), Clock(), Source(crl())
    refresher = RevocationRefresher(index, [source], clock=clock)
    assert refresher.refresh() == 1
    assert refresher.refresh() == 0
    clock.now += 7 * HOUR
    source.data = crl(SIGNER.certificate, this_update=clock.now)
    assert (refresher.refresh(), source.asked) == (1, 2)
    with pytest.raises(TransactionRejected):
        Verifier(TrustStore.load(pem(ROOT)), revocation=index).verify(GOOD, clock.now)


def test_what_fails_is_told_and_does_not_keep_others_from_being_fetched() -> None:
    index, clock = RevocationIndex((ROOT,)), Clock()
    broken, gone, good = Source(b"garbage"), Source(None), Source(crl())
    told: list[tuple[RevocationSource, type]] = []
    refresher = RevocationRefresher(
        index,
        [broken, gone, good],
        clock=clock,
        report=lambda source, error: told.append((source, type(error))),
    )
    assert refresher.refresh() == 1
    assert told == [(broken, RevocationInvalid), (gone, RevocationUnavailable)]
    assert 1 <= refresher.pause <= 30


def test_a_failure_is_logged_without_a_report(caplog: pytest.LogCaptureFixture) -> None:
    RevocationRefresher(RevocationIndex((ROOT,)), [Source(None)], clock=Clock()).refresh()
    assert "source: gone" in caplog.text


def test_the_thread_fetches_until_it_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    index, clock, source = RevocationIndex((ROOT,)), Clock(), Source(crl())
    monkeypatch.setattr(RevocationRefresher, "pause", 0.01)
    with RevocationRefresher(index, [source], clock=clock) as refresher:
        assert source.asked == 1
        clock.now += 7 * HOUR
        end = time.monotonic() + 20
        while source.asked < 2 and time.monotonic() < end:
            time.sleep(0.01)
    assert source.asked >= 2
    refresher.close()
    assert not [each for each in threading.enumerate() if each.name == "ushield-revocation"]


def test_a_file_is_read_and_its_absence_told(tmp_path: Path) -> None:
    path = tmp_path / "bank.crl"
    with pytest.raises(RevocationUnavailable, match="No such file"):
        FileSource(path).fetch()
    path.write_bytes(crl())
    assert FileSource(path).fetch() == path.read_bytes()


Answer = Callable[[BaseHTTPRequestHandler], None]


@contextmanager
def serving(answer: Answer, context: ssl.SSLContext | None = None) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self)

        do_POST = do_GET  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        scheme = "http" if context is None else "https"
        yield f"{scheme}://127.0.0.1:{server.server_address[1]}/bank.crl"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _body(data: bytes, status: int = 200) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    return answer


def test_a_distribution_point_is_fetched_over_http() -> None:
    with serving(_body(crl())) as url:
        index = RevocationIndex((ROOT,))
        index.add_crl(HttpSource(url).fetch(), NOW)
    assert len(index.view.lists) == 1


def test_a_distribution_point_is_fetched_over_https(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trusted, other = (TlsAuthority.make(tmp_path / name, name) for name in ("ours", "theirs"))
    files = trusted.issue("server", server=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)
    data = crl()
    with serving(_body(data), context) as url:
        monkeypatch.setenv("SSL_CERT_FILE", str(trusted.file))
        assert HttpSource(url).fetch() == data
        monkeypatch.setenv("SSL_CERT_FILE", str(other.file))
        with pytest.raises(RevocationUnavailable, match="certificate verify failed"):
            HttpSource(url).fetch()


def test_a_server_that_shakes_no_hands_is_waited_for_no_longer_than_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        begun = time.monotonic()
        with pytest.raises(RevocationUnavailable):
            HttpSource(f"https://127.0.0.1:{silent.getsockname()[1]}/", timeout=0.3).fetch()
        assert time.monotonic() - begun < 3


def test_a_request_is_posted_where_there_is_one() -> None:
    def echo(handler: BaseHTTPRequestHandler) -> None:
        sent = handler.rfile.read(int(handler.headers["Content-Length"]))
        _body(handler.headers["Content-Type"].encode() + b" " + sent)(handler)

    with serving(echo) as url:
        answered = HttpSource(url, body=b"query").fetch()
    assert answered == b"application/ocsp-request query"


def _to_a_file(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(302)
    handler.send_header("Location", "file:///etc/passwd")
    handler.end_headers()


def _dripping(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.end_headers()
    _drip(handler)


def _dripping_head(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
    _drip(handler)


def _dripping_heads(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    for _ in range(100):
        _drip(handler, b"X: y\r\n", 1)


def _drip(handler: BaseHTTPRequestHandler, piece: bytes = b"x", times: int = 100) -> None:
    for _ in range(times):
        try:
            handler.wfile.write(piece)
            handler.wfile.flush()
        except OSError:
            return
        time.sleep(0.05)


def _silent(handler: BaseHTTPRequestHandler) -> None:
    time.sleep(1.5)


def _endless(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.end_headers()
    try:
        while True:
            handler.wfile.write(bytes(1 << 16))
    except OSError:
        return


def _nonsense(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"hello\r\n\r\n")


@pytest.mark.parametrize(
    "answer",
    [
        _body(b"no", 404),
        _body(b"no", 500),
        _to_a_file,
        _dripping,
        _dripping_head,
        _dripping_heads,
        _silent,
        _endless,
        _nonsense,
    ],
)
def test_a_server_that_misbehaves_costs_bounded_time_and_memory(
    answer: Answer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ushield.bank.revocation.sources.MAX_CRL", 1 << 20)
    with serving(answer) as url:
        begun = time.monotonic()
        with pytest.raises(RevocationUnavailable, match="http"):
            HttpSource(url, timeout=0.5).fetch()
        assert time.monotonic() - begun < 3


def test_nobody_there_is_told() -> None:
    with serving(_body(b"")) as url:
        pass
    with pytest.raises(RevocationUnavailable):
        HttpSource(url, timeout=0.5).fetch()


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://a/b", "bank.crl", "http://"])
def test_other_addresses_are_not_fetched(url: str) -> None:
    with pytest.raises(InputInvalid):
        HttpSource(url)


def test_a_timeout_is_above_zero() -> None:
    with pytest.raises(InputInvalid):
        HttpSource("http://bank.example/", timeout=0)


def test_now_is_the_clock_of_this_machine() -> None:
    now = datetime.now(UTC)
    index = RevocationIndex((ROOT,))
    source = Source(crl(this_update=now - HOUR, next_update=now + DAY))
    assert RevocationRefresher(index, [source]).refresh() == 1
