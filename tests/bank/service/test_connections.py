"""Connections that nobody gets on with, and requests with two meanings."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from tests.bank.banking import Bench
from tests.bank.service.served import TOKENS, Served
from ushield.bank.service import Role, connection

HEAD = b"Host: localhost\r\n"
TOKEN = f"Authorization: Bearer {TOKENS[Role.PAYMENTS]}\r\n".encode()


@pytest.fixture
def hasty(sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """A service that waits for a short time only."""
    monkeypatch.setattr(connection, "HEAD_SECONDS", 0.3)
    with Bench.open(sqlite_url) as bench, Served(bench, tmp_path) as served:
        yield served


def answers(served: Served, data: bytes) -> bytes:
    """All that comes back until the service closes the connection."""
    with closing(served.connect()) as sent:
        sent.sendall(data)
        found = b""
        while more := sent.recv(1 << 16):
            found += more
    return found


def test_a_request_of_two_lengths_is_refused_and_none_follows_it(hasty: Served) -> None:
    second = b"GET /health/live HTTP/1.1\r\n" + HEAD + b"\r\n"
    found = answers(
        hasty,
        b"POST /v1/challenges HTTP/1.1\r\n" + HEAD + TOKEN + b"Content-Type: application/json\r\n"
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + second,
    )
    assert found.startswith(b"HTTP/1.1 400 ")
    assert found.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize("host", [b"localhost:80@evil", b"localhost:x", b"[::1]x", b"[127.0.0.1"])
def test_a_host_with_something_after_it_is_refused(hasty: Served, host: bytes) -> None:
    found = answers(hasty, b"GET /health/live HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")
    assert found.startswith(b"HTTP/1.1 421 ")


def test_the_rest_of_a_body_that_was_refused_is_not_waited_for(hasty: Served) -> None:
    with closing(hasty.connect()) as sent:
        sent.sendall(b"POST /v1/challenges HTTP/1.1\r\n" + HEAD + b"Content-Length: 99999\r\n\r\n")
        assert sent.recv(1 << 16).startswith(b"HTTP/1.1 401 ")
        # It ends, or the test's own time does.
        with suppress(OSError):
            while True:
                sent.sendall(b" ")
                time.sleep(0.05)


def ask_for_ever(sent: socket.socket, ask: bytes) -> None:
    while True:
        sent.sendall(ask)
        time.sleep(0.01)


def test_a_client_that_reads_no_answer_is_left(hasty: Served) -> None:
    ask = b"GET /openapi.json HTTP/1.1\r\n" + HEAD + b"\r\n"
    with closing(socket.socket()) as sent:
        sent.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sent.settimeout(20)
        sent.connect(("127.0.0.1", hasty.port))
        with pytest.raises(ConnectionError):
            ask_for_ever(sent, ask)


def test_one_that_reads_slowly_is_not(hasty: Served) -> None:
    with closing(socket.socket()) as sent:
        sent.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sent.settimeout(20)
        sent.connect(("127.0.0.1", hasty.port))
        sent.sendall(b"GET /openapi.json HTTP/1.1\r\n" + HEAD + b"Connection: close\r\n\r\n")
        found = b""
        while more := sent.recv(4096):
            found += more
            time.sleep(0.05)
    assert found.endswith(b"}")
