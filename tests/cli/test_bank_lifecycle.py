"""``ushield bank enrol``, ``unblock``, ``renew``, ``due``: what each refusal costs and says."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import run, told

PIN, NEW_PIN = "135790", "2468135"


@dataclass
class Counter:
    """A bank with a CA of its own, and a customer's token with a key, both in ``folder``."""

    folder: Path

    def path(self, name: str) -> str:
        return str(self.folder / name)

    def bank(self, code: int, command: str, *arguments: str) -> dict[str, Any]:
        result = run("--json", "bank", *command.split(), *arguments, "--bank", self.path("bank"))
        assert result.exit_code == code, result.stderr
        facts = told(result)
        found: dict[str, Any] = facts["error"] if code else facts
        return found

    def token(self, *arguments: str) -> dict[str, Any]:
        result = run("--json", "--token", f"virtual:{self.path('token')}", *arguments)
        assert result.exit_code == 0, result.stderr
        return told(result)

    def secret(self, name: str, text: str) -> str:
        (self.folder / name).write_text(text + "\n")
        return self.path(name)

    def certify(self, code: int, registration_code: str, *options: str) -> dict[str, Any]:
        files = [self.path("alice.csr"), self.path("attestation.pem")]
        code_file = self.secret("code.txt", registration_code)
        out = ["-o", self.path("alice.pem"), "--code-file", code_file]
        return self.bank(code, "enrol certify", *files, *out, *options)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Counter:
    counter = Counter(tmp_path_factory.mktemp("counter"))
    own = ["--own-ca", "Example Bank", "--accept-virtual"]
    assert run("bank", "init", counter.path("bank"), *own).exit_code == 0
    pin = counter.secret("pin.txt", PIN)
    options = ["--serial", "V1", "--pin-file", pin, "--device-certificate"]
    options += [counter.path("bank/makers.pem"), "--unblock-key"]
    options += [counter.path("bank/unblock-public.pem")]
    assert run("virtual", "create", counter.path("token"), *options).exit_code == 0
    model = counter.token("info")["model"]
    with (counter.folder / "bank" / "bank.toml").open("a") as stream:
        stream.write(f'\n[attestation]\nmakers = "makers.pem"\nmodels = ["{model}"]\n')
    counter.token("key", "generate", "--algorithm", "p256", "--label", "k", "--pin-file", pin)
    asked = ["--subject", "CN=victim", "-o", counter.path("alice.csr"), "--virtual-press", "ok"]
    counter.token("cert", "request", "--key", "k", *asked, "--pin-file", pin)
    counter.token("key", "attest", "k", "-o", counter.path("attestation.pem"))
    return counter


def test_a_code_of_another_customer_s_token_is_refused_and_a_right_one_repeats(
    made: Counter,
) -> None:
    registered = made.bank(0, "enrol register", "alice", "--serial", "V2")
    assert made.certify(42, registered["code"])["facts"]["reason"] == "token-mismatch"
    made.bank(0, "enrol show", registered["enrolment"], "--withdraw")
    assert made.certify(40, registered["code"])["facts"]["reason"] == "void"
    assert made.certify(40, "not a code")["facts"]["reason"] == "wrong"
    assert not (made.folder / "alice.pem").exists()
    registered = made.bank(0, "enrol register", "alice", "--serial", "V1")
    issued = made.certify(0, registered["code"])
    first = (made.folder / "alice.pem").read_bytes()
    assert made.certify(0, registered["code"], "--force") == issued
    assert (made.folder / "alice.pem").read_bytes() == first
    due = made.bank(0, "due")["due"]
    assert [each["kind"] for each in due] == ["certificate-unconfirmed"]
    made.bank(0, "enrol confirm", registered["enrolment"], made.path("alice.pem"))
    assert made.bank(0, "due")["due"] == []
    assert made.bank(0, "enrol resume")["enrolments"] == []
    assert made.bank(50, "enrol show", "nothing")["code"] == "enrolment-unknown"


def test_files_that_are_something_else_are_told(made: Counter) -> None:
    code = made.secret("some-code.txt", "0" * 20)
    for files, problem in (
        (("attestation.pem", "attestation.pem"), "certificate-request-invalid"),
        (("alice.csr", "alice.csr"), "certificate-invalid"),
    ):
        paths = [made.path(each) for each in files]
        out = ["-o", made.path("none.pem"), "--code-file", code]
        assert made.bank(50, "enrol certify", *paths, *out)["code"] == problem
    made.secret("challenge.txt", "no hexadecimal")
    refused = made.bank(50, "unblock request", "alice", made.path("challenge.txt"), "--by", "wang")
    assert refused["code"] == "file-failed"


def test_a_pin_is_unblocked_while_the_token_waits_for_the_answer(made: Counter) -> None:
    new = made.secret("new-pin.txt", NEW_PIN)
    challenge, answer = made.path("asked.txt"), made.path("answer.txt")
    command = ["pin", "unblock-remote", "--challenge", challenge, "--answer", answer]
    waiting = threading.Thread(target=made.token, args=(*command, "--new-pin-file", new))
    waiting.start()
    deadline = time.monotonic() + 30
    while not Path(challenge).exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    asked = made.bank(0, "unblock request", "alice", challenge, "--by", "wang")
    approve = ("unblock approve", asked["request"], "-o", answer)
    assert made.bank(42, *approve, "--by", "wang")["facts"]["reason"] == "same-clerk"
    assert not Path(answer).exists()
    made.bank(0, *approve, "--by", "zhao")
    waiting.join(timeout=30)
    made.token("pin", "verify", "--pin-file", new)
    denied = made.bank(50, "unblock deny", asked["request"], "--by", "li")
    assert denied["facts"]["state"] == "approved"
    assert made.bank(0, "unblock show", asked["request"])["decided_by"] == "zhao"


def test_an_answer_that_does_not_come_is_not_waited_for_for_ever(made: Counter) -> None:
    new = made.secret("new-pin.txt", NEW_PIN)
    files = ["--challenge", made.path("late.txt"), "--answer", made.path("never.txt")]
    command = ["pin", "unblock-remote", *files, "--timeout", "0.1", "--new-pin-file", new]
    result = run("--token", f"virtual:{made.path('token')}", *command)
    assert result.exit_code == 31
    Path(made.path("never.txt")).touch()
    result = run("--token", f"virtual:{made.path('token')}", *command)
    assert result.exit_code == 2


def test_a_bank_of_an_earlier_version_gets_its_unblock_key(tmp_path: Path) -> None:
    folder = tmp_path / "bank"
    assert run("bank", "init", str(folder), "--own-ca", "Example Bank").exit_code == 0
    (folder / "unblock-key.pem").unlink()
    assert run("bank", "init", str(folder)).exit_code == 0
    assert (folder / "unblock-key.pem").stat().st_mode & 0o777 == 0o600
    result = run("bank", "enrol", "register", "alice", "--bank", str(folder))
    assert result.exit_code == 50
    assert "[attestation]" in result.stderr
