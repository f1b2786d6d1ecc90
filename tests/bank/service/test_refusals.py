"""What the service refuses by itself: strangers, web pages, what is no JSON, and too much."""

from __future__ import annotations

import http.client
import json
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.bank.banking import Bench
from tests.bank.service.served import TOKENS, Served, base64_of, draft, signed
from ushield.bank.service import Limits, Role

PAYMENTS, REGISTRAR, AUDITOR = Role.PAYMENTS, Role.REGISTRAR, Role.AUDITOR
ISSUE = ("POST", "/v1/challenges")
JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer ushield_guessed"},
        {"Authorization": "Bearer"},
        {"Authorization": "Basic cGF5bWVudHM6eA=="},
        {"Authorization": TOKENS[PAYMENTS]},
        {"X-Forwarded-Client-Cert": "Subject=CN=payments", "X-Forwarded-User": "payments"},
    ],
    ids=["nothing", "guessed", "empty", "basic", "bare", "forwarded"],
)
def test_a_stranger_is_refused_before_anything_is_read(
    shared: Served, headers: dict[str, str]
) -> None:
    answer = shared.ask(*ISSUE, headers={**JSON, **headers}, content="not JSON")
    assert answer.status_code == 401
    assert answer.json()["code"] == "caller-unknown"
    assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize("role", list(Role))
def test_a_client_does_only_what_its_roles_may(shared: Served, role: Role) -> None:
    for method, path, roles in (
        ("POST", "/v1/challenges", {PAYMENTS}),
        ("PUT", "/v1/customers/alice", {REGISTRAR}),
        ("POST", "/v1/tokens/none/loss", {REGISTRAR, Role.HOTLINE, Role.CLERK}),
        ("POST", "/v1/audit/seals", {AUDITOR}),
    ):
        answer = shared.ask(method, path, role, json={})
        if role in roles:
            assert answer.status_code != 403
        else:
            assert answer.status_code == 403
            assert answer.json()["code"] == "not-permitted"
            assert answer.json()["roles"] == sorted(roles)


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "127.0.0.1.x", ""])
def test_a_name_that_is_not_its_own_is_refused(shared: Served, host: str) -> None:
    shared.refused(421, "host-unknown", "GET", "/health/live", headers={"Host": host})


@pytest.mark.parametrize("host", ["localhost", "LocalHost:1", "127.0.0.1:9"])
def test_its_own_names_come_with_any_port(shared: Served, host: str) -> None:
    shared.told(200, "GET", "/health/live", headers={"Host": host})


@pytest.mark.parametrize(
    "kind",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/jsonp",
        "application/json; charset=utf-16",
        "application/pkcs7-signature",
        "",
    ],
)
def test_what_a_form_of_a_web_page_can_send_is_not_taken(shared: Served, kind: str) -> None:
    body = json.dumps({"customer": "alice", "transaction": draft()})
    shared.refused(
        *(415, "media-type-unsupported", *ISSUE, PAYMENTS),
        headers={"Content-Type": kind},
        content=body,
    )


def test_a_web_page_is_refused_and_told_nothing_of_other_origins(shared: Served) -> None:
    origin = {"Origin": "https://evil.example"}
    shared.refused(403, "origin-refused", *ISSUE, PAYMENTS, headers=origin, json={})
    preflight = shared.ask("OPTIONS", ISSUE[1], headers={"Access-Control-Request-Method": "POST"})
    assert preflight.status_code == 405
    assert not [name for name in preflight.headers if name.startswith("access-control")]


def test_the_methods_of_a_path_are_told(shared: Served) -> None:
    answer = shared.ask("DELETE", "/v1/customers/alice", REGISTRAR)
    assert (answer.status_code, answer.json()["code"]) == (405, "method-unknown")
    assert answer.headers["allow"] == "PUT"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff\xfe{}",
        b'{"customer": "alice", "customer": "bob", "transaction": {}}',
        b'{"customer": "alice", "transaction": {"kind": "login", "kind": "transfer"}}',
        b"[" * 60_000,
        b'{"a":' * 17 + b"1" + b"}" * 17,
        b'{"customer": "a\\u0000b", "transaction": {}}',
        b'{"customer": "\\ud800", "transaction": {}}',
        b'{"lifetime": NaN}',
        b'{"lifetime": 1e400}',
        b'{"lifetime": ' + b"9" * 5000 + b"}",
    ],
    ids=lambda body: body[:24].decode("latin-1"),
)
def test_what_is_not_json_in_one_reading_is_refused(shared: Served, body: bytes) -> None:
    shared.refused(400, "request-invalid", *ISSUE, PAYMENTS, headers=JSON, content=body)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"customer": "al ice"}, "/customer"),
        ({"customer": None}, "/customer"),
        ({"customer": "alice\n"}, "/customer"),
        ({"lifetime": 0}, "/lifetime"),
        ({"lifetime": True}, "/lifetime"),
        ({"repeat": "yes"}, "/repeat"),
        ({"surplus": 1}, ""),
        ({"transaction": draft() | {"amount": 12.5}}, "/transaction/amount"),
        ({"transaction": draft() | {"amount": "012"}}, "/transaction/amount"),
        ({"transaction": draft() | {"kind": "gift"}}, "/transaction"),
        ({"transaction": {"kind": "transfer"}}, "/transaction"),
    ],
    ids=lambda value: (value or "whole") if isinstance(value, str) else None,
)
def test_a_body_of_another_shape_is_refused_with_the_place(
    shared: Served, change: dict[str, Any], field: str
) -> None:
    body = {"customer": "alice", "transaction": draft()} | change
    error = shared.refused(400, "request-invalid", *ISSUE, PAYMENTS, json=body)
    assert error["field"] == field
    assert "al ice" not in json.dumps(error)


