"""The shield driver and the screen: requests from BEGIN to SIGN, on the virtual token."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from threading import Barrier, Thread

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from tests.drivers.bench import PIN, Bench, message, public_key_of
from tests.pki import name
from ushield.algorithms import KeyAlgorithm
from ushield.drivers.base import KeyUsage
from ushield.errors import (
    ConfirmationError,
    DisplayRefused,
    HostCancelled,
    KeyHeld,
    KeyUsageRefused,
    LoginRequired,
    ObjectNotFound,
    Rejected,
    RequestPending,
    RequestUnknown,
    ScreenBusy,
    TimedOut,
)
from ushield.pin import Pin
from ushield.shield.events import PanelEvent, PanelEventKind, PanelKey
from ushield.shield.requests import RequestStage


def test_a_confirmed_message_is_signed_once(bench: Bench) -> None:
    key = bench.key()
    begun = bench.driver.begin(key.reference, message())
    assert begun.timeout == 60
    assert begun.pages == len(bench.token.panel.pages) > 1
    with pytest.raises(RequestPending):
        bench.driver.finish(begun.request_id)
    bench.confirm()
    assert bench.driver.request_state(begun.request_id).stage is RequestStage.CONFIRMED
    signed = bench.driver.finish(begun.request_id)
    public_key = public_key_of(bench.driver.read_certificate(bench.driver.certificates()[0].slot))
    assert isinstance(public_key, ec.EllipticCurvePublicKey)
    public_key.verify(signed.signature, signed.signed, ec.ECDSA(hashes.SHA256()))
    assert hashlib.sha256(message()).digest() in signed.signed
    for _ in range(2):
        with pytest.raises(RequestUnknown):
            bench.driver.finish(begun.request_id)


def test_the_state_tells_page_and_time_left(bench: Bench) -> None:
    begun = bench.driver.begin(bench.key().reference, message())
    state = bench.driver.request_state(begun.request_id)
    assert (state.stage, state.page, state.pages) == (RequestStage.SHOWING, 1, begun.pages)
    assert state.time_left == 60_000
    bench.press(PanelKey.DOWN)
    bench.clock.advance(1.5)
    state = bench.driver.request_state(begun.request_id)
    assert (state.page, state.time_left) == (2, 58_500)


def rejected(bench: Bench, request_id: bytes) -> None:
    bench.press(PanelKey.CANCEL)


def timed_out(bench: Bench, request_id: bytes) -> None:
    bench.clock.advance(61)


def cancelled(bench: Bench, request_id: bytes) -> None:
    bench.driver.cancel(request_id)


@pytest.mark.parametrize(
    ("end", "outcome"), [(rejected, Rejected), (timed_out, TimedOut), (cancelled, HostCancelled)]
)
def test_every_other_end_is_its_own_outcome(
    bench: Bench, end: Callable[[Bench, bytes], None], outcome: type[ConfirmationError]
) -> None:
    begun = bench.driver.begin(bench.key().reference, message())
    end(bench, begun.request_id)
    for _ in range(2):
        with pytest.raises(outcome):
            bench.driver.finish(begun.request_id)
    assert bench.token.panel.pages == ()


@pytest.mark.parametrize("end", [rejected, timed_out, cancelled])
def test_cancelling_what_has_ended_is_harmless(
    bench: Bench, end: Callable[[Bench, bytes], None]
) -> None:
    begun = bench.driver.begin(bench.key().reference, message())
    end(bench, begun.request_id)
    bench.driver.cancel(begun.request_id)
    bench.driver.cancel(bytes(8))


def test_logging_out_or_a_reset_ends_the_request(bench: Bench) -> None:
    key = bench.key()
    begun = bench.driver.begin(key.reference, message())
    bench.driver.logout()
    with pytest.raises(ConfirmationError):
        bench.driver.finish(begun.request_id)
    bench.login()
    begun = bench.driver.begin(key.reference, message())
    bench.driver.reset()
    with pytest.raises(RequestUnknown):
        bench.driver.request_state(begun.request_id)
    with pytest.raises(LoginRequired):
        bench.driver.begin(key.reference, message())


def test_a_request_of_another_id_is_unknown(bench: Bench) -> None:
    bench.driver.begin(bench.key().reference, message())
    for ask in (bench.driver.request_state, bench.driver.finish):
        with pytest.raises(RequestUnknown):
            ask(bytes(8))


def test_the_pin_is_used_up_by_one_request(bench: Bench) -> None:
    key = bench.key()
    begun = bench.driver.begin(key.reference, message())
    bench.driver.cancel(begun.request_id)
    with pytest.raises(LoginRequired):
        bench.driver.begin(key.reference, message())


def test_by_profile_one_login_is_enough(plug: Callable[..., Bench]) -> None:
    bench = plug(profile="lenient")
    key = bench.key()
    for _ in range(2):
        begun = bench.driver.begin(key.reference, message())
        bench.driver.cancel(begun.request_id)


def test_verify_and_begin_stay_together_while_the_connection_is_held(bench: Bench) -> None:
    """Without the hold, another thread's BEGIN could use up this one's PIN."""
    key = bench.key()
    barrier = Barrier(4)
    outcomes: list[str] = []

    def sign() -> None:
        barrier.wait(10)
        for _ in range(5):
            with bench.connection.hold():
                bench.driver.verify_pin(Pin(PIN))
                begun = bench.driver.begin(key.reference, message())
                bench.driver.cancel(begun.request_id)
            outcomes.append("begun")

    threads = [Thread(target=sign) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert outcomes == ["begun"] * 20


def test_without_a_certificate_there_is_nothing_to_sign_for(bench: Bench) -> None:
    bench.login()
    key = bench.driver.generate_key(KeyAlgorithm.P256, KeyUsage.DISPLAY, "signing")
    for reference in (key.reference, 99):
        with pytest.raises(ObjectNotFound) as caught:
            bench.driver.begin(reference, message())
        assert "cert import" in caught.value.remedy


def test_an_authentication_key_signs_no_transaction(bench: Bench) -> None:
    key = bench.key(KeyUsage.AUTHENTICATION)
    with pytest.raises(KeyUsageRefused):
        bench.driver.begin(key.reference, message())


def test_one_request_at_a_time(bench: Bench) -> None:
    key = bench.key()
    begun = bench.driver.begin(key.reference, message())
    bench.login()
    with pytest.raises(ScreenBusy):
        bench.driver.begin(key.reference, message())
    assert bench.driver.request_state(begun.request_id).stage is RequestStage.SHOWING


def test_a_key_held_down_is_told(bench: Bench) -> None:
    key = bench.key()
    bench.token.panel.key_down(PanelKey.OK)
    with pytest.raises(KeyHeld):
        bench.driver.begin(key.reference, message())
    bench.token.panel.key_up(PanelKey.OK)
    bench.driver.begin(key.reference, message())


class TestWhatCannotBeShown:
    def test_a_character_without_a_glyph_is_named(self, bench: Bench) -> None:
        key = bench.key()
        with pytest.raises(DisplayRefused) as caught:
            bench.driver.begin(key.reference, message(payee="\U00020bb7野家"))
        assert (caught.value.reason, caught.value.character) == ("glyph", "\U00020bb7")
        assert "U+20BB7 (CJK UNIFIED IDEOGRAPH-20BB7)" in str(caught.value)

    def test_a_screen_without_hanzi_names_the_first_one(self, plug: Callable[..., Bench]) -> None:
        bench = plug(profile="ascii")
        with pytest.raises(DisplayRefused) as caught:
            bench.driver.begin(bench.key().reference, message())
        assert caught.value.reason == "glyph"
        assert caught.value.character is not None
        assert not caught.value.character.isascii()

    @pytest.mark.parametrize("bad", [b"", b"<T></T>", b"\xff\xfe", message() + b" "])
    def test_what_is_no_message_is_malformed(self, bench: Bench, bad: bytes) -> None:
        key = bench.key()
        with pytest.raises(DisplayRefused) as caught:
            bench.driver.begin(key.reference, bad)
        assert (caught.value.reason, caught.value.character) == ("malformed", None)

    def test_a_message_longer_than_the_token_takes_is_not_even_sent(self, bench: Bench) -> None:
        key = bench.key()
        sent = len(bench.exchanges)
        with pytest.raises(DisplayRefused) as caught:
            bench.driver.begin(key.reference, bytes(4097))
        assert caught.value.reason == "too-long"
        assert len(bench.exchanges) == sent

    def test_nothing_is_used_up_by_a_refusal(self, bench: Bench) -> None:
        key = bench.key()
        with pytest.raises(DisplayRefused):
            bench.driver.begin(key.reference, message(payee="\U00020bb7"))
        assert bench.tries == (6, 10)
        bench.driver.begin(key.reference, message())


def test_a_certification_request_is_shown_and_signed(bench: Bench) -> None:
    bench.login()
    key = bench.driver.generate_key(KeyAlgorithm.P256, KeyUsage.DISPLAY, "signing")
    subject = name("李四").public_bytes()
    begun = bench.driver.begin_certification_request(key.reference, subject)
    assert any("李四" in line for page in bench.token.panel.pages for line in page)
    bench.confirm()
    signed = bench.driver.finish(begun.request_id)
    assert subject in signed.signed
    assert key.public_key in signed.signed


def test_a_subject_that_is_no_name_is_malformed(bench: Bench) -> None:
    key = bench.key()
    with pytest.raises(DisplayRefused) as caught:
        bench.driver.begin_certification_request(key.reference, b"rubbish")
    assert caught.value.reason == "malformed"


def test_the_panel_tells_what_happens_on_it(bench: Bench) -> None:
    begun = bench.driver.begin(bench.key().reference, message())
    bench.confirm()
    events: list[PanelEvent] = []
    while event := bench.driver.panel_event(0.05):
        events.append(event)
    assert {event.request_id for event in events} == {begun.request_id}
    assert [event.counter for event in events] == list(
        range(events[0].counter, events[0].counter + len(events))
    )
    pages = [event.value for event in events if event.kind is PanelEventKind.PAGE_SHOWN]
    assert pages == list(range(1, begun.pages + 1))
    assert events[-1].kind is PanelEventKind.CONFIRMED


def test_a_quiet_panel_tells_nothing_within_the_time(bench: Bench) -> None:
    assert bench.driver.panel_event(0.01) is None


class TestVouchers:
    def sign(self, bench: Bench, key_reference: int, memo: str) -> None:
        bench.login()
        begun = bench.driver.begin(key_reference, message(memo=memo))
        bench.confirm()
        bench.driver.finish(begun.request_id)

    def test_the_token_s_own_log_comes_newest_first(self, bench: Bench) -> None:
        key = bench.key()
        for memo in ("one", "two", "three"):
            self.sign(bench, key.reference, memo)
            bench.clock.advance(10)
        bench.login()
        vouchers = list(bench.driver.vouchers())
        assert [voucher.message for voucher in vouchers] == [
            message(memo=memo) for memo in ("three", "two", "one")
        ]
        assert [voucher.counter for voucher in vouchers] == [3, 2, 1]
        assert {voucher.key_reference for voucher in vouchers} == {key.reference}
        assert vouchers[0].time - vouchers[1].time == 10_000

    def test_a_signature_made_meanwhile_gives_no_voucher_twice(self, bench: Bench) -> None:
        key = bench.key()
        for memo in ("one", "two"):
            self.sign(bench, key.reference, memo)
        bench.login()
        vouchers = bench.driver.vouchers()
        counters = [next(vouchers).counter]
        self.sign(bench, key.reference, "three")
        bench.login()
        counters += [voucher.counter for voucher in vouchers]
        assert counters == [2, 1]

    def test_an_empty_log_is_empty(self, bench: Bench) -> None:
        bench.login()
        assert list(bench.driver.vouchers()) == []

    def test_reading_takes_the_pin(self, bench: Bench) -> None:
        with pytest.raises(LoginRequired):
            next(bench.driver.vouchers())
