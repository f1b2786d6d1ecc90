"""Tokens that are plugged in: found, used without being named, pressed by a person's finger."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.cli.conftest import Enrolled, run, told
from ushield.shield.events import PanelKey
from ushield.transport.usb import scheme
from ushield.virtual.token import VirtualToken


@pytest.fixture
def plugged(enrolled: Enrolled, monkeypatch: pytest.MonkeyPatch) -> Iterator[VirtualToken]:
    """The enrolled token, on what this process takes for the machine's own USB."""
    with VirtualToken.open(enrolled.path) as token:
        monkeypatch.setattr(scheme, "usb_backend", lambda: token.backend)
        yield token


def test_a_machine_without_usb_has_an_empty_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheme, "usb_backend", lambda: None)
    result = run("list")
    assert result.exit_code == 0
    assert "Nothing found" in result.stdout
    assert told(run("--json", "list")) == {"devices": []}
    assert run("info").exit_code == 10


def test_what_is_plugged_in_is_listed_with_its_driver(plugged: VirtualToken) -> None:
    (device,) = told(run("list", "--json"))["devices"]
    assert device["spec"].startswith("usb:")
    assert device["vendor_id"] == plugged.profile.vendor_id
    assert device["driver"] == "shield"
    assert device["holder"] is None
    assert device["spec"] in run("list").stdout


def test_the_only_token_need_not_be_named(plugged: VirtualToken) -> None:
    result = run("--json", "info")
    assert result.exit_code == 0
    assert told(result)["serial"] == plugged.serial


def test_several_tokens_want_one_named(
    plugged: VirtualToken, enrolled: Enrolled, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ushield.virtual.create import create_token
    from ushield.virtual.usb import VirtualBackend

    path = enrolled.folder / "other.token"
    create_token(path)
    with VirtualToken.open(path) as other:
        bus = VirtualBackend([plugged.device, other.device])
        monkeypatch.setattr(scheme, "usb_backend", lambda: bus)
        result = run("--json", "info")
        assert result.exit_code == 11
        candidates = told(result)["error"]["facts"]["candidates"]
        assert len(candidates) == 2
        serials = {told(run("--json", "--token", spec, "info"))["serial"] for spec in candidates}
        assert serials == {plugged.serial, other.serial}


def press_when_shown(token: VirtualToken, *keys: PanelKey) -> None:
    deadline = time.monotonic() + 30
    while not token.panel.pages and time.monotonic() < deadline:
        time.sleep(0.01)
    for key in keys:
        token.panel.press(key)


@pytest.mark.parametrize(("last", "code"), [(PanelKey.OK, 0), (PanelKey.CANCEL, 30)])
def test_a_payment_is_confirmed_by_a_finger_on_the_token(
    plugged: VirtualToken, enrolled: Enrolled, last: PanelKey, code: int
) -> None:
    arguments = ["sign", enrolled.payment(), "-o", str(enrolled.folder / "new.p7s")]
    arguments += ["--pin-file", enrolled.secret(enrolled.pin)]
    with ThreadPoolExecutor() as finger:
        pressing = finger.submit(press_when_shown, plugged, *[PanelKey.DOWN] * 20, last)
        result = run(*arguments)
        pressing.result()
    assert result.exit_code == code, result.stderr
    assert "on the token's screen, then press OK there" in result.stdout


def test_a_token_pulled_out_while_it_asks_is_told(
    plugged: VirtualToken, enrolled: Enrolled
) -> None:
    def pull() -> None:
        press_when_shown(plugged)
        plugged.unplug()

    arguments = ["sign", enrolled.payment(), "-o", str(enrolled.folder / "new.p7s")]
    arguments += ["--pin-file", enrolled.secret(enrolled.pin)]
    with ThreadPoolExecutor() as hand:
        pulling = hand.submit(pull)
        assert run(*arguments).exit_code == 13
        pulling.result()
    plugged.plug()
    assert run("pin", "status").exit_code == 0