def test_a_transaction_that_means_nothing_is_refused_with_its_field(shared: Served) -> None:
    body = {"customer": "alice", "transaction": draft() | {"memo": "left\u202eright"}}
    error = shared.refused(422, "transaction-invalid", *ISSUE, PAYMENTS, json=body)
    assert error["field"] == "memo"


@pytest.mark.parametrize(
    "path",
    [
        "/v1/challenges/ABC",
        f"/v1/challenges/{'0' * 32}?verbose=1",
        f"/v1/challenges/{'0' * 31}%00",
    ],
)
def test_a_parameter_of_another_shape_is_refused(shared: Served, path: str) -> None:
    shared.refused(400, "request-invalid", "GET", path, PAYMENTS)


@pytest.mark.parametrize("query", ["after=-1", "after=x", "after=1&after=2", f"after={2**63}"])
def test_a_number_in_a_query_is_a_number(shared: Served, query: str) -> None:
    shared.refused(400, "request-invalid", "GET", f"/v1/audit/heads?{query}", AUDITOR)


def test_a_body_that_is_too_long_is_refused_whether_or_not_it_says_so(shared: Served) -> None:
    long = b" " * 70_000
    chunks = [long[:1000] for _ in range(70)]
    for content in (long, iter(chunks)):
        answer = shared.ask(*ISSUE, PAYMENTS, headers=JSON, content=content)
        assert answer.status_code == 413
    shared.told(200, "GET", "/health/live")


def test_a_body_that_is_announced_too_long_is_not_waited_for(shared: Served) -> None:
    with closing(http.client.HTTPConnection("127.0.0.1", shared.port, timeout=20)) as connection:
        connection.putrequest(*ISSUE)
        connection.putheader("Authorization", f"Bearer {TOKENS[PAYMENTS]}")
        connection.putheader("Content-Type", "application/json")
        connection.putheader("Content-Length", str(1 << 40))
        connection.endheaders()
        assert connection.getresponse().status == 413


@contextmanager
def serving(url: str, folder: Path, **limits: int) -> Iterator[Served]:
    """A service in whose time no second passes, with limits of its own."""
    with (
        Bench.open(url) as bench,
        Served(bench, folder, limits=Limits(**limits), clock=lambda: 0.0) as served,
    ):
        yield served


def test_a_body_that_does_not_come_is_not_waited_for(sqlite_url: str, tmp_path: Path) -> None:
    with (
        serving(sqlite_url, tmp_path, seconds=1) as served,
        closing(http.client.HTTPConnection("127.0.0.1", served.port, timeout=20)) as connection,
    ):
        connection.putrequest(*ISSUE)
        connection.putheader("Authorization", f"Bearer {TOKENS[PAYMENTS]}")
        connection.putheader("Content-Type", "application/json")
        connection.putheader("Content-Length", "10")
        connection.endheaders(b"{")
        answer = connection.getresponse()
        assert (answer.status, json.load(answer)["code"]) == (408, "body-too-slow")


def test_a_client_that_asks_too_often_waits_and_others_do_not(
    sqlite_url: str, tmp_path: Path
) -> None:
    path = f"/v1/challenges/{'0' * 32}"
    with serving(sqlite_url, tmp_path, per_client=1) as served:
        answers = [served.ask("GET", path, PAYMENTS) for _ in range(3)]
        assert [each.status_code for each in answers] == [404, 404, 429]
        assert answers[2].json()["code"] == "too-many-requests"
        assert answers[2].headers["retry-after"] == "1"
        served.refused(404, "challenge-not-found", "GET", path, AUDITOR)


