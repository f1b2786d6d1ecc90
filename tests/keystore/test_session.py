"""Sessions share their token's login, and lose it together."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from dataclasses import replace

import pytest

from tests.keystore.conftest import MakeToken
from ushield.algorithms import HashAlgorithm, KeyAlgorithm
from ushield.errors import (
    KeyUsageRefused,
    LoginRequired,
    ObjectNotFound,
    PinIncorrect,
    TokenBusy,
    TokenRemoved,
)
from ushield.keystore import KeyUsage, SessionClosed, SlotFlag, Token, TokenFlag, slots
from ushield.pin import Pin
from ushield.testing.token import VirtualTokenUnderTest
from ushield.virtual.usb import Direction, FaultKind


def verified(token: Token) -> bool:
    return token.pin.state.verified


def test_a_session_without_a_pin_is_not_logged_in(bare: VirtualTokenUnderTest) -> None:
    with bare.open() as token, token.session() as session:
        assert session.token is token
        assert not session.logged_in
        with pytest.raises(LoginRequired):
            session.generate_key(KeyAlgorithm.P256, KeyUsage.DISPLAY, label="x")


def test_sessions_share_one_login(bare: VirtualTokenUnderTest) -> None:
    with bare.open() as token, token.session() as one, token.session(bare.pin) as other:
        assert token.sessions == (one, other)
        assert one.logged_in
        one.generate_key(KeyAlgorithm.P256, KeyUsage.DISPLAY, label="x")
        with token.session() as third:
            assert third.logged_in
        one.logout()
        assert not other.logged_in
        assert not verified(token)


def test_the_last_session_takes_the_login_with_it(bare: VirtualTokenUnderTest) -> None:
    with bare.open() as token:
        one = token.session()
        with token.session(Pin(bare.pin)):
            pass
        assert one.logged_in
        assert verified(token)
        one.close()
        one.close()
        assert not verified(token)
        with token.session() as fresh:
            assert not fresh.logged_in


def test_a_wrong_pin_ends_the_login_that_was_there(bare: VirtualTokenUnderTest) -> None:
    with bare.open() as token, token.session(bare.pin) as session:
        with pytest.raises(PinIncorrect):
            session.login("975310")
        assert not session.logged_in
        assert not verified(token)


def test_a_failed_login_leaves_no_session_behind(bare: VirtualTokenUnderTest) -> None:
    with bare.open() as token:
        with pytest.raises(PinIncorrect):
            token.session("975310")
        assert token.sessions == ()


def test_a_reset_ends_the_login_and_keeps_the_sessions(bare: VirtualTokenUnderTest) -> None:
    with bare.open() as token, token.session(bare.pin) as session:
        token.reset()
        assert not session.logged_in
        assert not verified(token)
        assert not session.closed
        session.login(bare.pin)
        session.generate_key(KeyAlgorithm.P256, KeyUsage.DISPLAY, label="x")


def test_removal_closes_every_session_of_the_token(bare: VirtualTokenUnderTest) -> None:
    with bare.open() as token:
        sessions = [token.session(bare.pin), token.session()]
        bare.unplug()
        with pytest.raises(TokenRemoved):
            sessions[1].certificates()
        assert token.removed
        assert token.sessions == ()
        assert SlotFlag.TOKEN_PRESENT not in token.slot.flags
        bare.plug()
        for session in sessions:
            assert session.closed
            assert not session.logged_in
            with pytest.raises(TokenRemoved):
                session.login(bare.pin)
        with pytest.raises(TokenRemoved):
            token.session(bare.pin)
    with bare.open() as again, again.session() as session:
        assert not session.logged_in


def test_a_closed_session_and_a_closed_token_say_so(bare: VirtualTokenUnderTest) -> None:
    token = bare.open()
    session = token.session(bare.pin)
    other = token.session()
    session.close()
    with pytest.raises(SessionClosed):
        session.find()
    token.close()
    token.close()
    assert other.closed
    for use in (other.certificates, token.session, lambda: token.flags, token.reset):
        with pytest.raises(SessionClosed):
            use()


def test_closing_the_token_leaves_it_logged_out_for_the_next(bare: VirtualTokenUnderTest) -> None:
    with bare.open() as token:
        token.session(bare.pin)
    with bare.open() as token:
        assert not verified(token)


@pytest.mark.parametrize("kind", [FaultKind.STALL, FaultKind.TRUNCATE])
def test_a_token_that_cannot_be_logged_out_is_closed_all_the_same(
    bare: VirtualTokenUnderTest, kind: FaultKind
) -> None:
    with bare.open() as token:
        token.session(bare.pin)
        bare.usb_faults.order(kind, Direction.IN)
    assert bare.usb_faults.happened
    with bare.open() as token:
        assert not verified(token)


def test_the_token_is_held_by_one_opener_at_a_time(bare: VirtualTokenUnderTest) -> None:
    with bare.open(), pytest.raises(TokenBusy):
        bare.open()


def test_a_second_process_is_told_who_holds_the_token(bare: VirtualTokenUnderTest) -> None:
    code = (
        "import sys, ushield\n"
        "from ushield.errors import TokenBusy\n"
        "try:\n"
        "    ushield.open_token(sys.argv[1])\n"
        "except TokenBusy as error:\n"
        "    print(error.pid)\n"
    )
    with bare.open() as token, token.session(bare.pin) as session:
        other = subprocess.run(
            [sys.executable, "-c", code, bare.spec], capture_output=True, text=True, check=True
        )
        assert int(other.stdout) == os.getpid()
        assert session.logged_in
        assert token.pin.tries_left == 6


def test_threads_may_share_a_token(bare: VirtualTokenUnderTest) -> None:
    failures: list[BaseException] = []

    def work(token: Token) -> None:
        try:
            for _ in range(10):
                with token.session(bare.pin) as session:
                    assert token.pin.tries_left in (5, 6)
                    session.find()
        except BaseException as error:  # noqa: BLE001
            failures.append(error)

    with bare.open() as token, token.session():
        threads = [threading.Thread(target=work, args=(token,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert failures == []
        assert token.pin.tries_left == 6


def test_an_authentication_key_signs_digests_and_challenges_and_a_display_key_none(
    bare: VirtualTokenUnderTest,
) -> None:
    digest = bytes(32)
    with bare.open() as token, token.session(bare.pin) as session:
        login = session.generate_key(KeyAlgorithm.P256, KeyUsage.AUTHENTICATION, label="login")
        display = session.generate_key(KeyAlgorithm.P256, KeyUsage.DISPLAY, label="signing")
        assert session.sign_digest(login, digest, HashAlgorithm.SHA256)
        with pytest.raises(KeyUsageRefused):
            session.sign_digest(display, digest, HashAlgorithm.SHA256)
        session.login(bare.pin)
        assert session.sign_challenge(login, bytes(16))
        with pytest.raises(KeyUsageRefused):
            session.sign_challenge(display, bytes(16))


def test_a_deleted_key_is_found_no_more_nor_its_certificate(
    virtual_token_factory: MakeToken,
) -> None:
    rig = virtual_token_factory()
    with rig.open() as token, token.session() as session:
        (key,) = session.private_keys()
        with pytest.raises(LoginRequired):
            session.delete_key(key)
        session.login(rig.pin)
        session.delete_key(key)
        assert not session.private_keys()
        assert not session.public_keys()
        assert not session.certificates(key_id=key.key_id)
        with pytest.raises(ObjectNotFound):
            session.delete_key(key)


def test_a_token_is_renamed_and_tells_what_it_counted(bare: VirtualTokenUnderTest) -> None:
    with bare.open() as token, token.session(bare.pin) as session:
        session.set_label("工资")
        assert token.info.label == "工资"
        before = token.counters
        token.reset()
        assert token.counters == replace(before, power_ups=before.power_ups + 1)


def test_vouchers_want_the_pin(virtual_token_factory: MakeToken) -> None:
    rig = virtual_token_factory(algorithm=None)
    with rig.open() as token, token.session() as session:
        with pytest.raises(LoginRequired):
            list(session.vouchers())
        session.login(rig.pin)
        assert list(session.vouchers()) == []


def test_a_token_tells_where_it_is_and_what_it_is(bare: VirtualTokenUnderTest) -> None:
    with bare.open() as token:
        assert token.slot.spec == bare.spec
        assert token.slot.description
        assert SlotFlag.TOKEN_PRESENT in token.slot.flags
        assert SlotFlag.HW_SLOT not in token.slot.flags
        assert token.info.serial == bare.serial
        assert TokenFlag.TOKEN_INITIALIZED | TokenFlag.LOGIN_REQUIRED in token.flags


def test_no_slot_is_a_virtual_token(bare: VirtualTokenUnderTest) -> None:
    assert all(not slot.spec.startswith("virtual:") for slot in slots())


def test_a_key_is_attested_by_the_tokens_device_key(bare: VirtualTokenUnderTest) -> None:
    from cryptography import x509

    with bare.open() as token, token.session(bare.pin) as session:
        key = session.generate_key(KeyAlgorithm.P256, KeyUsage.DISPLAY, label="signing")
        attestation = x509.load_der_x509_certificate(token.attest(key))
        attestation.verify_directly_issued_by(
            x509.load_der_x509_certificate(token.device_certificate())
        )
