"""PINs are wiped by whoever made them."""

from __future__ import annotations

import pytest

from ushield.errors import PinInvalid
from ushield.keystore.secrets import borrowed
from ushield.pin import Pin, PinReference


def test_a_pin_made_from_text_is_wiped_after_use() -> None:
    with borrowed("135790") as pin:
        assert pin.reveal() == b"135790"
    with pytest.raises(ValueError, match="wiped"):
        pin.reveal()


def test_a_pin_made_from_text_is_wiped_when_its_use_fails() -> None:
    with pytest.raises(PinInvalid), borrowed("135790") as pin:
        raise PinInvalid("no", reference="user", rule="weak")
    assert len(pin) == 0


def test_the_callers_own_pin_is_left_to_the_caller() -> None:
    mine = Pin("135790")
    with borrowed(mine) as pin:
        assert pin is mine
    assert mine.reveal() == b"135790"


@pytest.mark.parametrize(
    ("secret", "rule"),
    [("", "length"), (Pin(""), "length"), ("１２３４５６", "characters"), ("\udcff", "characters")],
)
def test_what_could_not_be_sent_is_refused_without_quoting_it(secret: str | Pin, rule: str) -> None:
    with pytest.raises(PinInvalid) as refusal, borrowed(secret, PinReference.PUK):
        pass
    assert refusal.value.facts == {"reference": "puk", "rule": rule}
    assert not isinstance(secret, str) or not secret or secret not in repr(refusal.value)
    assert refusal.value.__cause__ is None
