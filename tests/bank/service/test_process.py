"""`ushield bank serve` as a process: where it listens, what it logs, and what a kill leaves."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.bank.banking import Holder, order
from tests.bank.service.certificates import TlsAuthority
from tests.bank.service.served import base64_of
from tests.cli.conftest import run, told
from tests.docs.test_examples import REPOSITORY
from tests.pki import Signer, authority, pem
from ushield.algorithms import KeyAlgorithm
from ushield.bank.configuration import BankConfiguration
from ushield.bank.service import Address
from ushield.bank.service.errors import AddressRefused

DAY = timedelta(days=1)
USHIELD = [sys.executable, "-m", "ushield.cli"]


class Branch:
    """A bank in a folder, whose service is another process on a socket in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "bank"
        self.socket = folder / "s"
        self.log = folder / "log"
        ca = folder / "ca.pem"
        ca.write_bytes(pem(authority(not_after=datetime.now(UTC) + DAY)))
        self.cli("init", str(self.folder), "--ca", str(ca), bank=False)
        self.token_file = folder / "payments.token"
        self.cli(
            *("client", "add", "payments", "--role", "payments", "--role", "auditor"),
            *("--token-out", str(self.token_file)),
        )
        self.token = self.token_file.read_text().strip()

    def cli(self, *arguments: str, bank: bool = True, code: int = 0) -> dict[str, Any]:
        where = ("--bank", str(self.folder)) if bank else ()
        result = run("--json", "bank", *arguments, *where)
        assert result.exit_code == code, result.stderr
        return told(result)

    def customer(self, name: str) -> Holder:
        """Registered, with a certificate that holds now."""
        now = datetime.now(UTC)
        signer = Signer.issued(
            KeyAlgorithm.P256, subject=name, not_before=now - DAY, not_after=now + DAY
        )
        holder = Holder(name, f"US-{name}", signer)
        with BankConfiguration.load(self.folder).open() as bank:
            bank.add_customer(name, name.title())
            bank.enrol(name, signer.der, token=holder.token)
        return holder

    @contextmanager
    def serving(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """The service; the options say where, or it is on the branch's socket."""
        where = arguments or ("--uds", str(self.socket))
        with self.log.open("a") as log:
            process = subprocess.Popen(
                [*USHIELD, "--json", "bank", "serve", "--bank", str(self.folder), *where],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        try:
            yield process
        finally:
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()

    def client(self) -> httpx.Client:
        return httpx.Client(
            transport=httpx.HTTPTransport(uds=str(self.socket)),
            base_url="http://localhost",
            headers={"Authorization": f"Bearer {self.token}"},
            timeout=30,
        )


def url_of(process: subprocess.Popen[str]) -> str:
    """Where it says that it serves."""
    assert process.stdout is not None
    url: str = json.loads(process.stdout.readline())["url"]
    return url


@pytest.fixture
def branch(tmp_path: Path) -> Branch:
    return Branch(tmp_path)


def test_killed_while_it_accepts_it_leaves_each_challenge_live_or_its_answer_askable(
    branch: Branch,
) -> None:
    holders = [branch.customer(f"c{number}") for number in range(8)]
    with BankConfiguration.load(branch.folder).open() as bank:
        issued = [bank.issue(order("A1"), customer=each.customer) for each in holders]
    signatures = {
        challenge.id: {"signature": base64_of(holder.sign(challenge.message))}
        for challenge, holder in zip(issued, holders, strict=True)
    }
    answered: set[str] = set()
    first = threading.Event()

    def accept(identifier: str) -> None:
        with branch.client() as client:
            try:
                place = f"/v1/challenges/{identifier}/acceptance"
                answer = client.post(place, json=signatures[identifier])
            except httpx.TransportError:
                return
            if answer.status_code == 200:
                answered.add(identifier)
            first.set()

    with branch.serving() as process:
        assert url_of(process) == f"unix:{branch.socket}"
        threads = [threading.Thread(target=accept, args=(each,)) for each in signatures]
        for thread in threads:
            thread.start()
        assert first.wait(60)
        process.kill()
        for thread in threads:
            thread.join()
    assert answered
    with branch.serving() as process, branch.client() as client:
        url_of(process)
        for identifier, body in signatures.items():
            place = f"/v1/challenges/{identifier}"
            state = client.get(place).json()
            outcome = client.post(f"{place}/acceptance", json=body)
            if state["state"] == "consumed":
                assert outcome.status_code == 409
                assert outcome.json()["acceptance"] == state["acceptance"]
                assert outcome.json()["repeated"] is True
            else:
                assert (state["state"], identifier in answered) == ("issued", False)
                assert outcome.status_code == 200
        client.post("/v1/audit/seals", json={})
        assert client.post("/v1/audit/verifications", json={}).status_code == 200


def test_nothing_secret_and_nobody_s_data_is_in_its_log(branch: Branch) -> None:
    alice = branch.customer("alice")
    with BankConfiguration.load(branch.folder).open() as bank:
        issued = bank.issue(order("A1"), customer="alice")
    guessed = "ushield_guessed"
    signature = alice.sign(issued.message)
    with branch.serving() as process, branch.client() as client:
        url_of(process)
        place = f"/v1/challenges/{issued.id}/acceptance"
        answers = [
            client.post(place, json={"signature": base64_of(signature[:-1] + b"x")}),
            client.post(place, json={"signature": base64_of(signature)}),
            client.post(place, json={"signature": "?"}),
            client.get("/v1/challenges/李四?name=李四"),
            client.get("/health/live", headers={"Authorization": f"Bearer {guessed}"}),
            client.get(place, headers={"Authorization": f"Bearer {guessed}", "Host": "x.y"}),
        ]
        process.send_signal(signal.SIGTERM)
        process.wait(60)
    assert [each.status_code for each in answers] == [422, 200, 400, 400, 200, 421]
    log = branch.log.read_text()
    lines = [json.loads(line) for line in log.splitlines()]
    assert [line["request"] for line in lines] == [each.headers["x-request-id"] for each in answers]
    route = "/v1/challenges/{challenge}/acceptance"
    assert [line["route"] for line in lines[:3]] == [route] * 3
    assert (lines[0]["code"], lines[0]["status"]) == ("transaction-rejected", 422)
    assert lines[0]["reason"] == "signature-invalid"
    assert lines[0]["client"] == "payments"
    private = [branch.token, guessed, issued.id, "alice", "US-alice", "张三", "李四", "6222"]
    private += [base64_of(signature)[:40], signature[:20].hex(), "\\u674e"]
    assert [each for each in private if each in log] == []


def test_a_socket_in_the_file_system_is_for_its_user_and_group(tmp_path: Path) -> None:
    place = tmp_path / "s"
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(place))
    left.close()
    address = Address(path=str(place))
    with address.listen():
        assert stat.S_IMODE(place.stat().st_mode) == 0o660
        with pytest.raises(AddressRefused, match="another program"):
            address.listen()
    other = tmp_path / "file"
    other.touch()
    for path, words in ((other, "something else"), (tmp_path / "none" / "s", "No such file")):
        with pytest.raises(AddressRefused, match=words):
            Address(path=str(path)).listen()
    assert other.exists()


def test_the_page_s_command_serves_mutual_tls(branch: Branch, tmp_path: Path) -> None:
    page = (REPOSITORY / "docs" / "service.md").read_text()
    ((add, serve),) = re.findall(
        r"^ushield (bank client add .*pem)\nushield (bank serve .*pem)\n", page, re.MULTILINE
    )
    servers = TlsAuthority.make(tmp_path / "servers", "servers-ca")
    people = TlsAuthority.make(tmp_path / "clients", "clients-ca")
    client = people.issue("payments")
    server = servers.issue("server", server=True)
    files = {
        "payments.pem": client.certificate,
        "server.pem": server.certificate,
        "server-key.pem": server.key,
        "clients-ca.pem": people.file,
    }
    (branch.folder / "service.toml").unlink()
    done = run(*with_files(add, files), "--bank", str(branch.folder))
    assert done.exit_code == 0, done.stderr
    serve = serve.replace("10.0.0.5:8443", "127.0.0.1:0")
    with branch.serving(*with_files(serve, files)[2:]) as process:
        context = servers.client(client)
        url = url_of(process)
        answer = httpx.get(f"{url}/v1/challenges/{'0' * 32}", verify=context, trust_env=False)
        assert (answer.status_code, answer.json()["code"]) == (404, "challenge-not-found")
        with pytest.raises(httpx.TransportError):
            httpx.get(f"{url}/health/live", verify=servers.client(), trust_env=False)


def with_files(command: str, files: dict[str, Path]) -> list[str]:
    return [str(files.get(word, word)) for word in command.split()]


def test_what_is_not_safe_is_not_served(branch: Branch) -> None:
    assert branch.cli("serve", "--listen", "0.0.0.0:0", code=50)["error"]["code"] == (
        "address-refused"
    )
    for arguments in (
        ("--certificate", "x.pem"),
        ("--listen", "127.0.0.1:0", "--uds", str(branch.socket)),
    ):
        branch.cli("serve", *arguments, code=2)
    (branch.folder / "service.toml").unlink()
    error = branch.cli("serve", "--listen", "127.0.0.1:0", code=50)["error"]
    assert error["code"] == "service-configuration-invalid"
    assert "ushield bank client add" in error["remedy"]


def test_a_client_s_token_is_in_its_file_alone(branch: Branch) -> None:
    assert stat.S_IMODE(os.stat(branch.token_file).st_mode) == 0o600
    assert branch.token not in (branch.folder / "service.toml").read_text()
    listed = branch.cli("client", "list")["clients"]
    assert listed == [{"client": "payments", "roles": ["auditor", "payments"], "by": ["token"]}]
    again = ("client", "add", "payments", "--role", "clerk", "--token-out")
    other = branch.token_file.with_name("other.token")
    branch.cli(*again, str(other), code=50)
    assert not other.exists()
    add = ("client", "add", "wang", "--role", "clerk", "--token-out", str(branch.token_file))
    branch.cli(*add, code=2)
    branch.cli("client", "add", "wang", "--role", "clerk", code=2)
    assert len(branch.cli("client", "list")["clients"]) == 1


def test_clients_are_believed_whatever_the_umask_lets_others(branch: Branch) -> None:
    before = os.umask(0o002)
    try:
        branch.cli("client", "add", "wang", "--role", "clerk", "--subject", "CN=wang")
    finally:
        os.umask(before)
    assert len(branch.cli("client", "list")["clients"]) == 2
