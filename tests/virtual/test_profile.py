"""The profiles shipped with the virtual token."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ushield.errors import InputInvalid
from ushield.pin import PinReference
from ushield.transaction.pages import Screen
from ushield.transaction.repertoire import Repertoire
from ushield.virtual.profile import load_profile, profile_names


def test_the_profiles_are_those_that_the_testing_page_names() -> None:
    page = (Path(__file__).parent.parent.parent / "docs" / "testing.md").read_text()
    table = page.split("| profile | is |", 1)[1].split("\n\n", 1)[0]
    assert sorted(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == list(profile_names())


@pytest.mark.parametrize("name", profile_names())
def test_every_profile_says_that_its_token_is_virtual(name: str) -> None:
    profile = load_profile(name)
    assert profile.name == name
    assert "(virtual)" in profile.model
    assert profile.screen.banner in ("虚拟", "VIRTUAL")


@pytest.mark.parametrize("name", profile_names())
def test_every_profile_has_a_screen_that_pages_can_be_laid_out_for(name: str) -> None:
    info = load_profile(name).screen
    screen = Screen(info.lines, info.columns, Repertoire(info.repertoire), info.banner)
    assert screen.banner == info.banner


@pytest.mark.parametrize("name", profile_names())
def test_every_profile_fits_the_fields_of_the_protocol(name: str) -> None:
    profile = load_profile(name)
    assert 1 <= profile.max_keys <= 255
    assert 1 <= profile.max_certificates <= 255
    assert 1 <= profile.timeout <= 255
    assert profile.max_message < 1 << 16
    assert profile.max_certificate < 1 << 16
    assert 1 <= profile.pin_rules.max_tries <= 15
    assert 1 <= profile.pin_rules.puk_max_tries <= 15
    profile.pin_rules.check_new(b"290471", PinReference.USER)
    profile.pin_rules.check_new(b"29047135", PinReference.PUK)


def test_default_profile_is_the_screen_of_four_lines_of_eight_hanzi() -> None:
    profile = load_profile("default")
    assert (profile.screen.lines, profile.screen.columns, profile.screen.repertoire) == (
        4,
        16,
        "gbk",
    )
    assert profile.timeout == 60
    assert profile.pin_rules.pin_per_signature


def test_lenient_profile_verifies_once_and_has_three_tries() -> None:
    rules = load_profile("lenient").pin_rules
    assert not rules.pin_per_signature
    assert rules.max_tries == 3


@pytest.mark.parametrize("name", ["", "none", "../default", "default.toml"])
def test_unknown_profile_is_refused_with_the_names_there_are(name: str) -> None:
    with pytest.raises(InputInvalid) as refusal:
        load_profile(name)
    assert "ascii, default, lenient, wide" in refusal.value.remedy
