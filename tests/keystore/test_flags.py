"""A token's PKCS #11 flags follow from the states of its PIN and its PUK."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ushield.keystore import TokenFlag
from ushield.keystore.flags import token_flags
from ushield.pin import PinReference, PinState


@st.composite
def states(draw: st.DrawFn, reference: PinReference) -> PinState:
    most = draw(st.integers(1, 15))
    return PinState(reference, draw(st.integers(0, most)), most, must_change=draw(st.booleans()))


# Bits from pkcs11t.h of OASIS PKCS #11 v3.1.
@pytest.mark.parametrize(
    ("flag", "bit"),
    [
        (TokenFlag.RNG, 0),
        (TokenFlag.WRITE_PROTECTED, 1),
        (TokenFlag.LOGIN_REQUIRED, 2),
        (TokenFlag.USER_PIN_INITIALIZED, 3),
        (TokenFlag.PROTECTED_AUTHENTICATION_PATH, 8),
        (TokenFlag.TOKEN_INITIALIZED, 10),
        (TokenFlag.USER_PIN_COUNT_LOW, 16),
        (TokenFlag.USER_PIN_FINAL_TRY, 17),
        (TokenFlag.USER_PIN_LOCKED, 18),
        (TokenFlag.USER_PIN_TO_BE_CHANGED, 19),
        (TokenFlag.SO_PIN_COUNT_LOW, 20),
        (TokenFlag.SO_PIN_FINAL_TRY, 21),
        (TokenFlag.SO_PIN_LOCKED, 22),
        (TokenFlag.SO_PIN_TO_BE_CHANGED, 23),
        (TokenFlag.ERROR_STATE, 24),
    ],
)
def test_flags_have_the_bits_of_the_standard(flag: TokenFlag, bit: int) -> None:
    assert flag == 1 << bit


@given(states(PinReference.USER), states(PinReference.PUK))
def test_each_flag_says_what_the_counters_say(user: PinState, puk: PinState) -> None:
    flags = token_flags({PinReference.USER: user, PinReference.PUK: puk})
    told = {
        TokenFlag.LOGIN_REQUIRED: True,
        TokenFlag.TOKEN_INITIALIZED: True,
        TokenFlag.USER_PIN_INITIALIZED: True,
        TokenFlag.USER_PIN_COUNT_LOW: user.tries_left < user.max_tries,
        TokenFlag.USER_PIN_FINAL_TRY: user.tries_left == 1,
        TokenFlag.USER_PIN_LOCKED: user.tries_left == 0,
        TokenFlag.USER_PIN_TO_BE_CHANGED: user.must_change,
        TokenFlag.SO_PIN_COUNT_LOW: puk.tries_left < puk.max_tries,
        TokenFlag.SO_PIN_FINAL_TRY: puk.tries_left == 1,
        TokenFlag.SO_PIN_LOCKED: puk.tries_left == 0,
        TokenFlag.SO_PIN_TO_BE_CHANGED: puk.must_change,
    }
    for flag in TokenFlag:
        assert bool(flags & flag) is told.get(flag, False), flag


@given(states(PinReference.USER))
def test_a_token_without_a_puk_has_none_of_its_flags(user: PinState) -> None:
    assert token_flags({PinReference.USER: user}) < TokenFlag.SO_PIN_COUNT_LOW


def test_a_token_without_a_user_pin_says_so() -> None:
    assert TokenFlag.USER_PIN_INITIALIZED not in token_flags({})
