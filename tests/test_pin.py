"""PINs as secrets, the rules a new one must keep, and what a counter says."""

from __future__ import annotations

import copy
import pickle

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ushield.algorithms import HashAlgorithm, KeyAlgorithm
from ushield.errors import PinInvalid
from ushield.pin import Pin, PinReference, PinRules, PinState

digits = st.text("0123456789", min_size=1, max_size=20)


class TestPin:
    def test_a_pin_reveals_its_digits_for_the_command_that_carries_them(self) -> None:
        for secret in ("802563", b"802563", bytearray(b"802563")):
            assert Pin(secret).reveal() == b"802563"

    @pytest.mark.parametrize("show", [repr, str, lambda pin: f"{pin}", lambda pin: f"{pin!r}"])
    def test_a_pin_cannot_be_read_by_accident(self, show: object) -> None:
        assert callable(show)
        assert show(Pin("802563")) == "Pin(hidden)"

    def test_a_pin_has_no_attribute_dictionary_to_leak(self) -> None:
        assert not hasattr(Pin("802563"), "__dict__")

    def test_a_pin_keeps_its_own_copy(self) -> None:
        handed_in = bytearray(b"802563")
        pin = Pin(handed_in)
        handed_in[:] = b"000000"
        assert pin.reveal() == b"802563"

    def test_wiping_overwrites_and_forgets(self) -> None:
        pin = Pin("802563")
        held = pin._secret
        watched = memoryview(held)
        with pytest.raises(BufferError):  # the view keeps the buffer, to see it overwritten
            pin.wipe()
        assert bytes(watched) == bytes(6)
        watched.release()
        pin.wipe()
        pin.wipe()
        assert len(pin) == 0
        with pytest.raises(ValueError, match="wiped"):
            pin.reveal()

    def test_the_end_of_a_with_block_wipes(self) -> None:
        pin = Pin("802563")

        def fail() -> None:
            with pin as same:
                assert same.reveal() == b"802563"
                raise KeyError

        with pytest.raises(KeyError):
            fail()
        with pytest.raises(ValueError, match="wiped"):
            pin.reveal()

    def test_an_empty_pin_reveals_nothing(self) -> None:
        with pytest.raises(ValueError, match="empty"):
            Pin("").reveal()

    @given(digits, digits)
    def test_pins_compare_by_their_digits(self, one: str, other: str) -> None:
        assert (Pin(one) == Pin(other)) == (one == other)
        assert Pin(one) != one

    @pytest.mark.parametrize("write", [pickle.dumps, copy.copy, copy.deepcopy])
    def test_a_pin_is_not_written_down(self, write: object) -> None:
        assert callable(write)
        with pytest.raises(TypeError, match="not written down"):
            write(Pin("802563"))

    def test_a_pin_cannot_be_a_key(self) -> None:
        with pytest.raises(TypeError, match="unhashable"):
            hash(Pin("802563"))


class TestRules:
    rules = PinRules()

    @pytest.mark.parametrize("secret", [b"802563", b"805263917402"])
    def test_six_to_twelve_digits_are_a_pin_by_default(self, secret: bytes) -> None:
        self.rules.check_new(secret, PinReference.USER)

    @pytest.mark.parametrize(
        ("secret", "rule"),
        [
            (b"", "length"),
            (b"80256", "length"),
            (b"8052639174025", "length"),
            (b"80256a", "characters"),
            (b"80256\xb2", "characters"),
            ("８０２５６３".encode(), "length"),
            ("٨٠".encode() + b"80", "characters"),
            (b"80-563", "characters"),
            (b" 80256", "characters"),
        ],
    )
    @pytest.mark.parametrize("reference", PinReference)
    def test_what_cannot_be_a_pin_is_refused_by_its_rule(
        self, secret: bytes, rule: str, reference: PinReference
    ) -> None:
        for check in (self.rules.check_format, self.rules.check_new):
            with pytest.raises(PinInvalid) as caught:
                check(secret, reference)
            assert (caught.value.rule, caught.value.reference) == (rule, reference.value)

    @pytest.mark.parametrize(
        "secret", [b"000000", b"999999999999", b"123456", b"456789", b"987654", b"543210"]
    )
    def test_a_weak_pin_may_be_verified_but_not_set(self, secret: bytes) -> None:
        self.rules.check_format(secret, PinReference.USER)
        with pytest.raises(PinInvalid) as caught:
            self.rules.check_new(secret, PinReference.USER)
        assert caught.value.rule == "weak"

    @pytest.mark.parametrize("secret", [b"112233", b"890123", b"123457", b"135790", b"121212"])
    def test_only_all_same_and_one_run_are_weak(self, secret: bytes) -> None:
        self.rules.check_new(secret, PinReference.USER)

    @given(digits, st.integers(1, 8), st.integers(0, 8))
    def test_lengths_are_the_profile_s(self, secret: str, shortest: int, more: int) -> None:
        rules = PinRules(min_length=shortest, max_length=shortest + more)
        if shortest <= len(secret) <= shortest + more:
            rules.check_format(secret.encode(), PinReference.USER)
        else:
            with pytest.raises(PinInvalid) as caught:
                rules.check_format(secret.encode(), PinReference.USER)
            assert caught.value.rule == "length"

    @given(
        st.text(st.characters(min_codepoint=0x80), min_size=6, max_size=12)
        | st.sampled_from(["777777", "345678", "987654"])
    )
    def test_a_refusal_quotes_nothing(self, secret: str) -> None:
        with pytest.raises(PinInvalid) as caught:
            self.rules.check_new(secret.encode("utf-8", "surrogatepass"), PinReference.USER)
        assert not set(secret) & set(str(caught.value))


@given(st.integers(0, 15), st.integers(1, 15))
def test_a_counter_says_how_near_the_lock_is(tries_left: int, max_tries: int) -> None:
    assume(tries_left <= max_tries)
    state = PinState(PinReference.USER, tries_left, max_tries)
    assert state.locked == (tries_left == 0)
    assert state.final_try == (tries_left == 1)
    assert state.count_low == (tries_left < max_tries)


@pytest.mark.parametrize(
    ("algorithm", "is_rsa", "hash_algorithm"),
    [
        (KeyAlgorithm.RSA_2048, True, HashAlgorithm.SHA256),
        (KeyAlgorithm.RSA_3072, True, HashAlgorithm.SHA256),
        (KeyAlgorithm.RSA_4096, True, HashAlgorithm.SHA256),
        (KeyAlgorithm.P256, False, HashAlgorithm.SHA256),
        (KeyAlgorithm.P384, False, HashAlgorithm.SHA384),
    ],
)
def test_every_key_signs_with_the_hash_of_its_strength(
    algorithm: KeyAlgorithm, is_rsa: bool, hash_algorithm: HashAlgorithm
) -> None:
    assert algorithm.is_rsa is is_rsa
    assert algorithm.hash is hash_algorithm


@pytest.mark.parametrize("algorithm", HashAlgorithm)
def test_a_hash_knows_its_digest_s_size_and_its_name_in_hashlib(algorithm: HashAlgorithm) -> None:
    import hashlib

    assert algorithm.digest_size == hashlib.new(algorithm).digest_size
