"""``ushield virtual serve``, ``press`` and ``screen``: a token for other programs."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest
from usbip.host import Connection
from usbip.transport import USBIP

from tests.cli.conftest import USHIELD, Enrolled, run, told
from tests.cli.test_terminal import CTRL_C, terminal
from ushield.virtual.token import VirtualToken


class Served:
    """``ushield virtual serve`` in a process of its own, at a free port."""

    def __init__(self, enrolled: Enrolled, *more: str) -> None:
        self.process = subprocess.Popen(
            [*USHIELD, "--json", "virtual", "serve", str(enrolled.path), *more],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.facts: dict[str, Any] = json.loads(self.process.stdout.readline())

    @property
    def address(self) -> tuple[str, int]:
        return self.facts["usbip"]["host"], self.facts["usbip"]["port"]


@contextmanager
def serving(enrolled: Enrolled) -> Iterator[Served]:
    served = Served(enrolled, "--usbip", "127.0.0.1:0")
    try:
        yield served
    finally:
        served.process.kill()
        served.process.communicate()


@pytest.fixture
def served(enrolled: Enrolled) -> Iterator[Served]:
    with serving(enrolled) as running:
        yield running


def test_its_usb_device_can_be_attached(served: Served, enrolled: Enrolled) -> None:
    host = Connection(USBIP(*served.address).connect())
    with closing(host):
        assert host.import_device(served.facts["usbip"]["bus_id"])["idVendor"] == 0x1209


def test_its_screen_is_seen_and_its_keys_are_pressed(served: Served, enrolled: Enrolled) -> None:
    seen = run("virtual", "screen", str(enrolled.path))
    assert served.facts["serial"] in seen.stdout
    pressed = told(run("--json", "virtual", "press", str(enrolled.path), "down", "up", "cancel"))
    assert pressed["serial"] == served.facts["serial"]
    assert pressed["screen"] == ["虚拟U盾", served.facts["serial"], "", ""]
    assert (pressed["page"], pressed["pages"]) == (0, 0)
    assert run("virtual", "press", str(enrolled.path), "power").exit_code == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_it_ends_cleanly_when_told_to(
    served: Served, enrolled: Enrolled, number: signal.Signals
) -> None:
    host = Connection(USBIP(*served.address).connect())
    with closing(host):
        host.import_device()
        served.process.send_signal(number)
        out, err = served.process.communicate(timeout=30)
        assert (served.process.returncode, out, err) == (0, "", "")
        assert host.sock.recv(1) == b""
    assert run("virtual", "screen", str(enrolled.path)).exit_code == 10
    with VirtualToken.open(enrolled.path):
        pass
    with serving(enrolled) as again:
        assert again.facts["serial"] == served.facts["serial"]


def test_a_token_in_use_is_not_served(served: Served, enrolled: Enrolled) -> None:
    result = run("--json", "virtual", "serve", str(enrolled.path), "--usbip", "127.0.0.1:0")
    assert result.exit_code == 12
    assert told(result)["error"]["facts"]["pid"] == served.process.pid


def test_an_address_in_use_is_told(enrolled: Enrolled) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        result = run("--json", "virtual", "serve", str(enrolled.path), "--usbip", address)
    assert result.exit_code == 50
    error = told(result)["error"]
    assert (error["code"], error["facts"]) == ("address-unavailable", {"address": address})


@pytest.mark.parametrize("address", ["3240", "localhost", ":3240", "localhost:x", "[::1]:65536"])
def test_an_address_is_a_host_and_a_port(enrolled: Enrolled, address: str) -> None:
    assert run("virtual", "serve", str(enrolled.path), "--usbip", address).exit_code == 2


def test_a_token_that_nobody_serves_has_no_screen(enrolled: Enrolled) -> None:
    result = run("--json", "virtual", "press", str(enrolled.path), "ok")
    assert result.exit_code == 10
    assert told(result)["error"]["code"] == "token-not-served"


def test_a_terminal_shows_the_panel_and_gets_its_settings_back(enrolled: Enrolled) -> None:
    path = str(enrolled.path)
    with terminal("virtual", "serve", path, "--usbip", "127.0.0.1:0") as opened:
        opened.expect("Serving the virtual token")
        opened.expect("虚拟U盾")
        opened.expect("Ctrl-C: end")
        assert run("virtual", "screen", path).exit_code == 0
        opened.type(CTRL_C)
        assert opened.exit_code() == 0
        assert opened.settings() == opened.before


def test_the_default_is_this_machine_only() -> None:
    result = run("virtual", "serve", "--help")
    assert "127.0.0.1:3240" in result.stdout


def test_it_comes_as_a_card_to_a_reader_that_listens(enrolled: Enrolled) -> None:
    with socket.create_server(("127.0.0.1", 0)) as reader:
        port = reader.getsockname()[1]
        served = Served(enrolled, "--vpcd", f"127.0.0.1:{port}")
        try:
            assert served.facts["vpcd"] == {"host": "127.0.0.1", "port": port}
            card, _ = reader.accept()
            with card:
                card.sendall(b"\x00\x01\x04")
                assert card.recv(64)[2] == 0x3B, "an ATR"
                view = told(run("--json", "virtual", "screen", str(enrolled.path)))
                assert view["path"] == str(enrolled.path)
            _, error = served.process.communicate(timeout=20)
        finally:
            served.process.kill()
            served.process.communicate()
    assert served.process.returncode == 13
    assert "is gone" in error


def test_where_no_reader_listens_it_says_what_to_start(enrolled: Enrolled) -> None:
    with socket.create_server(("127.0.0.1", 0)) as reader:
        port = reader.getsockname()[1]
    answer = run("virtual", "serve", str(enrolled.path), "--vpcd", f"127.0.0.1:{port}")
    assert answer.exit_code == 50
    assert "pcscd" in answer.stderr


def test_it_is_a_device_or_a_card_but_not_both(enrolled: Enrolled) -> None:
    both = ("--vpcd", "127.0.0.1:1", "--usbip", "127.0.0.1:0")
    answer = run("virtual", "serve", str(enrolled.path), *both)
    assert "exclude each other" in answer.stderr
