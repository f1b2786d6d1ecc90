"""A payment on the screen of a real virtual token, confirmed or not, and what comes of it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from cryptography import x509

from tests.signing.conftest import MakeToken, payment
from ushield.algorithms import KeyAlgorithm
from ushield.bank import TrustStore, verify_transaction
from ushield.drivers import registry
from ushield.errors import (
    DisplayRefused,
    KeyHeld,
    LastTryRefused,
    LoginRequired,
    NoDriver,
    ObjectNotFound,
    PinChangeRequired,
    PinIncorrect,
    PinInvalid,
    PinLocked,
    Rejected,
    RequestUnknown,
    ScreenBusy,
    SeveralObjects,
    SpecInvalid,
    TimedOut,
    TokenNotFound,
)
from ushield.keystore import KeyUsage, SubjectInvalid
from ushield.shield.events import PanelKey
from ushield.signing import (
    KeyPressed,
    PageShown,
    SigningSession,
    TransactionSignature,
    Waiting,
    open_token,
)
from ushield.testing.token import VirtualTokenUnderTest
from ushield.transaction import Transaction, write_message

OK, CANCEL, DOWN, UP = PanelKey.OK, PanelKey.CANCEL, PanelKey.DOWN, PanelKey.UP


def confirm(rig: VirtualTokenUnderTest) -> None:
    for _ in rig.panel.pages[1:]:
        rig.panel.page_down()
    rig.panel.press(OK)


def sign(
    rig: VirtualTokenUnderTest, session: SigningSession, transaction: Transaction
) -> TransactionSignature:
    session.login(rig.pin)
    pending = session.sign(transaction)
    confirm(rig)
    return pending.result(timeout=10)


def screen_is_idle(rig: VirtualTokenUnderTest) -> bool:
    return rig.panel.pages == ()


@pytest.mark.parametrize("algorithm", [KeyAlgorithm.RSA_2048, KeyAlgorithm.P256, KeyAlgorithm.P384])
def test_a_confirmed_payment_is_a_signature_that_bank_and_openssl_accept(
    virtual_token_factory: MakeToken,
    transfer: Transaction,
    tmp_path: Path,
    algorithm: KeyAlgorithm,
) -> None:
    rig = virtual_token_factory(algorithm=algorithm)
    with rig.open() as token, token.session(rig.pin) as session:
        signature = sign(rig, session, transfer)
        assert signature.certificate == session.certificates(label="signing").one()
    assert signature.transaction == transfer
    assert signature.message == write_message(transfer)
    assert signature.receipt.serial == rig.serial
    assert signature.receipt.virtual

    trust = TrustStore.load(rig.authority.ca_pem)
    assert verify_transaction(signature.der, trust, accept_virtual=True).transaction == transfer

    (tmp_path / "ca.pem").write_bytes(rig.authority.ca_pem)
    (tmp_path / "payment.p7s").write_bytes(signature.der)
    subprocess.run(
        [
            "openssl",
            "cms",
            "-verify",
            "-inform",
            "DER",
            "-binary",
            "-in",
            "payment.p7s",
            "-CAfile",
            "ca.pem",
            "-purpose",
            "any",
            "-out",
            "message.xml",
        ],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    assert (tmp_path / "message.xml").read_bytes() == signature.message


def test_the_signature_holds_the_pages_as_they_were_drawn(
    virtual_token: VirtualTokenUnderTest, transfer: Transaction
) -> None:
    with virtual_token.open() as token, token.session(virtual_token.pin) as session:
        pending = session.sign(transfer)
        drawn = virtual_token.panel.pages
        assert pending.pages == len(drawn)
        confirm(virtual_token)
        signature = pending.result(timeout=10)
    assert signature.pages == drawn
    assert any("张三" in line for page in signature.pages for line in page)


@pytest.mark.parametrize("profile", ["wide", "lenient"])
def test_other_screens_sign_as_well(virtual_token_factory: MakeToken, profile: str) -> None:
    rig = virtual_token_factory(profile=profile)
    with rig.open() as token, token.session(rig.pin) as session:
        assert sign(rig, session, payment()).transaction == payment()


def test_a_screen_without_hanzi_refuses_them_by_name(virtual_token_factory: MakeToken) -> None:
    rig = virtual_token_factory(algorithm=None, profile="ascii")
    rig.enrol(subject="CN=Li Si,C=CN")
    with rig.open() as token, token.session(rig.pin) as session:
        with pytest.raises(DisplayRefused, match=r"U\+[0-9A-F]{4} \(CJK") as refusal:
            session.sign(payment())
        assert refusal.value.reason == "glyph"
        assert screen_is_idle(rig)


def test_what_the_panel_does_is_told_while_it_happens(
    virtual_token: VirtualTokenUnderTest, transfer: Transaction
) -> None:
    with virtual_token.open() as token, token.session(virtual_token.pin) as session:
        pending = session.sign(transfer)
        pages = pending.pages
        virtual_token.panel.page_down()
        virtual_token.panel.page_up()
        confirm(virtual_token)
        told = [event for event in pending.events() if not isinstance(event, Waiting)]
        assert pending.over
        assert list(pending.events()) == []
    assert told[:5] == [
        PageShown(1, pages),
        KeyPressed(DOWN),
        PageShown(2, pages),
        KeyPressed(UP),
        PageShown(1, pages),
    ]
    assert told[-2:] == [PageShown(pages, pages), KeyPressed(OK)]


def test_the_time_left_is_told_while_nobody_presses(
    virtual_token: VirtualTokenUnderTest, transfer: Transaction
) -> None:
    with (
        virtual_token.open() as token,
        token.session(virtual_token.pin) as session,
        session.sign(transfer) as pending,
    ):
        told = next(event for event in pending.events() if isinstance(event, Waiting))
        assert told.time_left == token.info.timeout


def test_a_result_is_the_same_whenever_it_is_asked_for(
    virtual_token: VirtualTokenUnderTest, transfer: Transaction
) -> None:
    with virtual_token.open() as token, token.session(virtual_token.pin) as session:
        pending = session.sign(transfer)
        confirm(virtual_token)
        signature = pending.result(timeout=10)
        pending.cancel()
        assert pending.result() is signature


def test_cancel_on_the_token_is_a_rejection(
    virtual_token: VirtualTokenUnderTest, transfer: Transaction
) -> None:
    with virtual_token.open() as token, token.session(virtual_token.pin) as session:
        pending = session.sign(transfer)
        virtual_token.panel.press_cancel()
        for _ in range(2):
            with pytest.raises(Rejected):
                pending.result(timeout=10)
        assert screen_is_idle(virtual_token)


def test_ok_before_the_last_page_confirms_nothing(
    virtual_token: VirtualTokenUnderTest, transfer: Transaction
) -> None:
    with virtual_token.open() as token, token.session(virtual_token.pin) as session:
        pending = session.sign(transfer)
        assert pending.pages > 1
        virtual_token.panel.press(OK)
        with pytest.raises(TimedOut):
            pending.result(timeout=0.2)


def test_ok_held_before_the_dialog_opens_it_not(
    virtual_token: VirtualTokenUnderTest, transfer: Transaction
) -> None:
    with virtual_token.open() as token, token.session(virtual_token.pin) as session:
        virtual_token.panel.hold(OK)
        with pytest.raises(KeyHeld):
            session.sign(transfer)
        assert screen_is_idle(virtual_token)
        virtual_token.panel.release(OK)
        assert sign(virtual_token, session, transfer).transaction == transfer


def test_ok_held_from_an_earlier_page_confirms_nothing(
    virtual_token: VirtualTokenUnderTest, transfer: Transaction
) -> None:
    panel = virtual_token.panel
    with virtual_token.open() as token, token.session(virtual_token.pin) as session:
        pending = session.sign(transfer)
        panel.hold(OK)
        for _ in panel.pages[1:]:
            panel.page_down()
        with pytest.raises(TimedOut):
            pending.result(timeout=0.2)


def test_the_tokens_own_timeout_is_told_as_one(
    virtual_token: VirtualTokenUnderTest, transfer: Transaction
) -> None:
    with virtual_token.open() as token, token.session(virtual_token.pin) as session:
        pending = session.sign(transfer)
        virtual_token.clock.advance(token.info.timeout + 1)
        with pytest.raises(TimedOut):
            pending.result(timeout=10)
        assert screen_is_idle(virtual_token)


def test_each_signature_wants_the_pin_where_the_profile_says_so(
    virtual_token: VirtualTokenUnderTest, transfer: Transaction
) -> None:
    with virtual_token.open() as token, token.session(virtual_token.pin) as session:
        pending = session.sign(transfer)
        confirm(virtual_token)
        first = pending.result(timeout=10)
        with pytest.raises(LoginRequired):
            session.sign(transfer)
        pending = session.sign(transfer, pin=virtual_token.pin)
        confirm(virtual_token)
        second = pending.result(timeout=10)
        assert second.receipt.counter == first.receipt.counter + 1
        assert second.receipt.request_id != first.receipt.request_id


def test_one_login_serves_many_signatures_where_the_profile_says_so(
    virtual_token_factory: MakeToken,
) -> None:
    rig = virtual_token_factory(profile="lenient")
    with rig.open() as token, token.session(rig.pin) as session:
        for memo in ("一月", "二月", "三月"):
            pending = session.sign(payment(memo))
            confirm(rig)
            assert pending.result(timeout=10).transaction == payment(memo)
        assert [voucher.counter for voucher in session.vouchers()] == [3, 2, 1]


def test_without_any_pin_nothing_is_shown(
    virtual_token: VirtualTokenUnderTest, transfer: Transaction
) -> None:
    with virtual_token.open() as token, token.session() as session:
        with pytest.raises(LoginRequired):
            session.sign(transfer)
        assert screen_is_idle(virtual_token)
        assert not session.logged_in


@pytest.mark.parametrize(
    ("pin", "error", "tries_left"),
    [("975310", PinIncorrect, 5), ("13579", PinInvalid, 6), ("", PinInvalid, 6)],
)
def test_a_pin_that_is_not_right_shows_nothing(
    virtual_token: VirtualTokenUnderTest,
    transfer: Transaction,
    pin: str,
    error: type[Exception],
    tries_left: int,
) -> None:
    with virtual_token.open() as token, token.session() as session:
        with pytest.raises(error):
            session.sign(transfer, pin=pin)
        assert token.pin.tries_left == tries_left
        assert screen_is_idle(virtual_token)


def test_signing_guards_the_last_try(
    virtual_token_factory: MakeToken, transfer: Transaction
) -> None:
    rig = virtual_token_factory(tries_left=1)
    with rig.open() as token, token.session() as session:
        with pytest.raises(LastTryRefused):
            session.sign(transfer, pin=rig.pin)
        pending = session.sign(transfer, pin=rig.pin, allow_last_try=True)
        confirm(rig)
        assert pending.result(timeout=10).transaction == transfer


def test_a_locked_pin_signs_nothing(
    virtual_token_factory: MakeToken, transfer: Transaction
) -> None:
    rig = virtual_token_factory(tries_left=0)
    with rig.open() as token, token.session() as session, pytest.raises(PinLocked):
        session.sign(transfer, pin=rig.pin)


def test_a_default_pin_signs_nothing(virtual_token_factory: MakeToken) -> None:
    rig = virtual_token_factory(algorithm=None, pin="123456", default_pin=True)
    with (
        rig.open() as token,
        token.session(rig.pin) as session,
        pytest.raises(PinChangeRequired),
    ):
        session.generate_key(KeyAlgorithm.P256, KeyUsage.DISPLAY, label="signing")


def test_what_the_screen_cannot_show_is_refused_and_the_next_is_shown(
    virtual_token: VirtualTokenUnderTest, transfer: Transaction
) -> None:
    with virtual_token.open() as token, token.session(virtual_token.pin) as session:
        with pytest.raises(DisplayRefused, match=r"U\+20BB7") as refusal:
            session.sign(payment("𠮷祥"))
        assert refusal.value.facts == {"reason": "glyph", "character": "𠮷"}
        assert screen_is_idle(virtual_token)
        assert token.pin.tries_left == 6
        pending = session.sign(transfer)
        confirm(virtual_token)
        assert pending.result(timeout=10).transaction == transfer


def test_one_request_at_a_time_is_on_the_screen(
    virtual_token: VirtualTokenUnderTest, transfer: Transaction
) -> None:
    with virtual_token.open() as token, token.session(virtual_token.pin) as session:
        pending = session.sign(transfer)
        with pytest.raises(ScreenBusy):
            session.sign(payment("another"), pin=virtual_token.pin)
        confirm(virtual_token)
        assert pending.result(timeout=10).transaction == transfer


def test_the_key_is_the_one_display_key_with_a_certificate(
    virtual_token: VirtualTokenUnderTest, transfer: Transaction
) -> None:
    with virtual_token.open() as token, token.session(virtual_token.pin) as session:
        bare = session.generate_key(KeyAlgorithm.P256, KeyUsage.DISPLAY, label="bare")
        with pytest.raises(ObjectNotFound, match="no certificate"):
            session.sign(transfer, key=bare)
        assert sign(virtual_token, session, transfer).certificate.label == "signing"
    virtual_token.enrol(label="second")
    with virtual_token.open() as token, token.session(virtual_token.pin) as session:
        with pytest.raises(SeveralObjects):
            session.sign(transfer)
        second = session.private_keys(label="second").one()
        pending = session.sign(transfer, key=second)
        confirm(virtual_token)
        assert pending.result(timeout=10).certificate.label == "second"


def test_a_token_without_keys_says_what_is_missing(
    virtual_token_factory: MakeToken, transfer: Transaction
) -> None:
    rig = virtual_token_factory(algorithm=None)
    with rig.open() as token, token.session(rig.pin) as session:
        with pytest.raises(ObjectNotFound, match="display key"):
            session.sign(transfer)
        session.generate_key(KeyAlgorithm.P256, KeyUsage.DISPLAY, label="signing")
        with pytest.raises(ObjectNotFound, match="certificate") as refusal:
            session.sign(transfer)
        assert "import" in refusal.value.remedy


def test_a_request_is_good_for_one_signature(
    virtual_token: VirtualTokenUnderTest, transfer: Transaction
) -> None:
    with virtual_token.open() as token, token.session(virtual_token.pin) as session:
        pending = session.sign(transfer)
        confirm(virtual_token)
        with token.reach() as driver:
            driver.finish(pending.request_id)
        with pytest.raises(RequestUnknown):
            pending.result(timeout=10)


class TestCertificateRequest:
    """A request for a certificate is shown and confirmed as a payment is."""

    def test_the_token_shows_whom_it_certifies(self, virtual_token_factory: MakeToken) -> None:
        rig = virtual_token_factory(algorithm=None)
        with rig.open() as token, token.session(rig.pin) as session:
            key = session.generate_key(KeyAlgorithm.P256, KeyUsage.DISPLAY, label="signing")
            pending = session.request_certificate(key, "CN=张三,O=Example Ltd,C=CN")
            rig.panel.expect_values("张三", "Example Ltd", "CN").press_ok()
            request = pending.result(timeout=10)
        read = x509.load_der_x509_csr(request.der)
        assert read.is_signature_valid
        assert request.subject == "CN=张三,O=Example Ltd,C=CN"

    def test_a_rejected_request_is_none(self, virtual_token_factory: MakeToken) -> None:
        rig = virtual_token_factory(algorithm=None)
        with rig.open() as token, token.session(rig.pin) as session:
            key = session.generate_key(KeyAlgorithm.P256, KeyUsage.DISPLAY, label="signing")
            pending = session.request_certificate(key, "CN=张三")
            rig.panel.press_cancel()
            with pytest.raises(Rejected):
                pending.result(timeout=10)

    def test_what_is_no_subject_is_refused_before_the_token_sees_it(
        self, virtual_token_factory: MakeToken
    ) -> None:
        rig = virtual_token_factory(algorithm=None)
        with rig.open() as token, token.session(rig.pin) as session:
            key = session.generate_key(KeyAlgorithm.P256, KeyUsage.DISPLAY, label="signing")
            with pytest.raises(SubjectInvalid):
                session.request_certificate(key, "张三")
            assert token.pin.state.verified


@pytest.mark.parametrize(
    ("spec", "error"),
    [
        ("virtual:/nonexistent/token", TokenNotFound),
        ("virtual:", SpecInvalid),
        ("carrier-pigeon:1", SpecInvalid),
        ("", SpecInvalid),
        ("V00000000000", TokenNotFound),
    ],
)
def test_a_spec_that_names_no_token_is_told_apart(spec: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        open_token(spec)


def test_a_card_without_a_driver_is_let_go_again(
    virtual_token: VirtualTokenUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as nothing_installed:
        nothing_installed.setattr(registry, "drivers", lambda: ())
        with pytest.raises(NoDriver):
            virtual_token.open()
    with virtual_token.open() as token:
        assert token.info.serial == virtual_token.serial
