"""The shield driver and PINs, on the virtual token."""

from __future__ import annotations

import io
import os
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.drivers.bench import OTHER_PIN, PIN, PUK, WRONG_PIN, WRONG_PUK, Bench
from ushield.algorithms import KeyAlgorithm
from ushield.drivers.base import KeyUsage
from ushield.errors import (
    CapabilityMissing,
    InputInvalid,
    LoginRequired,
    PinChangeRequired,
    PinError,
    PinIncorrect,
    PinInvalid,
    PinLocked,
)
from ushield.iso7816.trace import TraceHeader, TraceWriter
from ushield.pin import Pin, PinReference, PinState
from ushield.shield.requests import UnblockChallenge

MALFORMED = ["80256", "8025639174026", "80256a", "８０２５６３"]


def test_the_token_tells_its_counters_and_asking_spends_no_try(bench: Bench) -> None:
    for _ in range(3):
        assert bench.driver.pin_states() == {
            PinReference.USER: PinState(PinReference.USER, 6, 6),
            PinReference.PUK: PinState(PinReference.PUK, 10, 10),
        }


def test_the_right_pin_logs_in_and_logging_out_forgets_it(bench: Bench) -> None:
    bench.login()
    assert bench.driver.pin_states()[PinReference.USER].verified
    bench.driver.logout()
    assert not bench.driver.pin_states()[PinReference.USER].verified
    bench.driver.logout()


def test_a_wrong_pin_costs_a_try_until_it_locks_and_the_right_one_is_refused(bench: Bench) -> None:
    for left in (5, 4, 3, 2, 1):
        with pytest.raises(PinIncorrect) as caught:
            bench.driver.verify_pin(Pin(WRONG_PIN))
        assert (caught.value.tries_left, caught.value.reference) == (left, "user")
        assert bench.tries == (left, 10)
    for pin in (WRONG_PIN, PIN):
        with pytest.raises(PinLocked) as locked:
            bench.driver.verify_pin(Pin(pin))
        assert locked.value.reference == "user"
    assert bench.driver.pin_states()[PinReference.USER].locked


def test_the_right_pin_restores_all_tries(bench: Bench) -> None:
    with pytest.raises(PinIncorrect):
        bench.driver.verify_pin(Pin(WRONG_PIN))
    bench.login()
    assert bench.tries == (6, 10)


@pytest.mark.parametrize("slip", MALFORMED)
def test_a_slip_of_the_finger_is_not_even_sent(bench: Bench, slip: str) -> None:
    sent = len(bench.exchanges)
    attempts: list[Callable[[], None]] = [
        lambda: bench.driver.verify_pin(Pin(slip)),
        lambda: bench.driver.change_pin(PinReference.USER, Pin(slip), Pin(OTHER_PIN)),
        lambda: bench.driver.change_pin(PinReference.USER, Pin(PIN), Pin(slip)),
        lambda: bench.driver.unblock_pin(Pin(slip), Pin(OTHER_PIN)),
        lambda: bench.driver.unblock_pin(Pin(PUK), Pin(slip)),
    ]
    for attempt in attempts:
        with pytest.raises(PinInvalid) as caught:
            attempt()
        assert caught.value.rule in ("length", "characters")
    assert len(bench.exchanges) == sent
    assert bench.tries == (6, 10)


@pytest.mark.parametrize("weak", ["000000", "123456", "987654"])
def test_a_weak_new_pin_is_not_even_sent(bench: Bench, weak: str) -> None:
    sent = len(bench.exchanges)
    attempts: list[Callable[[], None]] = [
        lambda: bench.driver.change_pin(PinReference.USER, Pin(PIN), Pin(weak)),
        lambda: bench.driver.unblock_pin(Pin(PUK), Pin(weak)),
    ]
    for attempt in attempts:
        with pytest.raises(PinInvalid) as caught:
            attempt()
        assert (caught.value.rule, caught.value.reference) == ("weak", "user")
    assert len(bench.exchanges) == sent


def test_a_new_pin_is_another_one(bench: Bench) -> None:
    with pytest.raises(PinInvalid) as caught:
        bench.driver.change_pin(PinReference.USER, Pin(PIN), Pin(PIN))
    assert caught.value.rule == "unchanged"
    assert bench.tries == (6, 10)


def test_a_wiped_pin_is_a_mistake_of_the_caller(bench: Bench) -> None:
    pin = Pin(PIN)
    pin.wipe()
    with pytest.raises(ValueError, match="wiped"):
        bench.driver.verify_pin(pin)


def test_changing_the_pin_takes_the_old_one(bench: Bench) -> None:
    with pytest.raises(PinIncorrect) as caught:
        bench.driver.change_pin(PinReference.USER, Pin(WRONG_PIN), Pin(OTHER_PIN))
    assert caught.value.tries_left == 5
    bench.driver.change_pin(PinReference.USER, Pin(PIN), Pin(OTHER_PIN))
    bench.driver.verify_pin(Pin(OTHER_PIN))
    with pytest.raises(PinIncorrect):
        bench.login()


def test_changing_the_puk_takes_the_old_one(bench: Bench) -> None:
    with pytest.raises(PinIncorrect) as caught:
        bench.driver.change_pin(PinReference.PUK, Pin(WRONG_PUK), Pin("64092817"))
    assert (caught.value.reference, caught.value.tries_left) == ("puk", 9)
    bench.driver.change_pin(PinReference.PUK, Pin(PUK), Pin("64092817"))
    bench.driver.unblock_pin(Pin("64092817"), Pin(OTHER_PIN))


