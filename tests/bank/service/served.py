"""A bank that is served on a real socket, in a thread, and its clients."""

from __future__ import annotations

import base64
import socket
import ssl
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import httpx

from tests.bank.banking import Bench, Holder, order
from ushield.bank.audit.keys import FileAuditSigner
from ushield.bank.service import Address, Application, Backing, Client, ClientFile, Limits, Role
from ushield.bank.service.clients import token_digest
from ushield.bank.service.configuration import FILE_NAME, client_table
from ushield.bank.service.serving import make_server
from ushield.transaction import from_json, to_json, write_message

TOKENS = {role: f"ushield_{role}-{'x' * 40}" for role in Role}


def clients(*more: Client) -> str:
    """The text of a service.toml in which each role has a client of its own."""
    each = [
        Client(name=role.value, roles=frozenset((role,)), token_sha256=token_digest(token))
        for role, token in TOKENS.items()
    ]
    return "\n".join(client_table(client) for client in (*each, *more))


def draft(number: str | None = "A1", **changes: Any) -> dict[str, Any]:
    """A transfer's JSON, as a backend drafts it."""
    found = to_json(order(number, **changes))
    del found["challenge"]
    return found


def base64_of(data: bytes) -> str:
    return base64.b64encode(data).decode()


class Served:
    """A service on a port of its own."""

    def __init__(
        self,
        bench: Bench,
        folder: Path,
        *,
        limits: Limits | None = None,
        context: ssl.SSLContext | None = None,
        text: str | None = None,
        verify: ssl.SSLContext | bool = False,
        backing: Mapping[str, Any] | None = None,
        **settings: Any,
    ) -> None:
        self.bench = bench
        self.verify = verify
        self.file = folder / FILE_NAME
        self.file.write_text(clients() if text is None else text)
        self.file.chmod(0o600)
        signer = FileAuditSigner.create(folder / "audit-key.pem")
        self.application = Application(
            Backing(
                bench.bank,
                audit_key=signer.public_key,
                audit_signer=signer,
                **(backing or {}),
            ),
            clients=ClientFile(folder),
            hosts=("localhost", "127.0.0.1"),
            limits=limits,
            **settings,
        )
        address = Address()
        self._listening = address.listen()
        self.url = address.url(self._listening, tls=context is not None)
        self._server = make_server(self.application, limits or Limits(), context)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._listening]}, daemon=True
        )

    @property
    def port(self) -> int:
        port: int = self._listening.getsockname()[1]
        return port

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._server.should_exit = True
        self._thread.join()
        self.application.close()

    def connect(self) -> socket.socket:
        """A connection by itself."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def ask(
        self,
        method: str,
        path: str,
        role: Role | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        **settings: Any,
    ) -> httpx.Response:
        """One request on a connection of its own, as the client that has this role."""
        given = dict(headers or {})
        if role is not None:
            given["Authorization"] = f"Bearer {TOKENS[role]}"
        with httpx.Client(
            base_url=self.url, trust_env=False, timeout=30, verify=self.verify
        ) as client:
            return client.request(method, path, headers=given, **settings)

    def told(self, status: int, *arguments: Any, **settings: Any) -> dict[str, Any]:
        """The JSON of an answer of that status."""
        answer = self.ask(*arguments, **settings)
        assert answer.status_code == status, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def refused(self, status: int, code: str, *arguments: Any, **settings: Any) -> dict[str, Any]:
        """The problem of an answer of that status, with that code."""
        answer = self.ask(*arguments, **settings)
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        found: dict[str, Any] = answer.json()
        assert (found["status"], found["code"]) == (status, code)
        assert found["remedy"]
        assert found["instance"] == f"urn:uuid:{answer.headers['x-request-id']}"
        return found

    def issue(self, holder: Holder, number: str | None = "A1", **more: Any) -> dict[str, Any]:
        body = {"customer": holder.customer, "transaction": draft(number), **more}
        return self.told(201, "POST", "/v1/challenges", Role.PAYMENTS, json=body)


def signed(holder: Holder, issued: Mapping[str, Any], **settings: Any) -> bytes:
    """What the holder's token answers to what the service handed out."""
    return holder.sign(write_message(from_json(issued["transaction"])), **settings)
