"""What the applet's status words become."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ushield import errors
from ushield.drivers.meanings import Meanings
from ushield.drivers.shield.refusals import (
    BARE_SIGNATURE,
    BEGIN,
    CERTIFICATE,
    DELETE_KEY,
    GENERATE,
    LABEL,
    REQUEST,
    UNBLOCK,
    display_refusal,
    pin_refusal,
    refusal,
)
from ushield.errors import (
    PinError,
    PinIncorrect,
    PinInvalid,
    PinLocked,
    StatusWordError,
    UShieldError,
)
from ushield.pin import PinReference
from ushield.shield.commands import ShieldStatus
from ushield.shield.requests import DisplayRefusal, RefusalReason


@pytest.mark.parametrize(
    ("sw", "error"),
    [
        (0x6982, errors.LoginRequired),
        (0x6A84, errors.TokenFull),
        (0x6581, errors.StorageFull),
        (0x6A88, errors.ObjectNotFound),
        (0x9501, errors.RequestPending),
        (0x9502, errors.Rejected),
        (0x9503, errors.TimedOut),
        (0x9505, errors.ScreenBusy),
        (0x9506, errors.HostCancelled),
        (0x9507, errors.KeyHeld),
        (0x9508, errors.PinChangeRequired),
        (0x6985, errors.StatusWordError),
        (0x6A80, errors.StatusWordError),
    ],
)
def test_a_status_word_becomes_its_error(sw: int, error: type[UShieldError]) -> None:
    assert type(refusal(sw)) is error


@pytest.mark.parametrize(
    ("meanings", "sw", "error"),
    [
        (REQUEST, 0x6A88, errors.RequestUnknown),
        (BEGIN, 0x6A88, errors.ObjectNotFound),
        (BEGIN, 0x6985, errors.KeyUsageRefused),
        (BARE_SIGNATURE, 0x6985, errors.KeyUsageRefused),
        (BARE_SIGNATURE, 0x6A88, errors.ObjectNotFound),
        (CERTIFICATE, 0x6A80, errors.CertificateInvalid),
        (CERTIFICATE, 0x6A88, errors.ObjectNotFound),
        (GENERATE, 0x6A80, errors.InputInvalid),
        (DELETE_KEY, 0x6985, errors.ScreenBusy),
        (DELETE_KEY, 0x6A88, errors.ObjectNotFound),
        (LABEL, 0x6A80, errors.InputInvalid),
        (UNBLOCK, 0x6A80, errors.InputInvalid),
        (UNBLOCK, 0x6985, errors.InputInvalid),
        (UNBLOCK, 0x6984, errors.CapabilityMissing),
        (UNBLOCK, 0x9509, errors.PinInvalid),
    ],
)
def test_a_command_may_mean_something_else_by_it(
    meanings: Meanings, sw: int, error: type[UShieldError]
) -> None:
    assert type(refusal(sw, meanings)) is error
    assert type(refusal(0x9502, meanings)) is errors.Rejected


@pytest.mark.parametrize("status", sorted(set(ShieldStatus) - {0x9504, 0x9509}))
def test_every_status_word_of_the_applet_has_an_error_of_its_own(status: ShieldStatus) -> None:
    assert not isinstance(refusal(status), StatusWordError)


@given(st.integers(0, 0xFFFF))
def test_any_status_word_becomes_an_error_with_a_remedy(sw: int) -> None:
    error = refusal(sw)
    assert error.remedy
    if isinstance(error, StatusWordError):
        assert error.sw == sw
        assert f"{sw:04X}" in str(error)


@pytest.mark.parametrize("proof", PinReference)
class TestPinRefusals:
    @pytest.mark.parametrize("left", range(1, 16))
    def test_tries_left_are_told_for_the_secret_that_was_wrong(
        self, proof: PinReference, left: int
    ) -> None:
        error = pin_refusal(0x63C0 | left, proof, PinReference.USER)
        assert isinstance(error, PinIncorrect)
        assert (error.reference, error.tries_left) == (proof.value, left)

    @pytest.mark.parametrize("sw", [0x63C0, 0x6983])
    def test_no_tries_left_is_locked(self, proof: PinReference, sw: int) -> None:
        error = pin_refusal(sw, proof, PinReference.USER)
        assert isinstance(error, PinLocked)
        assert error.reference == proof.value

    @pytest.mark.parametrize(
        ("sw", "rule"), [(0x9509, "weak"), (0x6A80, "length"), (0x6700, "length")]
    )
    @pytest.mark.parametrize("new", PinReference)
    def test_a_bad_new_secret_is_named(
        self, proof: PinReference, sw: int, rule: str, new: PinReference
    ) -> None:
        error = pin_refusal(sw, proof, new)
        assert isinstance(error, PinInvalid)
        assert (error.reference, error.rule) == (new.value, rule)

    def test_anything_else_means_what_it_always_does(self, proof: PinReference) -> None:
        assert isinstance(pin_refusal(0x6982, proof, proof), PinError)
        assert isinstance(pin_refusal(0x6F00, proof, proof), StatusWordError)


@pytest.mark.parametrize(
    ("why", "reason", "character", "words"),
    [
        (
            DisplayRefusal(RefusalReason.GLYPH, 0x20BB7),
            "glyph",
            "𠮷",
            "U+20BB7 (CJK UNIFIED IDEOGRAPH-20BB7)",
        ),
        (DisplayRefusal(RefusalReason.GLYPH, 0xE9), "glyph", "é", "U+00E9 (LATIN SMALL LETTER E"),
        (DisplayRefusal(RefusalReason.GLYPH, 0x7), "glyph", "\x07", "U+0007 (a character without"),
        (DisplayRefusal(RefusalReason.TOO_LONG), "too-long", None, "pages"),
        (DisplayRefusal(RefusalReason.MALFORMED), "malformed", None, "cannot read"),
    ],
)
def test_a_refusal_to_display_says_why(
    why: DisplayRefusal, reason: str, character: str | None, words: str
) -> None:
    error = display_refusal(why)
    assert (error.reason, error.character) == (reason, character)
    assert words in str(error)
