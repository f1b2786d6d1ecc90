"""Mutual TLS: whoever has no certificate of the clients' CA says nothing at all to the service."""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.bank.banking import Bench
from tests.bank.service.certificates import TlsAuthority
from tests.bank.service.served import TOKENS, Served, clients
from ushield.bank.service import Address, Client, MutualTls, Role, ServiceSettings, loop
from ushield.bank.service.errors import AddressRefused
from ushield.bank.service.listening import own_names

AUDITOR, HEAD = Role.AUDITOR, "/v1/audit/head"


class Guarded:
    """A service behind mutual TLS, whose clients' CA is not its own."""

    def __init__(self, folder: Path) -> None:
        self.servers = TlsAuthority.make(folder / "servers", "Servers")
        self.people = TlsAuthority.make(folder / "clients", "Clients")
        server = self.servers.issue("server", server=True)
        self.tls = MutualTls(str(server.certificate), str(server.key), str(self.people.file))
        self.known = self.people.issue("known")
        self.of_subject = self.people.issue("of-subject")
        self.stranger = self.people.issue("stranger")
        self.foreign = TlsAuthority.make(folder / "others", "Others").issue("of-subject")
        self.text = clients(
            Client(
                name="by-certificate",
                roles=frozenset((AUDITOR,)),
                certificate_sha256=hashlib.sha256(self.known.der).hexdigest(),
            ),
            Client(
                name="by-subject",
                roles=frozenset((AUDITOR,)),
                certificate_subject="CN=of-subject",
            ),
        )


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Guarded:
    return Guarded(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def served(guarded: Guarded, sqlite_url: str, tmp_path: Path) -> Iterator[Served]:
    with (
        Bench.open(sqlite_url) as bench,
        Served(bench, tmp_path, context=guarded.tls.context(), text=guarded.text) as served,
    ):
        yield served


def test_a_client_is_known_by_its_certificate_or_its_subject(
    served: Served, guarded: Guarded
) -> None:
    for files in (guarded.known, guarded.of_subject):
        served.verify = guarded.servers.client(files)
        assert served.told(200, "GET", HEAD) == {"head": None}
        error = served.refused(403, "not-permitted", "PUT", "/v1/customers/a", json={})
        assert error["detail"].startswith("by-")


def test_a_certificate_that_nobody_registered_is_not_enough_and_a_token_is(
    served: Served, guarded: Guarded
) -> None:
    served.verify = guarded.servers.client(guarded.stranger)
    served.refused(401, "caller-unknown", "GET", HEAD)
    served.told(200, "GET", HEAD, AUDITOR)
    forged = {"X-Forwarded-Client-Cert": "Subject=CN=of-subject"}
    served.refused(401, "caller-unknown", "GET", HEAD, headers=forged)


def test_a_token_that_is_wrong_is_not_made_good_by_the_certificate(
    served: Served, guarded: Guarded
) -> None:
    served.verify = guarded.servers.client(guarded.known)
    wrong = {"Authorization": f"{TOKENS[AUDITOR]}x"}
    served.refused(401, "caller-unknown", "GET", HEAD, headers=wrong)


@pytest.mark.parametrize("who", ["nobody", "foreign"])
def test_without_a_certificate_of_the_clients_ca_there_is_no_connection(
    served: Served, guarded: Guarded, who: str
) -> None:
    served.verify = guarded.servers.client(guarded.foreign if who == "foreign" else None)
    with pytest.raises((httpx.TransportError, ssl.SSLError)):
        served.ask("GET", "/health/live", AUDITOR)


def test_plain_http_is_not_spoken_there(served: Served) -> None:
    with served.connect() as connection:
        connection.sendall(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"HTTP/1.1 200" not in connection.recv(4096)


def test_those_who_never_shake_hands_are_left_and_hold_nobody_up(
    guarded: Guarded, sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "HANDSHAKE_SECONDS", 0.5)
    with (
        Bench.open(sqlite_url) as bench,
        Served(bench, tmp_path, context=guarded.tls.context(), text=guarded.text) as served,
        ExitStack() as stack,
    ):
        silent = [stack.enter_context(served.connect()) for _ in range(50)]
        half = stack.enter_context(served.connect())
        # A record that is announced and does not come.
        half.sendall(b"\x16\x03\x01\x02\x00")
        served.verify = guarded.servers.client(guarded.known)
        served.told(200, "GET", HEAD)
        for each in (*silent, half):
            assert each.recv(1) == b""


def test_the_service_is_called_by_the_names_in_its_certificate(guarded: Guarded) -> None:
    assert own_names(Address("10.0.0.5", 1), guarded.tls) == {"bank.example", "127.0.0.1"}
    assert "localhost" in own_names(Address("127.0.0.1", 1), None)
    assert own_names(Address("10.0.0.5", 1), None) == frozenset()


def test_a_key_that_others_may_read_or_that_does_not_fit_is_refused(
    guarded: Guarded, tmp_path: Path
) -> None:
    key = tmp_path / "key.pem"
    key.write_bytes(Path(guarded.tls.key).read_bytes())
    key.chmod(0o644)
    with pytest.raises(AddressRefused, match="other users"):
        MutualTls(guarded.tls.certificate, str(key), guarded.tls.client_ca).context()
    for files in (
        (guarded.tls.certificate, str(guarded.known.key), guarded.tls.client_ca),
        (guarded.tls.certificate, guarded.tls.key, str(tmp_path / "none.pem")),
        (guarded.tls.certificate, guarded.tls.key, guarded.tls.key),
    ):
        with pytest.raises(AddressRefused, match="not a certificate"):
            MutualTls(*files).context()


@pytest.mark.parametrize("text", ["10.0.0.5:8443", "0.0.0.0:80", "[::]:80", "[2001:db8::1]:1"])
def test_other_machines_are_not_served_without_tls(guarded: Guarded, text: str) -> None:
    with pytest.raises(AddressRefused, match="other machines"):
        ServiceSettings(address=Address.parse(text))
    ServiceSettings(address=Address.parse(text), tls=guarded.tls)


@pytest.mark.parametrize("text", ["127.0.0.1:0", "127.8.8.8:1", "[::1]:65535", "localhost:80"])
def test_this_machine_is_served_without_tls(text: str) -> None:
    ServiceSettings(address=Address.parse(text))


@pytest.mark.parametrize("text", ["", "80", "bank.example:80", "::1:80", "127.0.0.1:65536", "a:b"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(AddressRefused):
        Address.parse(text)
