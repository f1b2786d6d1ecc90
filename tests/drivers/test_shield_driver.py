"""Opening, resetting and closing a token with the shield driver, and tokens that misbehave."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.drivers.bench import PIN, Bench, message
from tests.iso7816.connections import EXTENDED, SHORT, DirectConnection, scripted, to_card
from tests.shield.strategies import application_infos
from ushield.algorithms import HashAlgorithm, KeyAlgorithm
from ushield.drivers.base import Capability, DriverFactory, KeyUsage, TokenDriver
from ushield.drivers.shield import ShieldDriver
from ushield.errors import (
    ApduInvalid,
    CapabilityMissing,
    DisplayRefused,
    LoginRequired,
    NoDriver,
    ProtocolViolation,
    StatusWordError,
    TlvInvalid,
    TokenRemoved,
    UShieldError,
)
from ushield.iso7816.replay import ReplayConnection
from ushield.iso7816.trace import TraceHeader, TraceWriter, read_trace
from ushield.pin import Pin, PinReference, PinRules
from ushield.shield.application import ApplicationInfo, ScreenInfo
from ushield.shield.commands import Feature, Instruction
from ushield.shield.requests import DisplayRefusal, RefusalReason
from ushield.transport.connection import ApduLimits, DeviceInfo
from ushield.virtual.card import Card
from ushield.virtual.create import describe_token

APPLICATION = ApplicationInfo(
    protocol=(1, 0),
    firmware=(1, 2, 3),
    manufacturer="ushield",
    model="S1",
    serial="S-1",
    label="",
    features=Feature(0x3F),
    screen=ScreenInfo(4, 16, "gbk"),
    pin_rules=PinRules(),
    max_message=4096,
    max_keys=16,
    max_certificate=8192,
    timeout=60,
)
DEVICE = DeviceInfo("usb:1-1", vendor_id=0x1209, product_id=0x0001)


class PanelConnection(DirectConnection):
    """A connection with a panel that reports one thing.

    ``holds`` counts how often it was taken; within one hold, others count for nothing.
    """

    report: bytes | None = None
    holds = 0
    _depth = 0

    def __init__(self, transmit: Callable[[bytes], bytes]) -> None:
        super().__init__(transmit)
        self.has_panel = True

    @contextmanager
    def hold(self, timeout: float | None = None) -> Iterator[None]:
        with super().hold(timeout):
            self.holds += not self._depth
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1

    def read_panel(self, timeout: float) -> bytes | None:
        return self.report


def opened(
    answer: Callable[[bytes], bytes], application: ApplicationInfo = APPLICATION
) -> tuple[ShieldDriver, PanelConnection]:
    """A driver whose token told ``application``, and from then on gives ``answer``."""
    selected = False

    def transmit(command: bytes) -> bytes:
        nonlocal selected
        if not selected:
            selected = True
            return application.encode() + b"\x90\x00"
        return answer(command)

    connection = PanelConnection(transmit)
    driver = ShieldDriver.probe(connection)
    assert driver is not None
    connection.commands.clear()
    return driver, connection


CALLS: dict[str, Callable[[TokenDriver], Any]] = {
    "pin_states": lambda driver: driver.pin_states(),
    "keys": lambda driver: driver.keys(),
    "generate_key": lambda driver: driver.generate_key(KeyAlgorithm.P256, KeyUsage.DISPLAY, "k"),
    "certificates": lambda driver: driver.certificates(),
    "read_certificate": lambda driver: driver.read_certificate(1),
    "write_certificate": lambda driver: driver.write_certificate(b"der", "c"),
    "sign_digest": lambda driver: driver.sign_digest(1, HashAlgorithm.SHA256, bytes(32)),
    "begin": lambda driver: driver.begin(1, b"message"),
    "begin_certification_request": lambda driver: driver.begin_certification_request(1, b"name"),
    "request_state": lambda driver: driver.request_state(bytes(8)),
    "finish": lambda driver: driver.finish(bytes(8)),
    "vouchers": lambda driver: list(driver.vouchers()),
    "attest": lambda driver: driver.attest(1),
    "device_certificate": lambda driver: driver.device_certificate(),
    "unblock_challenge": lambda driver: driver.unblock_challenge(),
}
SILENT_CALLS: dict[str, Callable[[TokenDriver], Any]] = {
    "verify_pin": lambda driver: driver.verify_pin(Pin(PIN)),
    "logout": lambda driver: driver.logout(),
    "change_pin": lambda driver: driver.change_pin(PinReference.USER, Pin(PIN), Pin("917402")),
    "unblock_pin": lambda driver: driver.unblock_pin(Pin("91740263"), Pin(PIN)),
    "unblock_by_bank": lambda driver: driver.unblock_by_bank(b"signature", Pin(PIN)),
    "delete_certificate": lambda driver: driver.delete_certificate(1),
    "cancel": lambda driver: driver.cancel(bytes(8)),
}
ALL_CALLS = CALLS | SILENT_CALLS


class TestProbe:
    def test_the_driver_is_a_factory_and_makes_drivers(self, bench: Bench) -> None:
        factory: DriverFactory = ShieldDriver
        driver = factory.probe(bench.connection)
        assert isinstance(driver, ShieldDriver)
        assert factory.name == driver.info.driver == "shield"

    def test_the_token_tells_what_it_is(self, bench: Bench) -> None:
        info, profile = bench.driver.info, bench.token.profile
        assert (info.serial, info.label, info.model) == ("V-1", "招商", "Shield S1 (virtual)")
        assert info.firmware == ".".join(map(str, profile.firmware))
        assert info.pin_rules == profile.pin_rules
        assert info.screen == profile.screen
        assert (info.max_message, info.timeout) == (profile.max_message, profile.timeout)
        assert info.virtual
        assert info.capabilities == set(Capability) - {
            Capability.REMOTE_UNBLOCK,
            Capability.MANAGEMENT_KEY,
        }

    def test_probing_selects_in_the_clear_and_in_the_channel_and_changes_nothing(
        self, bench: Bench, tmp_path: Path
    ) -> None:
        before = describe_token(tmp_path / "token0")
        bench.exchanges.clear()
        for _ in range(5):
            assert ShieldDriver.probe(bench.connection) is not None
        assert [exchange.command[:4] for exchange in bench.exchanges] == [b"\x00\xa4\x04\x00"] * 10
        assert describe_token(tmp_path / "token0") == before

    @pytest.mark.parametrize(
        "answer",
        [
            b"\x6a\x82",
            b"\x6d\x00",
            b"\x90\x00",  # some cards accept any SELECT
            b"\x6f\x0a\x84\x08\xa0\x00\x00\x03\x08\x00\x00\x10\x90\x00",
        ],
    )
    def test_another_card_is_left_alone(self, answer: bytes) -> None:
        connection = scripted([answer])
        assert ShieldDriver.probe(connection) is None
        assert len(connection.commands) == 1
        assert connection.closed == 0

    def test_a_card_os_without_the_applet_is_another_card(self) -> None:
        assert ShieldDriver.probe(to_card(Card([]))) is None

    @pytest.mark.parametrize("cut", range(12, len(APPLICATION.encode()), 7))
    def test_an_applet_that_tells_nonsense_is_a_violation(self, cut: int) -> None:
        with pytest.raises(ProtocolViolation):
            ShieldDriver.probe(scripted([APPLICATION.encode()[:cut] + b"\x90\x00"]))

    def test_a_later_protocol_wants_a_later_driver(self) -> None:
        later = replace(APPLICATION, protocol=(2, 0))
        with pytest.raises(NoDriver, match=r"version 2\.0") as caught:
            ShieldDriver.probe(scripted([later.encode() + b"\x90\x00"]))
        assert "newer ushield" in caught.value.remedy

    def test_a_later_minor_version_will_do(self) -> None:
        later = replace(APPLICATION, protocol=(1, 9))
        assert ShieldDriver.probe(scripted([later.encode() + b"\x90\x00"]))

    @given(application_infos)
    def test_any_application_information_makes_a_token_info(self, info: ApplicationInfo) -> None:
        plain = info.features & ~Feature.SECURE_CHANNEL
        driver, _ = opened(lambda _: b"", replace(info, protocol=(1, 0), features=plain))
        assert driver.info.serial == info.serial
        assert driver.info.virtual == bool(info.features & Feature.VIRTUAL)
        assert (driver.info.screen is None) == (not info.features & Feature.DISPLAY)

    def test_panel_events_take_a_connection_with_a_panel(self) -> None:
        connection = scripted([APPLICATION.encode() + b"\x90\x00"])
        driver = ShieldDriver.probe(connection)
        assert driver is not None
        assert Capability.PANEL_EVENTS not in driver.info.capabilities
        with pytest.raises(CapabilityMissing) as caught:
            driver.panel_event(0.0)
        assert caught.value.capability == "panel-events"

    def test_the_profile_lists_the_virtual_token_s_usb_ids(self, bench: Bench) -> None:
        assert ShieldDriver.knows(bench.connection.device)
        assert ShieldDriver.knows(DEVICE)
        assert not ShieldDriver.knows(replace(DEVICE, product_id=0x0002))
        assert not ShieldDriver.knows(DeviceInfo("pcsc:reader"))


@pytest.mark.parametrize(
    ("feature", "calls"),
    [
        (Feature.DISPLAY, ["begin", "begin_certification_request"]),
        (Feature.VOUCHERS, ["vouchers"]),
        (Feature.ATTESTATION, ["attest", "device_certificate"]),
        (Feature.REMOTE_UNBLOCK, ["unblock_challenge", "unblock_by_bank"]),
        (Feature.KEY_GENERATION, ["generate_key"]),
    ],
)
def test_what_a_token_cannot_do_is_not_asked_of_it(feature: Feature, calls: list[str]) -> None:
    lesser = replace(APPLICATION, features=APPLICATION.features & ~feature)
    driver, connection = opened(lambda _: b"\x6d\x00", lesser)
    for call in calls:
        with pytest.raises(CapabilityMissing):
            ALL_CALLS[call](driver)
    assert connection.commands == []


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("answer", ["8403ffff9000", "5a009000", "80019000"])
def test_an_answer_that_makes_no_sense_is_a_violation(call: str, answer: str) -> None:
    bare = {"read_certificate", "sign_digest", "attest", "device_certificate"}
    driver, _ = opened(lambda _: bytes.fromhex("9000" if call in bare else answer))
    with pytest.raises(ProtocolViolation):
        CALLS[call](driver)


@pytest.mark.parametrize("call", ALL_CALLS)
@settings(max_examples=30)
@given(st.binary(max_size=30), st.sampled_from([0x9000, 0x9504, 0x6A88, 0x63C2, 0x6F00, 0x1234]))
def test_no_answer_looks_like_the_caller_s_mistake(call: str, data: bytes, sw: int) -> None:
    driver, _ = opened(lambda _: data + sw.to_bytes(2, "big"))
    outcome: UShieldError | None = None
    try:
        ALL_CALLS[call](driver)
    except UShieldError as error:
        outcome = error
    assert not isinstance(outcome, TlvInvalid | ApduInvalid)


@pytest.mark.parametrize("call", ALL_CALLS)
def test_an_unforeseen_status_word_is_told_with_its_words(call: str) -> None:
    driver, _ = opened(lambda _: b"\x6f\x00")
    with pytest.raises(StatusWordError, match=r"6F00 \(no precise diagnosis\)") as caught:
        ALL_CALLS[call](driver)
    assert caught.value.sw == 0x6F00


@pytest.mark.parametrize("call", ALL_CALLS)
def test_every_command_has_a_timeout(call: str) -> None:
    driver, connection = opened(lambda _: b"\x6f\x00")
    with pytest.raises(StatusWordError):
        ALL_CALLS[call](driver)
    assert all(timeout is not None and timeout <= 120 for timeout in connection.timeouts)


@pytest.mark.parametrize(
    "states",
    [
        "",
        "810481060600",
        "810481060600 810481060600",
        "810481060600 8104830a0a00 8104830a0a00",
    ],
)
def test_a_token_tells_both_counters_once(states: str) -> None:
    driver, _ = opened(lambda _: bytes.fromhex(states) + b"\x90\x00")
    with pytest.raises(ProtocolViolation):
        driver.pin_states()


def test_the_key_made_is_the_kind_asked_for() -> None:
    entry = bytes.fromhex("e213 800101 810112 820101 8301aa 8400 850130")
    entry = bytes((0xE2, len(entry) - 2)) + entry[2:]
    driver, _ = opened(lambda _: entry + b"\x90\x00")
    with pytest.raises(ProtocolViolation, match="another kind of key"):
        driver.generate_key(KeyAlgorithm.P256, KeyUsage.DISPLAY, "k")
    assert driver.generate_key(KeyAlgorithm.P384, KeyUsage.DISPLAY, "k").key_id == b"\xaa"


def test_an_unblock_challenge_names_its_token() -> None:
    driver, _ = opened(lambda _: bytes.fromhex("8003532d32 8110" + "00" * 16 + "820400000000 9000"))
    with pytest.raises(ProtocolViolation, match="another token"):
        driver.unblock_challenge()


@pytest.mark.parametrize("slot", ["", "00", "0102"])
def test_a_stored_certificate_has_a_slot(slot: str) -> None:
    driver, _ = opened(lambda _: bytes.fromhex(slot) + b"\x90\x00")
    with pytest.raises(ProtocolViolation, match="where"):
        driver.write_certificate(b"der", "c")


def test_a_refusal_to_display_without_a_reason_is_a_violation() -> None:
    def answer(command: bytes) -> bytes:
        return b"\x95\x04" if command[1] == Instruction.BEGIN else b"\x80\x01\x99\x90\x00"

    driver, _ = opened(answer)
    with pytest.raises(ProtocolViolation):
        driver.begin(1, b"message")


def test_a_panel_report_that_is_none_is_a_violation() -> None:
    driver, connection = opened(lambda _: b"")
    connection.report = b"rubbish"
    with pytest.raises(ProtocolViolation):
        driver.panel_event(0.0)


def test_no_other_command_comes_between_a_refused_begin_and_its_reason() -> None:
    reason = DisplayRefusal(RefusalReason.GLYPH, 0x20BB7)
    answers = iter([b"\x95\x04", reason.encode() + b"\x90\x00"])
    driver, connection = opened(lambda command: next(answers))
    connection.holds = 0
    with pytest.raises(DisplayRefused) as caught:
        driver.begin(1, b"message")
    assert caught.value.character == "\U00020bb7"
    assert (len(connection.commands), connection.holds) == (2, 1)


def test_vouchers_without_end_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A token that gives the same voucher for ever is asked for no more than there can be."""
    monkeypatch.setattr("ushield.drivers.shield.requests._MAX_VOUCHERS", 300)
    voucher = bytes.fromhex("800400000001 81080000000000000000 820101 530178") + b"\x90\x00"
    driver, connection = opened(lambda _: voucher)
    assert len(list(driver.vouchers())) == 1
    assert len(connection.commands) == 300
    assert connection.commands[-1][2:4] == (299).to_bytes(2, "big")