def test_strangers_take_nothing_away_from_clients(sqlite_url: str, tmp_path: Path) -> None:
    with serving(sqlite_url, tmp_path, strangers=1, together=50) as served:
        statuses = [served.ask(*ISSUE, json={}).status_code for _ in range(3)]
        assert statuses == [401, 401, 429]
        served.refused(404, "token-unknown", "GET", "/v1/tokens/none", REGISTRAR)


def test_a_flood_of_wrong_tokens_keeps_nobody_from_the_crl(sqlite_url: str, tmp_path: Path) -> None:
    with serving(sqlite_url, tmp_path, strangers=1) as served:
        wrong = {"Authorization": "Bearer ushield_wrong"}
        statuses = [served.ask(*ISSUE, json={}, headers=wrong).status_code for _ in range(3)]
        assert statuses == [401, 401, 429]
        served.refused(501, "not-served", "GET", "/pki/crl")
        served.told(200, "GET", "/health/live")


@contextmanager
def database_held(url: str) -> Iterator[None]:
    """Somebody else writes to the SQLite database for as long as this lasts."""
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.rollback()


def test_more_than_there_is_room_for_is_refused_at_once(sqlite_url: str, tmp_path: Path) -> None:
    with serving(sqlite_url, tmp_path, workers=1, waiting=1) as served:
        served.bench.customer()
        answers: list[int] = []

        def ask(number: int) -> None:
            body = {"customer": "alice", "transaction": draft(f"A{number}")}
            answers.append(served.ask(*ISSUE, PAYMENTS, json=body).status_code)

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(6)]
        with database_held(sqlite_url):
            for thread in threads:
                thread.start()
            while len(answers) < 4:
                threads[0].join(0.05)
        for thread in threads:
            thread.join()
        assert sorted(answers) == [201, 201, 503, 503, 503, 503]


def test_a_bank_that_does_not_answer_in_time_leaves_it_open_and_can_be_asked(
    sqlite_url: str, tmp_path: Path
) -> None:
    with serving(sqlite_url, tmp_path, seconds=1, per_client=10_000) as served:
        alice = served.bench.customer()
        issued = served.issue(alice)
        place = f"/v1/challenges/{issued['challenge']}"
        body = {"signature": base64_of(signed(alice, issued))}
        with database_held(sqlite_url):
            served.refused(
                504, "deadline-passed", "POST", f"{place}/acceptance", PAYMENTS, json=body
            )
        while served.told(200, "GET", place, PAYMENTS)["state"] == "issued":
            time.sleep(0.01)
        again = served.refused(
            409, "transaction-rejected", "POST", f"{place}/acceptance", PAYMENTS, json=body
        )
        assert again["repeated"] is True
        assert again["acceptance"]["challenge"] == issued["challenge"]


def test_a_database_that_is_gone_is_told_and_comes_back(local: Served, sqlite_url: str) -> None:
    alice = local.bench.customer()
    issued = local.issue(alice)
    place = f"/v1/challenges/{issued['challenge']}/acceptance"
    body = {"signature": base64_of(signed(alice, issued))}
    database = Path(sqlite_url.removeprefix("sqlite:///"))
    away = database.rename(database.with_suffix(".away"))
    error = local.refused(503, "store-unavailable", "POST", place, PAYMENTS, json=body)
    assert str(database.parent) not in json.dumps(error)
    assert local.ask("GET", "/health/ready").headers["retry-after"] == "5"
    local.told(200, "GET", "/health/live")
    away.rename(database)
    local.told(200, "POST", place, PAYMENTS, json=body)


def test_a_client_that_was_taken_out_is_out_at_once(local: Served) -> None:
    path = "/v1/tokens/none"
    local.refused(404, "token-unknown", "GET", path, REGISTRAR)
    text = local.file.read_text()
    tables = [each for each in text.split("\n\n") if '"registrar"' not in each]
    local.file.write_text("\n\n".join(tables))
    local.refused(401, "caller-unknown", "GET", path, REGISTRAR)
    local.refused(404, "token-unknown", "GET", path, AUDITOR)
    local.file.write_text("rubbish")
    local.refused(503, "service-configuration-invalid", "GET", path, AUDITOR)
    local.file.write_text(text)
    local.refused(404, "token-unknown", "GET", path, REGISTRAR)


@pytest.mark.parametrize(
    "head",
    [
        b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
        b"GET /health/live HTTP/1.0\r\n\r\n",
        b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 200_000,
        b"POST /v1/challenges HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
    ],
    ids=["two hosts", "no host", "endless", "smuggled", "tls"],
)
def test_what_is_not_http_is_refused(shared: Served, head: bytes) -> None:
    with shared.connect() as connection:
        connection.sendall(head)
        answer = connection.recv(4096)
        assert answer[9:12] in (b"400", b"401", b"421")
    shared.told(200, "GET", "/health/live")
