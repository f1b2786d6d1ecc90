"""CAs for tests: OpenSSL's own, and one in this process that answers whatever a test wants."""

from __future__ import annotations

import functools
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from asn1crypto.core import Null
from asn1crypto.x509 import Certificate
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tests.bank.authorities.issuing import profile, request
from tests.bank.banking import MovableClock
from tests.pki import NOW, PrivateKey, private_key
from ushield.algorithms import KeyAlgorithm
from ushield.bank.authorities import AuthorityKey, PublicationPoints
from ushield.bank.authorities.certificates import authority_name, customer_certificate
from ushield.bank.authorities.cmp.client import CmpAuthority
from ushield.bank.authorities.cmp.http import CmpEndpoint
from ushield.bank.authorities.cmp.message import (
    Envelope,
    Message,
    read_message,
    write_message,
)
from ushield.bank.authorities.cmp.protection import MacProtection, Protection
from ushield.bank.authorities.cmp.structures import CertOrEncCert, PKIBody
from ushield.bank.store.store import Store

SECRET = b"0123456789abcdef"
CA = AuthorityKey.create(authority_name("Elsewhere"), NOW)
MAC = MacProtection(SECRET, "bank")
NONCE = bytes(range(16))


def issued(
    key: PrivateKey | None = None, subject: str = "李四", authority: AuthorityKey = CA
) -> x509.Certificate:
    """A certificate as the CA would issue it, by default for what `request` asks for."""
    asked = x509.load_der_x509_csr(request(key or private_key(KeyAlgorithm.P256)))
    return customer_certificate(
        authority.certificate,
        authority.private_key,
        asked.public_key(),
        profile(subject),
        at=NOW,
        points=PublicationPoints(),
    )


def client(
    store: Store, url: str, protection: Protection = MAC, timeout: float = 10.0
) -> CmpAuthority:
    return CmpAuthority(
        store, CmpEndpoint(url), protection, CA.chain, timeout=timeout, clock=MovableClock()
    )


@functools.cache
def has_cmp() -> bool:
    with suppress(OSError):
        tried = subprocess.run(["openssl", "cmp", "-help"], capture_output=True, check=False)
        return tried.returncode == 0
    return False


needs_openssl_cmp = pytest.mark.skipif(
    not has_cmp(), reason="needs the CMP of OpenSSL 3: apt-get install openssl"
)


@contextmanager
def openssl_server(folder: Path, *options: str, certificate: x509.Certificate) -> Iterator[str]:
    """OpenSSL's mock server, which answers every request by ``certificate``; its URL."""
    for name, data in (("ca.pem", CA.pem), ("issued.pem", certificate.public_bytes(Encoding.PEM))):
        (folder / name).write_bytes(data)
    with open(folder / "server.log", "w") as log:
        server = subprocess.Popen(
            [
                *("openssl", "cmp", "-config", "", "-port", "0", "-srv_ref", "ca"),
                *("-rsp_cert", str(folder / "issued.pem"), "-accept_raverified", *options),
            ],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    try:
        assert server.stdout is not None
        # It says so when it listens, after its warnings; a test has a timeout.
        said = iter(server.stdout.readline, "")
        address = next((line.split()[1] for line in said if line.startswith("ACCEPT")), None)
        assert address is not None, (folder / "server.log").read_text()
        yield f"http://127.0.0.1:{address.rpartition(':')[2]}/pkix/"
    finally:
        server.kill()
        server.communicate()


@dataclass
class ScriptedCa:
    """Answers each message by the next of ``script``, and keeps what it was sent.

    What a function of the script returns is a body, protected as it should be, or raw bytes.
    """

    script: Sequence[Callable[[Message], PKIBody | bytes]]
    protection: Protection = MAC
    content_type: str = "application/pkixcmp"
    status: int = 200
    received: list[Message] = field(default_factory=list)
    url: str = ""

    def answer(self, data: bytes) -> bytes:
        asked = read_message(data)
        self.received.append(asked)
        found = self.script[len(self.received) - 1](asked)
        return found if isinstance(found, bytes) else self.reply(asked, found)

    def reply(self, asked: Message, body: PKIBody, **changes: Any) -> bytes:
        """A whole message that answers ``asked``, but for ``changes`` to its envelope."""
        envelope = {
            "recipient": MAC.sender,
            "transaction_id": asked.transaction_id,
            "sender_nonce": NONCE,
            "recip_nonce": asked.sender_nonce,
            "at": NOW,
        }
        return write_message(body, Envelope(**envelope | changes), self.protection)

    @contextmanager
    def serve(self) -> Iterator[ScriptedCa]:
        ca = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                asked = self.rfile.read(int(self.headers["Content-Length"]))
                assert self.headers["Content-Type"] == "application/pkixcmp"
                answer = ca.answer(asked)
                self.send_response(ca.status)
                self.send_header("Content-Type", ca.content_type)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                pass

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            server.daemon_threads = True
            thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
            thread.start()
            self.url = f"http://127.0.0.1:{server.server_port}/"
            try:
                yield self
            finally:
                server.shutdown()
                thread.join()


def granted(
    certificate: x509.Certificate, kind: str = "cp", *, cert_req_id: int = 0
) -> Callable[[Message], PKIBody]:
    """The answer that has ``certificate``."""
    der = certificate.public_bytes(Encoding.DER)
    pair = CertOrEncCert(name="certificate", value=Certificate.load(der))
    response = {
        "cert_req_id": cert_req_id,
        "status": {"status": "accepted"},
        "certified_key_pair": {"cert_or_enc_cert": pair},
    }
    return lambda _: PKIBody(name=kind, value={"response": [response]})


def status(
    name: str, *failures: str, kind: str = "cp", text: str | None = None
) -> Callable[[Message], PKIBody]:
    """The answer that has a status alone."""
    info: dict[str, Any] = {"status": name}
    if failures:
        info["fail_info"] = set(failures)
    if text is not None:
        info["status_string"] = [text]
    if kind == "rp":
        return lambda _: PKIBody(name="rp", value={"status": [info]})
    if kind == "error":
        return lambda _: PKIBody(name="error", value={"pki_status_info": info})
    response = {"cert_req_id": 0, "status": info}
    return lambda _: PKIBody(name=kind, value={"response": [response]})


def check_after(seconds: int) -> Callable[[Message], PKIBody]:
    return lambda _: PKIBody(name="poll_rep", value=[{"cert_req_id": 0, "check_after": seconds}])


def confirmed(_: Message) -> PKIBody:
    return PKIBody(name="pkiconf", value=Null())