class TestResetAndClose:
    def test_a_reset_ends_the_login_and_the_token_goes_on(self, bench: Bench) -> None:
        key = bench.key()
        bench.driver.reset()
        with pytest.raises(LoginRequired):
            bench.driver.begin(key.reference, message())
        bench.login()
        assert bench.driver.begin(key.reference, message()).pages

    def test_after_a_reset_another_token_is_not_taken_for_this_one(self) -> None:
        driver, _ = opened(lambda _: replace(APPLICATION, serial="S-2").encode() + b"\x90\x00")
        with pytest.raises(ProtocolViolation, match="another token"):
            driver.reset()
        driver, _ = opened(lambda _: b"\x6a\x82")
        with pytest.raises(ProtocolViolation, match="another token"):
            driver.reset()

    def test_closing_logs_out_closes_the_connection_and_may_be_repeated(self) -> None:
        driver, connection = opened(lambda _: b"\x90\x00")
        driver.close()
        driver.close()
        assert connection.commands == [bytes.fromhex("0020ff81")]
        assert connection.closed == 1

    def test_closing_a_dead_token_is_quiet(self) -> None:
        def answer(command: bytes) -> bytes:
            raise TokenRemoved("gone")

        driver, connection = opened(answer)
        driver.close()
        assert connection.closed == 1

    def test_a_closed_token_can_be_opened_again_logged_out(self, bench: Bench) -> None:
        bench.login()
        bench.driver.close()
        again = ShieldDriver.probe(to_card(bench.token.card))
        assert again is not None
        assert not again.pin_states()[PinReference.USER].verified

    def test_an_unplugged_token_is_removed_for_every_call(self, bench: Bench) -> None:
        bench.token.unplug()
        for call in (CALLS["keys"], CALLS["begin"], SILENT_CALLS["verify_pin"]):
            with pytest.raises(TokenRemoved):
                call(bench.driver)