def lock(bench: Bench) -> None:
    for _ in range(6):
        with pytest.raises(PinError):
            bench.driver.verify_pin(Pin(WRONG_PIN))
    assert bench.tries[0] == 0


def test_the_puk_unblocks_a_locked_pin(bench: Bench) -> None:
    lock(bench)
    bench.driver.unblock_pin(Pin(PUK), Pin(OTHER_PIN))
    assert bench.tries == (6, 10)
    bench.driver.verify_pin(Pin(OTHER_PIN))


def test_wrong_puks_lock_the_puk(bench: Bench) -> None:
    for left in range(9, 0, -1):
        with pytest.raises(PinIncorrect) as caught:
            bench.driver.unblock_pin(Pin(WRONG_PUK), Pin(OTHER_PIN))
        assert (caught.value.reference, caught.value.tries_left) == ("puk", left)
    for puk in (WRONG_PUK, PUK):
        with pytest.raises(PinLocked) as locked:
            bench.driver.unblock_pin(Pin(puk), Pin(OTHER_PIN))
        assert locked.value.reference == "puk"
    bench.login()


def test_the_pin_a_token_came_with_must_be_changed_first(plug: Callable[..., Bench]) -> None:
    bench = plug(pin="111111", default_pin=True)
    assert bench.driver.pin_states()[PinReference.USER].must_change
    bench.driver.verify_pin(Pin("111111"))
    with pytest.raises(PinChangeRequired):
        bench.driver.generate_key(KeyAlgorithm.P256, KeyUsage.DISPLAY, "signing")
    bench.driver.change_pin(PinReference.USER, Pin("111111"), Pin(PIN))
    bench.login()
    bench.driver.generate_key(KeyAlgorithm.P256, KeyUsage.DISPLAY, "signing")


class TestRemoteUnblock:
    @pytest.fixture
    def bank(self) -> ec.EllipticCurvePrivateKey:
        return ec.generate_private_key(ec.SECP256R1())

    @pytest.fixture
    def bench(self, plug: Callable[..., Bench], bank: ec.EllipticCurvePrivateKey) -> Bench:
        key = bank.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return plug(unblock_key=key)

    def test_the_bank_s_signature_unblocks(
        self, bench: Bench, bank: ec.EllipticCurvePrivateKey
    ) -> None:
        lock(bench)
        challenge = bench.driver.unblock_challenge()
        assert UnblockChallenge.decode(challenge).serial == "V-1"
        signature = bank.sign(challenge, ec.ECDSA(hashes.SHA256()))
        bench.driver.unblock_by_bank(signature, Pin(OTHER_PIN))
        bench.driver.verify_pin(Pin(OTHER_PIN))
        assert bench.tries == (6, 10)

    def test_another_signature_does_not_and_spends_the_challenge(
        self, bench: Bench, bank: ec.EllipticCurvePrivateKey
    ) -> None:
        lock(bench)
        challenge = bench.driver.unblock_challenge()
        with pytest.raises(InputInvalid, match="not the bank's signature"):
            bench.driver.unblock_by_bank(os.urandom(70), Pin(OTHER_PIN))
        signature = bank.sign(challenge, ec.ECDSA(hashes.SHA256()))
        with pytest.raises(InputInvalid, match="waits for no signature"):
            bench.driver.unblock_by_bank(signature, Pin(OTHER_PIN))
        assert bench.tries == (0, 10)

    def test_a_weak_new_pin_is_refused_before_the_signature_is_used_up(
        self, bench: Bench, bank: ec.EllipticCurvePrivateKey
    ) -> None:
        challenge = bench.driver.unblock_challenge()
        signature = bank.sign(challenge, ec.ECDSA(hashes.SHA256()))
        sent = len(bench.exchanges)
        with pytest.raises(PinInvalid):
            bench.driver.unblock_by_bank(signature, Pin("123456"))
        assert len(bench.exchanges) == sent
        bench.driver.unblock_by_bank(signature, Pin(OTHER_PIN))


def test_a_token_made_without_a_bank_s_key_is_not_unblocked_by_one(bench: Bench) -> None:
    with pytest.raises(CapabilityMissing) as caught:
        bench.driver.unblock_challenge()
    assert caught.value.capability == "remote-unblock"
    with pytest.raises(CapabilityMissing):
        bench.driver.unblock_by_bank(b"signature", Pin(OTHER_PIN))


def test_no_secret_is_in_the_traffic_of_any_pin_command(bench: Bench) -> None:
    bench.login()
    with pytest.raises(PinIncorrect):
        bench.driver.verify_pin(Pin(WRONG_PIN))
    bench.driver.change_pin(PinReference.USER, Pin(PIN), Pin(OTHER_PIN))
    bench.driver.change_pin(PinReference.PUK, Pin(PUK), Pin("64092817"))
    bench.driver.unblock_pin(Pin("64092817"), Pin(PIN))
    stream = io.StringIO()
    writer = TraceWriter(stream)
    writer.begin(TraceHeader(bench.connection.atr, bench.connection.limits))
    for exchange in bench.exchanges:
        writer.write(exchange)
        stream.write(str(exchange) + repr(exchange))
    kept = stream.getvalue().replace(" ", "").lower()
    for secret in (PIN, WRONG_PIN, OTHER_PIN, PUK, "64092817"):
        assert secret not in kept
        assert secret.encode().hex() not in kept
    assert sum(exchange.masked for exchange in bench.exchanges) == 5


def test_logging_out_is_felt_by_the_next_command(bench: Bench) -> None:
    bench.login()
    bench.driver.logout()
    with pytest.raises(LoginRequired):
        bench.driver.generate_key(KeyAlgorithm.P256, KeyUsage.DISPLAY, "signing")
