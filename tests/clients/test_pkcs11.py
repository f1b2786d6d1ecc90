"""Programs on top of OpenSC's PKCS #11 module: python-pkcs11, a TLS client, ssh."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.clients.conftest import (
    INSTALL,
    OPENSC,
    PIN,
    Card,
    debian_version,
    python_version,
)

pytestmark = pytest.mark.clients
Tell = Callable[[str, str], None]

SIGN = """
import sys
from pathlib import Path

import pkcs11
from pkcs11 import Attribute, KeyType, Mechanism, ObjectClass
from pkcs11.util.ec import encode_ecdsa_signature

module, pin, folder = sys.argv[1], sys.stdin.readline().strip(), Path(sys.argv[2])
data = (folder / "data").read_bytes()
(token,) = pkcs11.lib(module).get_tokens()
with token.open(user_pin=pin) as session:
    certificates = list(session.get_objects({Attribute.CLASS: ObjectClass.CERTIFICATE}))
    for certificate in certificates:
        identity = certificate[Attribute.ID]
        key = session.get_key(object_class=ObjectClass.PRIVATE_KEY, id=identity)
        if key.key_type is KeyType.EC:
            signature = key.sign(data, mechanism=Mechanism.ECDSA_SHA256)
            signature = encode_ecdsa_signature(signature)
        else:
            signature = key.sign(data, mechanism=Mechanism.SHA256_RSA_PKCS, pin=pin)
        name = identity.hex()
        (folder / f"{name}.der").write_bytes(certificate[Attribute.VALUE])
        (folder / f"{name}.signature").write_bytes(signature)
        print(name)
"""


def test_python_pkcs11_finds_the_certificates_and_signs(enrolled: Card, version: Tell) -> None:
    version("python-pkcs11", python_version("python-pkcs11"))
    version("opensc", debian_version("opensc"))
    version("openssl", debian_version("openssl"))
    (enrolled.folder / "data").write_bytes(b"what is signed" * 100)
    script = (sys.executable, "-c", SIGN, OPENSC, str(enrolled.folder))
    found = enrolled.run(*script, stdin=PIN + "\n").split()
    assert sorted(found) == ["01", "02"]
    for name in found:
        public = ("-in", f"{name}.der", "-inform", "DER", "-pubkey", "-noout", "-out", "public.pem")
        enrolled.run("openssl", "x509", *public)
        verify = ("-sha256", "-verify", "public.pem", "-signature", f"{name}.signature", "data")
        assert "Verified OK" in enrolled.run("openssl", "dgst", *verify)


@contextmanager
def running(command: Sequence[str], folder: Path, says: str) -> Iterator[tuple[str, Path]]:
    """A server that has said ``says``, a pattern; what stood in its group, and its log."""
    log = folder / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.PIPE, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        for _ in range(400):
            found = re.search(says, log.read_text(errors="replace"))
            if found or process.poll() is not None:
                break
            time.sleep(0.05)
        assert found, log.read_text(errors="replace")
        yield found.group(1), log
    finally:
        process.terminate()
        process.wait(20)


def test_a_tls_client_logs_in_with_the_key_on_the_card(enrolled: Card, version: Tell) -> None:
    version("gnutls-bin", debian_version("gnutls-bin"))
    version("openssl", debian_version("openssl"))
    folder = enrolled.folder
    request = ("-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    name = ("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost")
    enrolled.run("openssl", "req", *request, *name, "-keyout", "server.key", "-out", "server.pem")
    enrolled.run("pkcs11-tool", "--read-object", "--type", "cert", "--id", "01", "-o", "9a.der")
    enrolled.run("openssl", "x509", "-inform", "DER", "-in", "9a.der", "-out", "9a.pem")
    server = [
        *("openssl", "s_server", "-accept", "127.0.0.1:0", "-key", "server.key"),
        *("-cert", "server.pem", "-CAfile", "9a.pem", "-Verify", "1", "-verify_return_error"),
    ]
    client = ("gnutls-cli", "--x509cafile", "server.pem", "--logfile", "client.log")
    with running(server, folder, r"ACCEPT 127\.0\.0\.1:(\d+)") as (port, log):
        at = ("--port", port, "localhost")
        enrolled.run(*client, *at, status=1, stdin="without a certificate\n")
        mine = (
            *("--provider", OPENSC, "--x509certfile", "pkcs11:id=%01;type=cert"),
            *("--x509keyfile", f"pkcs11:id=%01;type=private?pin-value={PIN}"),
        )
        enrolled.run(*client, *mine, *at, stdin="paid by card\n")
        story = log.read_text(errors="replace")
    assert "peer did not return a certificate" in story
    assert "without a certificate" not in story
    assert "subject=CN = 9a" in story
    assert story.count("verify return:1") == 1
    assert "paid by card" in story


SSHD = """
ListenAddress 127.0.0.1
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/authorized_keys
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
"""


def test_ssh_logs_in_with_the_key_on_the_card(enrolled: Card, version: Tell) -> None:
    sshd = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
    if sshd is None:
        pytest.skip(f"no sshd here; {INSTALL}")
    version("openssh-client", debian_version("openssh-client"))
    version("openssh-server", debian_version("openssh-server"))
    folder = enrolled.folder
    Path("/run/sshd").mkdir(exist_ok=True)
    enrolled.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "host_key")
    keys = enrolled.run("ssh-keygen", "-D", OPENSC)
    (folder / "authorized_keys").write_text(
        "".join(line + "\n" for line in keys.splitlines() if line.startswith("ecdsa-"))
    )
    (folder / "sshd_config").write_text(SSHD.format(folder=folder))
    port = enrolled.free_port()
    askpass = folder / "askpass"
    askpass.write_text(f"#!/bin/sh\necho {PIN}\n")
    askpass.chmod(0o700)
    server = [sshd, "-D", "-e", "-f", str(folder / "sshd_config"), "-p", str(port)]
    options = (
        *("-F", "none", "-p", str(port), "-o", f"UserKnownHostsFile={folder}/known_hosts"),
        *("-o", "StrictHostKeyChecking=accept-new", "-o", "IdentityAgent=none"),
        *("-o", "IdentityFile=none"),
    )
    with running(server, folder, r"listening on 127\.0\.0\.1 port (\d+)"):
        where = ("root@127.0.0.1", "echo let in")
        asking = {"SSH_ASKPASS": str(askpass), "SSH_ASKPASS_REQUIRE": "force"}
        refused = enrolled.run("ssh", *options, *where, status=255)
        assert "Permission denied" in refused
        card = ("-o", f"PKCS11Provider={OPENSC}")
        assert "let in" in enrolled.run("ssh", *options, *card, *where, environment=asking)
