"""Virtual tokens on a real kernel's USB, through real libusb."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tests.cli.conftest import PAYMENT, Enrolled, run
from tests.kernel.conftest import MakeEnrolled
from tests.kernel.guest import Guest
from tests.kernel.tokens import Plug, served
from ushield.bank.authorities.development import DevelopmentAuthority

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(240)]

PIN = "314159"


@pytest.fixture(scope="module")
def enrolled(enrol: MakeEnrolled) -> Enrolled:
    return enrol()


@pytest.fixture(scope="module")
def plug(guest: Guest, enrolled: Enrolled) -> Iterator[Plug]:
    with served(guest, enrolled.path) as plugged:
        yield plugged


def signing(enrolled: Enrolled, name: str = "new.p7s") -> list[str]:
    """The arguments that sign a payment."""
    pin = enrolled.secret(enrolled.pin)
    return ["sign", enrolled.payment(), "--pin-file", pin, "-o", str(enrolled.folder / name)]


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def accepted(signature: Path, ca: Path) -> None:
    """The bank accepts the signature, and OpenSSL does."""
    assert run("verify", str(signature), "--ca", str(ca), "--accept-virtual").exit_code == 0
    openssl = ["openssl", "cms", "-verify", "-binary", "-inform", "DER", "-in", str(signature)]
    openssl += ["-CAfile", str(ca), "-purpose", "any", "-out", "/dev/null"]
    done = subprocess.run(openssl, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_from_an_empty_token_to_a_payment_that_the_bank_accepts(guest: Guest, folder: Path) -> None:
    (folder / "pin").write_text(PIN)
    (folder / "payment.json").write_text(json.dumps(PAYMENT))
    secret = ["--pin-file", str(folder / "pin")]
    path = folder / "new.token"
    assert run("virtual", "create", str(path), *secret).exit_code == 0
    bank = DevelopmentAuthority("Test Bank")
    (folder / "ca.pem").write_bytes(bank.ca_pem)
    with served(guest, path) as plug:
        (device,) = guest.ushield("list").told()["devices"]
        assert device["spec"] == plug.spec
        assert (device["serial"], device["driver"]) == (plug.serial, "shield")
        assert device["holder"] is None

        generated = plug.ushield("key", "generate", *secret)
        assert generated.code == 0, generated
        request = folder / "request.pem"
        asking = plug.start(
            *("cert", "request", "--key", "signing", "--subject", "CN=Li Si,C=CN"),
            *("-o", str(request), *secret),
        )
        assert "Li Si" in "".join(plug.confirm())
        asked = asking.wait()
        assert asked.code == 0, asked
        issued = bank.issue(x509.load_pem_x509_csr(request.read_bytes()).public_bytes(Encoding.DER))
        (folder / "issued.pem").write_bytes(issued)
        imported = plug.ushield("cert", "import", str(folder / "issued.pem"), *secret)
        assert imported.code == 0, imported

        signature = folder / "payment.p7s"
        paying = plug.start("sign", str(folder / "payment.json"), "-o", str(signature), *secret)
        assert "张三" in "".join(plug.confirm())
        paid = paying.wait()
        assert paid.code == 0, paid
    accepted(signature, folder / "ca.pem")


def test_the_kernel_sees_a_reader_and_a_panel(plug: Plug) -> None:
    assert plug.attribute("idVendor") == "1209"
    assert plug.attribute("serial") == plug.serial
    assert plug.attribute("bNumInterfaces") == "2"
    assert plug.attribute(f"{plug.place}:1.0/bInterfaceClass") == "0b"
    assert plug.attribute(f"{plug.place}:1.1/bInterfaceClass") == "ff"


def test_the_only_token_need_not_be_named(guest: Guest, plug: Plug) -> None:
    assert guest.ushield("info").told()["serial"] == plug.serial


def test_a_token_in_use_names_who_uses_it(plug: Plug, enrolled: Enrolled) -> None:
    first = plug.start(*signing(enrolled, "held.p7s"))
    plug.request_shown()
    second = plug.ushield("info")
    assert second.code == 12
    assert second.told()["error"]["facts"] == {"pid": first.pid, "program": "ushield"}
    (device,) = plug.guest.ushield("list").told()["devices"]
    assert device["holder"] == {"pid": first.pid, "program": "ushield"}
    plug.confirm()
    assert first.wait().code == 0


@pytest.mark.parametrize("library", ["packaged", "system"])
def test_either_libusb_brings_a_payment_to_the_token_and_back(
    guest: Guest, plug: Plug, enrolled: Enrolled, library: str
) -> None:
    # Where udev seems to run, the system's own library is taken.
    udev = {"system": "mkdir -p /run/udev && touch", "packaged": "rm -f"}[library]
    assert guest.run("sh", "-c", f"{udev} /run/udev/control").code == 0
    try:
        paying = plug.start(*signing(enrolled, f"{library}.p7s"))
        plug.request_shown()
        loaded = guest.run("grep", "libusb-1.0", f"/proc/{paying.pid}/maps").out
        assert ("libusb_package" in loaded) == (library == "packaged"), loaded
        plug.confirm()
        paid = paying.wait()
        assert paid.code == 0, paid
    finally:
        guest.run("rm", "-f", "/run/udev/control")
    accepted(enrolled.folder / f"{library}.p7s", enrolled.ca)


def test_a_token_pulled_out_while_it_asks_is_told_and_works_again(
    plug: Plug, enrolled: Enrolled
) -> None:
    asking = plug.start(*signing(enrolled, "pulled.p7s"))
    plug.request_shown()
    plug.detach()
    ended = asking.wait()
    assert ended.code == 13
    assert ended.told()["error"]["code"] == "token-removed"
    assert not (enrolled.folder / "pulled.p7s").exists()
    plug.attach()
    again = plug.start(*signing(enrolled, "again.p7s"))
    plug.confirm()
    assert again.wait().code == 0
    accepted(enrolled.folder / "again.p7s", enrolled.ca)


def test_a_token_whose_power_goes_while_it_asks_is_told_and_works_again(
    plug: Plug, enrolled: Enrolled
) -> None:
    asking = plug.start(*signing(enrolled, "dead.p7s"))
    plug.request_shown()
    plug.kill()
    assert asking.wait().code == 13
    plug.gone()
    plug.serve()
    plug.attach()
    assert plug.ushield("pin", "status").code == 0


def test_pulled_out_at_every_step_of_a_payment_it_is_told_and_nothing_is_signed(
    guest: Guest, plug: Plug, enrolled: Enrolled, folder: Path
) -> None:
    story, signature = folder / "story", folder / "payment.p7s"
    before = plug.ushield("info").told()["counters"]["signatures"]
    tries = plug.ushield("pin", "status").told()["user"]["tries_left"]
    (folder / "pin").write_text(enrolled.pin)
    paying = guest.start(
        *(sys.executable, "-m", "tests.kernel.payer", plug.serial, str(folder / "pin")),
        *(enrolled.payment(), str(story), str(signature)),
    )
    told: list[str] = []

    def comes(line: str) -> None:
        told.append(line)
        eventually(lambda: paying.done.done() or (story.exists() and len(lines()) >= len(told)))
        assert lines() == told, paying.wait() if paying.done.done() else "it goes on"

    def lines() -> list[str]:
        return story.read_text().splitlines()

    steps: list[tuple[str, Callable[[], object]]] = [
        ("opened", lambda: None),
        ("logged-in", lambda: None),
        ("certificate-requested", plug.request_shown),
        ("shown", plug.request_shown),
        ("last-page", plug.read_on),
        ("confirmed", plug.confirm),
    ]
    for step, fingers in steps:
        comes(step)
        fingers()
        plug.detach()
        comes("token-removed")
        plug.attach()
    comes("let-through")
    plug.confirm()
    comes(f"1 of {before + 1}")
    assert paying.wait().code == 0
    accepted(signature, enrolled.ca)
    assert plug.ushield("pin", "status").told()["user"]["tries_left"] == tries


def test_a_process_that_lives_long_sees_tokens_come_and_go(
    guest: Guest, plug: Plug, folder: Path
) -> None:
    seen = folder / "seen"
    watching = guest.start(sys.executable, "-m", "tests.kernel.watcher", str(seen), "4")
    events: list[str] = []
    for action, kind in ((None, "+"), (plug.detach, "-"), (plug.attach, "+"), (plug.detach, "-")):
        if action is not None:
            action()
        events.append(f"{kind}{plug.spec}")
        eventually(lambda: seen.exists() and seen.read_text().split() == events)
    assert watching.wait().code == 0
    plug.attach()


def test_two_tokens_are_told_apart(
    guest: Guest, plug: Plug, enrolled: Enrolled, enrol: MakeEnrolled
) -> None:
    other = enrol()
    with served(guest, other.path) as second:
        listed = guest.ushield("list").told()["devices"]
        assert {device["serial"] for device in listed} == {plug.serial, second.serial}
        several = guest.ushield("info")
        assert several.code == 11
        assert set(several.told()["error"]["facts"]["candidates"]) == {plug.spec, second.spec}
        one = plug.start(*signing(enrolled, "two.p7s"))
        two = second.start(*signing(other, "two.p7s"))
        plug.confirm()
        second.confirm()
        assert (one.wait().code, two.wait().code) == (0, 0)
        named = guest.ushield("--token", second.serial, "info")
        assert named.told()["serial"] == second.serial
    accepted(enrolled.folder / "two.p7s", enrolled.ca)
    accepted(other.folder / "two.p7s", other.ca)
