"""Registration codes: read as people type them, kept as a hash, and never shown by accident."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ushield.bank.lifecycle.codes import RegistrationCode
from ushield.bank.lifecycle.refusals import CodeReason, RegistrationCodeRefused

SALT = bytes(16)


def test_a_code_has_four_groups_and_is_another_each_time() -> None:
    codes = {RegistrationCode.generate().text for _ in range(50)}
    assert len(codes) == 50
    for text in codes:
        groups = text.split("-")
        assert [len(group) for group in groups] == [5, 5, 5, 5]
        assert not set("ILOU") & set(text)


def test_a_code_is_read_however_a_person_types_it() -> None:
    code = RegistrationCode.parse("01234-56789-ABCDE-FGHJK")
    for typed in (
        "0123456789ABCDEFGHJK",
        " o123456789abcdefghjk\n",
        "0I234-56789-abcde-fghjk",
        "0l23 4567 89ab cdef ghjk",
    ):
        assert RegistrationCode.parse(typed).text == code.text


@given(st.text(max_size=80))
def test_what_is_read_is_read_again_and_anything_else_is_refused(text: str) -> None:
    try:
        code = RegistrationCode.parse(text)
    except RegistrationCodeRefused:
        return
    assert RegistrationCode.parse(code.text).text == code.text


@pytest.mark.parametrize("text", ["", "hunter2", "0123456789ABCDEFGHJKM", "U" * 20, "0" * 100])
def test_a_refusal_does_not_repeat_what_was_typed(text: str) -> None:
    with pytest.raises(RegistrationCodeRefused) as caught:
        RegistrationCode.parse(text)
    assert caught.value.reason is CodeReason.WRONG
    assert str(caught.value) == "that is no registration code"


def test_what_is_kept_depends_on_the_secret_and_the_salt() -> None:
    code = RegistrationCode.parse("01234-56789-ABCDE-FGHJK")
    other = RegistrationCode.parse("01234-56789-ABCDE-FGHJM")
    assert code.locator == other.locator == "01234567"
    digests = {code.digest(SALT), other.digest(SALT), code.digest(bytes([1] * 16))}
    assert len(digests) == 3


def test_a_code_is_not_in_its_repr() -> None:
    assert repr(RegistrationCode.generate()) == "RegistrationCode(hidden)"
    with pytest.raises(AttributeError):
        RegistrationCode.generate().__dict__  # noqa: B018