@pytest.mark.parametrize(
    "limits", [EXTENDED, SHORT, ApduLimits(2000, 1000, extended=True), ApduLimits(64, 66, False)]
)
def test_the_driver_works_over_every_kind_of_connection(bench: Bench, limits: ApduLimits) -> None:
    bench.connection.close()
    driver = ShieldDriver.probe(to_card(bench.token.card, limits))
    assert driver is not None
    bench.driver = driver
    key = bench.key()
    begun = driver.begin(key.reference, message())
    bench.confirm()
    signed = driver.finish(begun.request_id)
    assert signed.signature
    assert driver.read_certificate(driver.certificates()[0].slot)


def test_a_recorded_session_replays_with_any_pin(bench: Bench) -> None:
    def session(driver: TokenDriver, pin: str) -> object:
        driver.verify_pin(Pin(pin))
        key = driver.generate_key(KeyAlgorithm.P256, KeyUsage.AUTHENTICATION, "login")
        signature = driver.sign_digest(key.reference, HashAlgorithm.SHA256, bytes(32))
        return key, signature, driver.keys(), driver.pin_states()

    recorded = session(bench.driver, PIN)
    header = TraceHeader(bench.connection.atr, bench.connection.limits)
    stream = io.StringIO()
    writer = TraceWriter(stream)
    writer.begin(header)
    for exchange in bench.exchanges:
        writer.write(exchange)
    trace = read_trace(io.StringIO(stream.getvalue()))
    assert PIN.encode().hex() not in stream.getvalue()
    driver = ShieldDriver.probe(ReplayConnection(trace))
    assert driver is not None
    assert session(driver, "640928") == recorded
