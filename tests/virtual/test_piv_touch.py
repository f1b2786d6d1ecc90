"""Keys that want OK: what the screen asks, who may answer, and how long."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.virtual.host import Host
from tests.virtual.piv_host import CONDITIONS, OK, P256, RSA_2048, PivHost
from ushield.iso7816.apdu import CommandApdu
from ushield.iso7816.tlv import encode
from ushield.piv.commands import DEFAULT_MANAGEMENT_KEY, Instruction
from ushield.shield.events import PanelKey
from ushield.virtual.profile import profile_names
from ushield.virtual.scheme import SCHEME

NEVER, ALWAYS, CACHED = (
    encode(0xAA, b"\x01") + encode(0xAB, bytes((policy,))) for policy in (1, 2, 3)
)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[PivHost]:
    with PivHost.create(tmp_path) as host:
        yield host


def test_ok_lets_a_key_sign_once(host: PivHost) -> None:
    host.key(0x9A, P256, ALWAYS)
    for _ in range(2):
        with host.finger(PanelKey.OK) as seen:
            assert host.sign().ok
        assert len(seen) == 1
    assert host.panel.page == 0


def test_cancel_refuses(host: PivHost) -> None:
    host.key(0x9A, P256, ALWAYS)
    with host.finger(PanelKey.CANCEL) as seen:
        assert host.sign().sw == CONDITIONS
    assert seen
    assert host.panel.page == 0


def test_the_time_to_press_ends_after_fifteen_seconds(host: PivHost) -> None:
    host.key(0x9A, P256, ALWAYS)
    clock = host.clock
    over = threading.Event()

    def wait() -> None:
        while not host.panel.page:
            time.sleep(0.002)
        clock.advance(14.9)
        assert host.panel.page == 1
        clock.advance(0.1)
        over.set()

    thread = threading.Thread(target=wait)
    thread.start()
    assert host.sign().sw == CONDITIONS
    assert over.wait(5)
    thread.join()
    assert host.panel.page == 0
    host.panel.press(PanelKey.OK)
    with host.finger(PanelKey.OK):
        assert host.sign().ok


def test_a_key_that_is_held_down_before_confirms_nothing(host: PivHost) -> None:
    host.key(0x9A, P256, ALWAYS)
    host.panel.key_down(PanelKey.OK)
    assert host.sign().sw == CONDITIONS


def test_pulling_the_token_out_ends_the_wait(host: PivHost) -> None:
    host.key(0x9A, P256, ALWAYS)

    def pull() -> None:
        while not host.panel.page:
            time.sleep(0.002)
        host.token.unplug()

    thread = threading.Thread(target=pull)
    thread.start()
    assert host.sign().sw == CONDITIONS
    thread.join()


def test_a_cached_press_serves_its_key_for_fifteen_seconds(host: PivHost) -> None:
    host.key(0x9A, P256, CACHED)
    host.key(0x9C, P256, CACHED)
    with host.finger(PanelKey.OK):
        assert host.sign().ok
    host.clock.advance(14.9)
    assert host.sign().ok
    with host.finger(PanelKey.CANCEL) as seen:
        assert host.sign(0x9C).sw == CONDITIONS
    assert seen, "a press for one key is none for another"
    host.clock.advance(0.2)
    with host.finger(PanelKey.CANCEL) as seen:
        assert host.sign().sw == CONDITIONS
    assert seen


def test_a_cached_press_is_none_for_a_new_key_in_its_slot(host: PivHost) -> None:
    host.key(0x9A, P256, CACHED)
    with host.finger(PanelKey.OK):
        assert host.sign().ok
    host.key(0x9A, P256, CACHED)
    with host.finger(PanelKey.CANCEL) as seen:
        assert host.sign().sw == CONDITIONS
    assert seen


def test_a_press_is_not_asked_for_before_the_pin_and_the_data_are_right(host: PivHost) -> None:
    host.key(0x9A, P256, encode(0xAA, b"\x02") + encode(0xAB, b"\x02"))
    assert not host.sign().ok
    host.verify()
    assert not host.sign(0x9A, b"").ok
    with host.finger(PanelKey.OK):
        assert host.sign().ok


def test_the_management_key_may_want_a_press(host: PivHost) -> None:
    host.authenticate()
    data = b"\x03\x9b\x18" + DEFAULT_MANAGEMENT_KEY
    assert host.send(Instruction.SET_MANAGEMENT_KEY, 0xFF, 0xFE, data).ok
    assert host.metadata(0x9B)[2] == b"\x00\x02"
    host.token.card.power_on()
    host.select()
    with host.finger(PanelKey.CANCEL):
        assert host.authenticate() == CONDITIONS
    assert host.generate() != OK
    with host.finger(PanelKey.OK):
        assert host.authenticate() == OK
    assert host.generate() == OK


@pytest.mark.parametrize("profile", profile_names())
def test_one_page_says_what_is_asked(tmp_path: Path, profile: str) -> None:
    with PivHost.create(tmp_path, profile=profile) as host:
        host.key(0x9A, RSA_2048, ALWAYS)
        with host.finger(PanelKey.OK) as seen:
            assert host.sign(0x9A, bytes(256), RSA_2048).ok
        (page,) = seen
        text = "".join(page)
        assert "PIV 9A" in text
        assert "1/1" in text
        assert ("签名" in text and "不显示" in text) or ("sign" in text and "not shown" in text)


def test_it_takes_the_screen_from_no_payment(tmp_path: Path) -> None:
    with Host.create(tmp_path) as shield:
        key = shield.signing_key()
        host = PivHost(shield.token)
        host.key(0x9A, P256, ALWAYS)
        shield.select()
        begun = shield.begun(key)
        pages = shield.panel.pages
        host.select()
        assert host.sign().sw == CONDITIONS
        assert shield.panel.pages == pages
        shield.select()
        shield.confirm()
        assert shield.sign(begun.request_id).ok


def test_a_press_for_it_signs_no_payment(tmp_path: Path) -> None:
    with Host.create(tmp_path) as shield:
        key = shield.signing_key()
        host = PivHost(shield.token)
        host.key(0x9A, P256, ALWAYS)
        shield.select()
        begun = shield.begun(key)
        shield.cancel(begun.request_id)
        host.select()
        with host.finger(PanelKey.OK):
            assert host.sign().ok
        request = shield.panel.state.request
        assert request is not None
        shield.select()
        for request_id in (begun.request_id, request.request_id):
            assert not shield.sign(request_id).ok


def test_a_touch_spends_no_pin_of_the_shield_and_needs_none(tmp_path: Path) -> None:
    with Host.create(tmp_path) as shield:
        host = PivHost(shield.token)
        host.key(0x9A, P256, ALWAYS)
        shield.select()
        shield.verify()
        host.select()
        with host.finger(PanelKey.OK):
            assert host.sign().ok
        shield.select()
        assert shield.ask() == OK


def test_what_may_wait_for_a_press_is_slow(host: PivHost) -> None:
    card = host.token.card
    assert card.is_slow(CommandApdu(0, Instruction.GENERAL_AUTHENTICATE, P256, 0x9A).encode())
    assert not card.is_slow(CommandApdu(0, Instruction.VERIFY, 0, 0x80).encode())


def test_over_usb_the_host_waits_behind_time_extensions(tmp_path: Path) -> None:
    with PivHost.create(tmp_path) as host:
        host.key(0x9A, P256, ALWAYS)
        command = bytes.fromhex("0087119A267C2482008120") + bytes(32) + b"\x00"
        with closing(SCHEME.open(host.token.path)) as connection:
            host.select()

            def press_late() -> None:
                while not host.panel.page:
                    time.sleep(0.002)
                time.sleep(1.2)
                host.panel.press(PanelKey.OK)

            thread = threading.Thread(target=press_late)
            thread.start()
            answer = connection.transmit(command)
            thread.join()
            assert answer.endswith(b"\x90\x00")
