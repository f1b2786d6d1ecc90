"""Errors: one root, stable codes, remedies, and facts that survive pickling."""

from __future__ import annotations

import copy
import inspect
import pickle
import re

import pytest

from ushield import errors
from ushield.errors import (
    AccessDenied,
    CapabilityMissing,
    DisplayRefused,
    InputInvalid,
    ObjectNotFound,
    PinError,
    PinIncorrect,
    PinInvalid,
    PinLocked,
    SeveralTokens,
    StatusWordError,
    TokenBusy,
    TokenFileInvalid,
    TransactionInvalid,
    UShieldError,
)

ALL = [getattr(errors, name) for name in errors.__all__]

EXAMPLES = [
    UShieldError("broken"),
    AccessDenied("no right"),
    ObjectNotFound("none", remedy="Look elsewhere."),
    TransactionInvalid("too much", field="amount"),
    PinInvalid("too short", reference="puk", rule="length"),
    TokenFileInvalid("cut short", path="/tmp/t", remedy="Restore it."),
    SeveralTokens("two", candidates=["usb:1-1", "usb:1-2"]),
    TokenBusy("in use", pid=42, program="pcscd"),
    CapabilityMissing("no screen", capability="display-signing"),
    StatusWordError("6F00", sw=0x6F00),
    PinIncorrect(reference="user", tries_left=2),
    PinLocked(reference="puk"),
    DisplayRefused("no glyph", reason="glyph", character="𠮷"),
]


def test_the_module_exports_every_error_in_it() -> None:
    defined = {
        name
        for name, value in vars(errors).items()
        if inspect.isclass(value) and issubclass(value, UShieldError)
    }
    assert set(errors.__all__) == defined
    assert errors.__all__ == sorted(errors.__all__)


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_every_error_has_a_root_a_code_a_docstring_and_a_remedy(kind: type[UShieldError]) -> None:
    assert issubclass(kind, UShieldError)
    assert re.fullmatch("[a-z]+(-[a-z]+)*", kind.code)
    assert kind.__doc__
    assert re.fullmatch(r"\S.*[.]", kind.default_remedy)


def test_codes_are_unique() -> None:
    codes = [kind.code for kind in ALL]
    assert len(set(codes)) == len(codes)


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: error.code)
def test_an_error_survives_pickling_and_copying_with_its_facts(error: UShieldError) -> None:
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(again) is type(error)
        assert str(again) == str(error)
        assert again.remedy == error.remedy
        assert again.facts == error.facts


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: error.code)
def test_facts_are_what_the_class_says_it_carries(error: UShieldError) -> None:
    assert tuple(error.facts) == error.carries
    assert all(getattr(error, name) == value for name, value in error.facts.items())


def test_people_are_told_which_tokens_a_name_could_mean() -> None:
    error = SeveralTokens("two", candidates=["usb:1-4/0", "usb:1-4/1"])
    assert "usb:1-4/0, usb:1-4/1" in error.remedy


@pytest.mark.parametrize(
    ("error", "facts"),
    [
        (PinIncorrect(reference="user", tries_left=2), {"reference": "user", "tries_left": 2}),
        (SeveralTokens("two", candidates=["a", "b"]), {"candidates": ("a", "b")}),
        (TokenBusy("in use"), {"pid": None, "program": None}),
        (InputInvalid("bad"), {}),
    ],
)
def test_facts_have_names(error: UShieldError, facts: dict[str, object]) -> None:
    assert error.facts == facts


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (PinIncorrect(reference="user", tries_left=1), "wrong PIN, 1 try left"),
        (PinIncorrect(reference="puk", tries_left=9), "wrong PUK, 9 tries left"),
        (PinLocked(reference="user"), "the PIN is locked"),
        (PinLocked(reference="puk"), "the PUK is locked"),
    ],
)
def test_pin_errors_say_whose_secret_and_how_many_tries(error: PinError, message: str) -> None:
    assert str(error) == message


def test_remedies_fit_the_case() -> None:
    assert "PUK" in PinLocked(reference="user").remedy
    assert "bank" in PinLocked(reference="puk").remedy
    assert TokenBusy("in use", pid=42, program="pcscd").remedy.startswith(
        "Close pcscd (process 42)"
    )
    assert TokenBusy("in use").remedy.startswith("Close the other program")
    assert ObjectNotFound("none", remedy="Look.").remedy == "Look."
    assert ObjectNotFound("none").remedy == ObjectNotFound.default_remedy


@pytest.mark.parametrize(("reference", "name"), [("user", "PIN"), ("puk", "PUK")])
def test_a_secret_that_is_refused_is_named(reference: str, name: str) -> None:
    assert str(PinInvalid("digits only", reference=reference, rule="characters")).startswith(name)
    assert name in str(PinIncorrect(reference=reference, tries_left=1))
    assert name in str(PinLocked(reference=reference))
