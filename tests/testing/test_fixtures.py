"""The fixtures that the package brings, as a bank's integration tests would use them."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest

from ushield.algorithms import KeyAlgorithm
from ushield.bank import TrustStore, verify_transaction
from ushield.errors import PinLocked, Rejected, TimedOut, TokenRemoved
from ushield.shield.events import PanelKey
from ushield.testing.panel import PanelDriver, PanelMismatch, labels_of
from ushield.testing.token import VirtualTokenUnderTest, replay
from ushield.transaction import Money, Transaction, from_json
from ushield.virtual.clock import ManualClock
from ushield.virtual.usb import Direction, FaultKind, UsbFaults

PAYMENT = {
    "kind": "transfer",
    "payer": {"name": "李四", "account": "6222020200112233445"},
    "payee": {"name": "张三", "account": "6222021001098765432", "bank": "中国工商银行北京分行"},
    "amount": "1234.56",
    "currency": "CNY",
    "challenge": "9f3c5b8e21d74a06",
}


@pytest.fixture
def transfer() -> Transaction:
    return from_json(PAYMENT)


def test_a_payment_is_signed_after_ok_on_the_expected_screen(
    virtual_token: VirtualTokenUnderTest, panel: PanelDriver, transfer: Transaction
) -> None:
    with virtual_token.open() as token, token.session(virtual_token.pin) as session:
        pending = session.sign(transfer)
        panel.expect(payee="张三", amount="1,234.56").press_ok()
        signature = pending.result(timeout=10)
    trust = TrustStore.load(virtual_token.authority.ca_pem)
    assert verify_transaction(signature.der, trust, accept_virtual=True).transaction == transfer


@pytest.mark.parametrize(
    "expected",
    [
        {"payee": "张三丰"},
        {"amount": "1,234.57"},
        {"amount": "1,234.56 USD"},
        {"payee_account": "6222021001098765433"},
        {"memo": "房租"},
        {"kind": "登录"},
    ],
)
def test_no_key_is_pressed_if_the_screen_shows_something_else(
    virtual_token: VirtualTokenUnderTest, transfer: Transaction, expected: dict[str, str]
) -> None:
    panel = virtual_token.panel
    with virtual_token.open() as token, token.session(virtual_token.pin) as session:
        session.sign(transfer)
        before = virtual_token.virtual.panel.state
        with pytest.raises(PanelMismatch):
            panel.expect(**expected)
        assert virtual_token.virtual.panel.state == before


def test_an_expectation_does_not_outlive_its_screen(
    virtual_token: VirtualTokenUnderTest, transfer: Transaction
) -> None:
    panel = virtual_token.panel
    with virtual_token.open() as token, token.session(virtual_token.pin) as session:
        pending = session.sign(transfer)
        expectation = panel.expect(payee="张三")
        pending.cancel()
        with pytest.raises(PanelMismatch, match="changed"):
            expectation.press_ok()
        with pytest.raises(PanelMismatch, match="no request"):
            panel.expect(payee="张三")


def test_expecting_nothing_or_an_unknown_field_is_a_mistake(panel: PanelDriver) -> None:
    with pytest.raises(TypeError, match="say what"):
        panel.expect()
    with pytest.raises(TypeError, match="no screen shows a field 'payeee'"):
        panel.expect(payeee="张三")
    assert labels_of("payee_account") == {"收款账号"}


def test_c_rejects(
    virtual_token: VirtualTokenUnderTest, panel: PanelDriver, transfer: Transaction
) -> None:
    with virtual_token.open() as token, token.session(virtual_token.pin) as session:
        pending = session.sign(transfer)
        panel.expect(payee="张三").press_cancel()
        with pytest.raises(Rejected):
            pending.result(timeout=10)


def test_the_clock_is_moved_by_the_test(
    virtual_token: VirtualTokenUnderTest, token_clock: ManualClock, transfer: Transaction
) -> None:
    with virtual_token.open() as token, token.session(virtual_token.pin) as session:
        pending = session.sign(transfer)
        token_clock.advance(token.info.timeout)
        with pytest.raises(TimedOut):
            pending.result(timeout=10)


def test_pages_are_turned_and_keys_held(
    virtual_token: VirtualTokenUnderTest, transfer: Transaction
) -> None:
    panel = virtual_token.panel
    idle = panel.screen
    with virtual_token.open() as token, token.session(virtual_token.pin) as session:
        pending = session.sign(transfer)
        first = panel.screen
        panel.page_down()
        assert panel.screen == panel.pages[1] != first
        panel.page_up()
        assert panel.screen == first
        panel.hold(PanelKey.OK)
        panel.release(PanelKey.OK)
        assert not pending.over
        panel.press_cancel()
        with pytest.raises(Rejected):
            pending.result(timeout=10)
    assert panel.screen == idle


def test_faults_are_ordered_on_its_transfers(
    virtual_token: VirtualTokenUnderTest, usb_faults: UsbFaults
) -> None:
    with virtual_token.open() as token:
        usb_faults.order(FaultKind.UNPLUG, Direction.OUT)
        with pytest.raises(TokenRemoved):
            _ = token.pin.tries_left
    virtual_token.plug()
    with virtual_token.open() as token:
        assert token.pin.tries_left == 6


def test_the_factory_makes_tokens_of_any_state(
    virtual_token_factory: Callable[..., VirtualTokenUnderTest],
) -> None:
    locked = virtual_token_factory(algorithm=None, tries_left=0)
    other = virtual_token_factory(profile="lenient", algorithm=KeyAlgorithm.P384, pin="975310")
    with locked.open() as token, pytest.raises(PinLocked):
        token.session(locked.pin)
    with other.open() as token, token.session(other.pin) as session:
        assert token.pin.max_tries == 3
        assert session.certificates(label="signing").one()


def test_a_trace_replays_the_token_without_its_pin_in_it(
    virtual_token: VirtualTokenUnderTest,
    panel: PanelDriver,
    transfer: Transaction,
    tmp_path: Path,
) -> None:
    stream = io.StringIO()

    with virtual_token.record(stream) as token, token.session(virtual_token.pin) as session:
        pending = session.sign(transfer)
        panel.expect(payee="张三").press_ok()
        recorded = pending.result(timeout=10)
    assert virtual_token.pin.encode().hex() not in stream.getvalue()
    path = tmp_path / "trace.jsonl"
    path.write_text(stream.getvalue(), encoding="utf-8")

    with replay(path) as token, token.session("000111222333"[: len(virtual_token.pin)]) as session:
        assert session.sign(transfer).result(timeout=10).der == recorded.der


def test_money_of_the_model_reads_as_the_screen_shows_it(transfer: Transaction) -> None:
    assert Money.parse("1234.56", "CNY").display == "1,234.56 CNY"
