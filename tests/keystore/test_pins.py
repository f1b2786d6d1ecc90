"""The PIN as the host sees it: counters told, the last try guarded, nothing spent by mistake."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.iso7816.connections import DirectConnection
from tests.keystore.conftest import MakeToken
from ushield.errors import (
    LastTryRefused,
    PinIncorrect,
    PinInvalid,
    PinLocked,
    StatusWordError,
    UShieldError,
)
from ushield.keystore import Token, TokenFlag
from ushield.pin import Pin
from ushield.signing import open_token
from ushield.signing.opening import token_behind
from ushield.testing.token import VirtualTokenUnderTest
from ushield.virtual.card import Card
from ushield.virtual.create import create_token

NEW = "246802"
WRONG = "975310"


def counters(token: Token) -> tuple[int, int]:
    puk = token.pin.puk
    assert puk is not None
    return token.pin.tries_left, puk.tries_left


def test_a_fresh_token_has_all_tries(bare: VirtualTokenUnderTest) -> None:
    with bare.open() as token:
        assert token.pin.tries_left == token.pin.max_tries == 6
        assert not token.pin.count_low
        assert not token.pin.final_try
        assert not token.pin.locked
        assert not token.pin.must_change
        assert counters(token) == (6, 10)


def test_a_wrong_pin_costs_one_try_and_a_right_one_restores_them(
    bare: VirtualTokenUnderTest,
) -> None:
    with bare.open() as token:
        with pytest.raises(PinIncorrect) as refusal:
            token.session(WRONG)
        assert refusal.value.tries_left == token.pin.tries_left == 5
        assert token.pin.count_low
        assert TokenFlag.USER_PIN_COUNT_LOW in token.flags
        with token.session(bare.pin):
            assert token.pin.tries_left == 6
            assert not token.pin.count_low


def test_the_last_try_is_not_spent_unless_the_caller_says_so(
    virtual_token_factory: MakeToken,
) -> None:
    rig = virtual_token_factory(algorithm=None, tries_left=1)
    with rig.open() as token:
        assert token.pin.final_try
        assert TokenFlag.USER_PIN_FINAL_TRY in token.flags
        for attempt in (
            lambda: token.session(rig.pin),
            lambda: token.session(WRONG),
            lambda: token.pin.change(rig.pin, NEW),
        ):
            with pytest.raises(LastTryRefused):
                attempt()
        assert token.pin.tries_left == 1
        assert token.sessions == ()
        with token.session(rig.pin, allow_last_try=True):
            assert token.pin.tries_left == 6


def test_the_last_try_may_be_lost_if_the_caller_says_so(virtual_token_factory: MakeToken) -> None:
    rig = virtual_token_factory(algorithm=None, tries_left=1)
    with rig.open() as token:
        with pytest.raises(PinLocked):
            token.session(WRONG, allow_last_try=True)
        assert token.pin.locked
        assert TokenFlag.USER_PIN_LOCKED in token.flags
        with pytest.raises(PinLocked):
            token.session(rig.pin)


def test_a_locked_pin_is_unblocked_by_the_puk(virtual_token_factory: MakeToken) -> None:
    rig = virtual_token_factory(algorithm=None, tries_left=0)
    with rig.open() as token:
        with pytest.raises(PinLocked) as refusal:
            token.session(rig.pin)
        assert "unblock" in refusal.value.remedy
        token.pin.unblock(rig.puk, NEW)
        assert counters(token) == (6, 10)
        with token.session(NEW):
            pass
        with pytest.raises(PinIncorrect):
            token.session(rig.pin)


def test_a_wrong_puk_costs_its_own_tries_until_it_locks(virtual_token_factory: MakeToken) -> None:
    rig = virtual_token_factory(algorithm=None, profile="lenient")
    with rig.open() as token:
        for left in (2, 1):
            with pytest.raises(PinIncorrect) as wrong:
                token.pin.unblock("97531864", NEW)
            assert wrong.value.facts == {"reference": "puk", "tries_left": left}
        with pytest.raises(LastTryRefused) as refused:
            token.pin.unblock(rig.puk, NEW)
        assert refused.value.reference == "puk"
        with pytest.raises(PinLocked):
            token.pin.unblock("97531864", NEW, allow_last_try=True)
        with pytest.raises(PinLocked) as locked:
            token.pin.unblock(rig.puk, NEW)
        assert locked.value.reference == "puk"
        assert counters(token) == (3, 0)
        assert TokenFlag.SO_PIN_LOCKED in token.flags


def test_pin_and_puk_are_changed_by_proving_the_old_ones(bare: VirtualTokenUnderTest) -> None:
    with bare.open() as token:
        token.pin.change(bare.pin, NEW)
        token.pin.change_puk(Pin(bare.puk), Pin("13572468"))
        with token.session(NEW):
            pass
        token.pin.unblock("13572468", bare.pin)
        with token.session(bare.pin):
            pass


def test_a_wrong_old_pin_changes_nothing(bare: VirtualTokenUnderTest) -> None:
    with bare.open() as token:
        with pytest.raises(PinIncorrect) as refusal:
            token.pin.change(WRONG, NEW)
        assert refusal.value.tries_left == 5
        with token.session(bare.pin):
            pass


def test_a_default_pin_must_be_changed_and_then_need_not(
    virtual_token_factory: MakeToken,
) -> None:
    rig = virtual_token_factory(algorithm=None, pin="123456", default_pin=True)
    with rig.open() as token:
        assert token.pin.must_change
        assert TokenFlag.USER_PIN_TO_BE_CHANGED in token.flags
        token.pin.change("123456", NEW)
        assert not token.pin.must_change


Act = Callable[[Token, VirtualTokenUnderTest, str], object]
LOG_IN: Act = lambda token, rig, secret: token.session(secret)  # noqa: E731
CHANGE_FROM: Act = lambda token, rig, secret: token.pin.change(secret, NEW)  # noqa: E731
CHANGE_TO: Act = lambda token, rig, secret: token.pin.change(rig.pin, secret)  # noqa: E731
CHANGE_PUK: Act = lambda token, rig, secret: token.pin.change_puk(rig.puk, secret)  # noqa: E731
UNBLOCK_BY: Act = lambda token, rig, secret: token.pin.unblock(secret, NEW)  # noqa: E731
UNBLOCK_TO: Act = lambda token, rig, secret: token.pin.unblock(rig.puk, secret)  # noqa: E731


@pytest.mark.parametrize(
    "act", [LOG_IN, CHANGE_FROM, CHANGE_TO, CHANGE_PUK, UNBLOCK_BY, UNBLOCK_TO]
)
@pytest.mark.parametrize(
    ("secret", "rule"),
    [
        ("", "length"),
        ("13579", "length"),
        ("1357902468135", "length"),
        ("13579a", "characters"),
        ("１３５７９０", "characters"),
    ],
)
def test_what_can_be_no_pin_spends_no_try(
    bare: VirtualTokenUnderTest, act: Act, secret: str, rule: str
) -> None:
    with bare.open() as token:
        with pytest.raises(PinInvalid) as refusal:
            act(token, bare, secret)
        assert refusal.value.rule == rule
        assert counters(token) == (6, 10)


@pytest.mark.parametrize("act", [CHANGE_TO, CHANGE_PUK, UNBLOCK_TO])
@pytest.mark.parametrize("weak", ["111111", "123456", "987654"])
def test_a_weak_new_pin_spends_no_try(bare: VirtualTokenUnderTest, act: Act, weak: str) -> None:
    with bare.open() as token:
        with pytest.raises(PinInvalid) as refusal:
            act(token, bare, weak)
        assert refusal.value.rule == "weak"
        assert counters(token) == (6, 10)


def test_the_old_pin_is_no_new_one(bare: VirtualTokenUnderTest) -> None:
    with bare.open() as token:
        with pytest.raises(PinInvalid) as refusal:
            token.pin.change(bare.pin, bare.pin)
        assert refusal.value.rule == "unchanged"
        assert counters(token) == (6, 10)


@pytest.mark.parametrize("tries_left", [0, 1])
def test_a_malformed_pin_spends_no_try_however_few_are_left(
    virtual_token_factory: MakeToken, tries_left: int
) -> None:
    rig = virtual_token_factory(algorithm=None, tries_left=tries_left)
    with rig.open() as token:
        with pytest.raises(UShieldError):
            token.session("13")
        assert token.pin.tries_left == tries_left


def test_the_bank_unblocks_by_signing_the_tokens_challenge_once(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    bank = ec.generate_private_key(ec.SECP256R1())
    path = tmp_path_factory.mktemp("bank") / "token"
    unblock_key = bank.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    create_token(path, pin="135790", unblock_key=unblock_key)
    with open_token(f"virtual:{path}") as token:
        challenge = token.pin.unblock_challenge()
        signature = bank.sign(challenge, ec.ECDSA(SHA256()))
        token.pin.unblock_by_bank(signature, NEW)
        with pytest.raises(UShieldError):
            token.pin.unblock_by_bank(signature, "864209")
        with token.session(NEW):
            pass
        forged = ec.generate_private_key(ec.SECP256R1())
        challenge = token.pin.unblock_challenge()
        with pytest.raises(UShieldError) as refusal:
            token.pin.unblock_by_bank(forged.sign(challenge, ec.ECDSA(SHA256())), "864209")
        assert not isinstance(refusal.value, StatusWordError)
        assert token.pin.tries_left == 6


class Turns(DirectConnection):
    """Lets who is ``waiting`` have a turn as soon as nobody holds the connection."""

    def __init__(self, card: Card) -> None:
        super().__init__(card.transmit, power_on=card.power_on)
        self.waiting: list[Callable[[], object]] = []
        self._depth = 0

    @contextmanager
    def hold(self, timeout: float | None = None) -> Iterator[None]:
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
            if not self._depth and self.waiting:
                self.waiting.pop()()


def test_nobody_spends_a_try_between_the_look_at_the_counter_and_the_attempt(
    virtual_token_factory: MakeToken,
) -> None:
    rig = virtual_token_factory(algorithm=None, tries_left=2)
    connection = Turns(rig.virtual.card)
    with token_behind(connection) as token:
        outcomes: list[type[UShieldError]] = []

        def attempt() -> None:
            try:
                token.session(WRONG)
            except UShieldError as error:
                outcomes.append(type(error))

        connection.waiting.append(attempt)
        attempt()
        assert sorted(each.__name__ for each in outcomes) == ["LastTryRefused", "PinIncorrect"]
        assert token.pin.tries_left == 1
