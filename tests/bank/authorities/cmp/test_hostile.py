"""Whoever answers in place of the CA gets nothing believed, and nobody waiting."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Thread

import pytest
from sqlalchemy import select

from tests.bank.authorities.cmp.serving import (
    CA,
    NONCE,
    SECRET,
    ScriptedCa,
    check_after,
    client,
    confirmed,
    granted,
    issued,
    status,
)
from tests.bank.authorities.issuing import AUTHORITY_KEY, profile, request
from tests.pki import private_key
from ushield.algorithms import KeyAlgorithm
from ushield.bank.authorities import (
    CaAnswerInvalid,
    CaOutcomeUnknown,
    CaPending,
    CaRefused,
    CaUnavailable,
    RevocationReason,
    new_transaction_id,
)
from ushield.bank.authorities.cmp import protection
from ushield.bank.authorities.cmp.http import CmpEndpoint
from ushield.bank.authorities.cmp.message import MAX_MESSAGE, Message
from ushield.bank.authorities.cmp.protection import MacProtection, SignatureProtection
from ushield.bank.authorities.cmp.structures import PKIBody
from ushield.bank.store.store import Store
from ushield.bank.store.tables import ca_transaction
from ushield.errors import InputInvalid

GOOD = granted(issued())


def states(store: Store) -> list[str]:
    return store.read(lambda connection: list(connection.scalars(select(ca_transaction.c.state))))


def fault_of(store: Store, ca: ScriptedCa) -> str:
    with ca.serve(), pytest.raises(CaAnswerInvalid) as caught:
        client(store, ca.url).issue(request(), profile(), transaction_id=new_transaction_id())
    return caught.value.fault


def replying(**changes: object) -> ScriptedCa:
    ca = ScriptedCa([])
    ca.script = [lambda asked: ca.reply(asked, GOOD(asked), **changes)] * 2
    return ca


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"transaction_id": bytes(16)}, "transaction"),
        ({"transaction_id": b""}, "transaction"),
        ({"recip_nonce": bytes(16)}, "nonce"),
        ({"recip_nonce": None}, "nonce"),
        ({"sender_nonce": b""}, "nonce"),
        ({"sender_nonce": bytes(65)}, "nonce"),
    ],
)
def test_an_answer_to_something_else_is_not_believed(
    sqlite_store: Store, change: dict[str, object], fault: str
) -> None:
    assert fault_of(sqlite_store, replying(**change)) == fault
    # It may all the same have been done: the order stays known.
    assert states(sqlite_store) == ["sent"]


def test_an_answer_by_another_secret_is_not_believed(sqlite_store: Store) -> None:
    forged = ScriptedCa([GOOD], MacProtection(SECRET[::-1], "bank"))
    assert fault_of(sqlite_store, forged) == "protection"


def test_an_answer_signed_by_a_customer_of_the_same_ca_is_not_believed(
    sqlite_store: Store,
) -> None:
    key = private_key(KeyAlgorithm.P256)
    customer = SignatureProtection(key, (issued(key),), ())
    assert fault_of(sqlite_store, ScriptedCa([GOOD], customer)) == "protection"
    with ScriptedCa([GOOD], customer).serve() as ca:
        bank = SignatureProtection(key, (issued(key, "RA"),), (CA.certificate,))
        with pytest.raises(CaAnswerInvalid) as caught:
            client(sqlite_store, ca.url, bank).issue(
                request(), profile(), transaction_id=new_transaction_id()
            )
    assert caught.value.fault == "protection"


def test_an_answer_that_was_changed_on_its_way_is_not_believed(sqlite_store: Store) -> None:
    ca = ScriptedCa([])

    def changed(asked: Message) -> bytes:
        answer = bytearray(ca.reply(asked, GOOD(asked)))
        # A letter of the issuer's name in the certificate.
        answer[answer.rindex(b"Elsewhere")] ^= 1
        return bytes(answer)

    ca.script = [changed]
    assert fault_of(sqlite_store, ca) == "protection"


def test_one_s_own_message_is_no_answer(sqlite_store: Store) -> None:
    ca = ScriptedCa([])

    def echo(data: bytes) -> bytes:
        return data

    ca.answer = echo  # type: ignore[method-assign]
    assert fault_of(sqlite_store, ca) == "nonce"


@pytest.mark.parametrize("iterations", [1, 100_001])
def test_an_answer_that_makes_work_is_not_believed(
    sqlite_store: Store, monkeypatch: pytest.MonkeyPatch, iterations: int
) -> None:
    ca = ScriptedCa([])

    def costly(asked: Message) -> bytes:
        with monkeypatch.context() as patch:
            patch.setattr(protection, "_ITERATIONS", iterations)
            patch.setattr(protection, "_FEWEST", 1)
            patch.setattr(protection, "_MOST", iterations)
            return ca.reply(asked, GOOD(asked))

    ca.script = [costly]
    assert fault_of(sqlite_store, ca) == "protection"


@pytest.mark.parametrize("cut", [0, 1, 40, -1])
def test_a_truncated_answer_is_told(sqlite_store: Store, cut: int) -> None:
    ca = ScriptedCa([])
    ca.script = [lambda asked: ca.reply(asked, GOOD(asked))[:cut]]
    assert fault_of(sqlite_store, ca) == "encoding"


def test_an_answer_of_another_kind_is_told(sqlite_store: Store) -> None:
    for body in (confirmed, status("accepted", kind="rp"), check_after(0)):
        assert fault_of(sqlite_store, ScriptedCa([body])) == "unexpected"
    assert fault_of(sqlite_store, ScriptedCa([GOOD], content_type="text/html")) == "http"
    too_long = ScriptedCa([lambda _: bytes(MAX_MESSAGE + 1)])
    assert fault_of(sqlite_store, too_long) == "length"


@pytest.mark.parametrize(
    ("certificate", "fault"),
    [
        (issued(private_key(KeyAlgorithm.P256, "another")), "key"),
        (issued(subject="张三"), "subject"),
        (issued(authority=AUTHORITY_KEY), "path"),
    ],
    ids=["key", "subject", "path"],
)
def test_a_certificate_that_was_not_asked_for_is_rejected(
    sqlite_store: Store, certificate: object, fault: str
) -> None:
    ca = ScriptedCa([granted(certificate), confirmed])  # type: ignore[arg-type]
    assert fault_of(sqlite_store, ca) == fault
    (told,) = ca.received[1].content
    assert told["status_info"]["status"].native == "rejection"
    assert states(sqlite_store) == []


def test_a_ca_s_words_reach_no_terminal_as_they_are(sqlite_store: Store) -> None:
    rude = status("rejection", "badRequest", text="\x1b[2J\u202e" + "x" * 5000)
    with ScriptedCa([rude]).serve() as ca, pytest.raises(CaRefused) as caught:
        client(sqlite_store, ca.url).issue(
            request(), profile(), transaction_id=new_transaction_id()
        )
    assert caught.value.text.startswith("?[2J?x")
    assert caught.value.text.isprintable()
    assert len(caught.value.text) == 200


@contextmanager
def listening(talk: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server that speaks no HTTP but what ``talk`` does."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                try:
                    connection.recv(1 << 16)
                    talk(connection)
                except OSError:
                    return

        thread = Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/"
        thread.join(5)


def never(connection: socket.socket) -> None:
    connection.recv(1)


def drop_by_drop(connection: socket.socket) -> None:
    while True:
        connection.sendall(b"X")
        time.sleep(0.02)


def endless_headers(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        connection.sendall(b"X-More: " + b"x" * 4000 + b"\r\n")


def endless_body(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/pkixcmp\r\n\r\n")
    while True:
        connection.sendall(bytes(1 << 16))


def huge_chunk(connection: socket.socket) -> None:
    connection.sendall(
        b"HTTP/1.1 200 OK\r\nContent-Type: application/pkixcmp\r\n"
        b"Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFF\r\n"
    )
    connection.recv(1)


def cut_short(connection: socket.socket) -> None:
    connection.sendall(
        b"HTTP/1.1 200 OK\r\nContent-Type: application/pkixcmp\r\nContent-Length: 99\r\n\r\n0"
    )


def hangs_up(connection: socket.socket) -> None:
    return


def not_http(connection: socket.socket) -> None:
    connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")


@pytest.mark.parametrize(
    "talk",
    [
        never,
        drop_by_drop,
        endless_headers,
        endless_body,
        huge_chunk,
        cut_short,
        hangs_up,
        not_http,
    ],
    ids=lambda talk: talk.__name__,
)
def test_a_server_that_does_not_answer_properly_keeps_nobody(
    sqlite_store: Store, talk: Callable[[socket.socket], None]
) -> None:
    asked, order = request(), new_transaction_id()
    start = time.monotonic()
    with listening(talk) as url:
        authority = client(sqlite_store, url, timeout=0.4)
        with pytest.raises(CaOutcomeUnknown):
            authority.issue(asked, profile(), transaction_id=order)
    # Far more than its timeout, far less than forever, on a machine that is busy.
    assert time.monotonic() - start < 20
    assert states(sqlite_store) == ["sent"]
    with ScriptedCa([GOOD, confirmed]).serve() as ca:
        assert client(sqlite_store, ca.url).issue(asked, profile(), transaction_id=order)


def test_a_ca_that_cannot_be_reached_is_unavailable_and_nothing_was_asked(
    sqlite_store: Store,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(CaUnavailable) as caught:
        client(sqlite_store, f"http://127.0.0.1:{port}/").issue(
            request(), profile(), transaction_id=new_transaction_id()
        )
    assert type(caught.value) is CaUnavailable


@pytest.mark.parametrize(
    "url", ["", "ftp://ca.example/", "http://", "http://ca.example:99999/", "http://a b/", "ca"]
)
def test_an_address_of_another_kind_is_refused(url: str) -> None:
    with pytest.raises(InputInvalid):
        CmpEndpoint(url)


def test_a_secret_that_can_be_guessed_is_refused() -> None:
    with pytest.raises(InputInvalid):
        MacProtection(b"secret", "bank")


def test_no_answer_to_a_revocation_is_believed_either(sqlite_store: Store) -> None:
    ca = ScriptedCa([])
    ca.script = [
        lambda asked: ca.reply(asked, status("accepted", kind="rp")(asked), recip_nonce=NONCE)
    ]
    with ca.serve(), pytest.raises(CaAnswerInvalid):
        client(sqlite_store, ca.url).revoke(
            7, RevocationReason.SUPERSEDED, transaction_id=new_transaction_id()
        )


@pytest.mark.parametrize("seconds", [1 << 40, 1 << 2000], ids=["40-bits", "2000-bits"])
def test_a_ca_that_wants_to_be_asked_in_a_thousand_years_is_waited_for_a_month(
    sqlite_store: Store, seconds: int
) -> None:
    with (
        ScriptedCa([status("waiting"), check_after(seconds)]).serve() as ca,
        pytest.raises(CaPending) as caught,
    ):
        client(sqlite_store, ca.url).issue(
            request(), profile(), transaction_id=new_transaction_id()
        )
    assert caught.value.check_after == 30 * 24 * 3600


@pytest.mark.parametrize("number", [1 << 31, 1 << 70, -2])
def test_a_request_that_was_never_made_is_not_answered(store: Store, number: int) -> None:
    answer = granted(issued(), cert_req_id=number)
    assert fault_of(store, ScriptedCa([answer])) == "unexpected"
    assert states(store) == ["sent"]


@pytest.mark.parametrize("number", [7, 100])
def test_a_status_that_nobody_knows_is_no_yes(sqlite_store: Store, number: int) -> None:
    def odd(asked: Message) -> PKIBody:
        encoded = bytearray(status("accepted", kind="rp")(asked).dump())
        encoded[encoded.rindex(b"\x02\x01\x00") + 2] = number
        found: PKIBody = PKIBody.load(bytes(encoded))
        return found

    with ScriptedCa([odd]).serve() as ca, pytest.raises(CaAnswerInvalid):
        client(sqlite_store, ca.url).revoke(
            5, RevocationReason.SUPERSEDED, transaction_id=new_transaction_id()
        )
    assert states(sqlite_store) == ["sent"]
