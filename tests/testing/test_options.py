"""``--ushield-token``: the same tests on another token, and loud skips of what it cannot do."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import pytest

from ushield.testing.token import ForeignToken, VirtualTokenUnderTest

TESTS = """
    def test_any_token_opens(virtual_token):
        with virtual_token.open() as token:
            assert token.pin.tries_left
            print("serial", token.info.serial)

    def test_any_token_logs_in(virtual_token):
        with virtual_token.open() as token, token.session(virtual_token.pin) as session:
            assert session.logged_in

    def test_a_clock_is_moved(token_clock):
        token_clock.advance(1)

    def test_faults_are_ordered(usb_faults):
        assert not usb_faults.happened

    def test_another_is_made(virtual_token_factory):
        virtual_token_factory(profile="lenient")

    def test_its_screen_is_read(panel):
        assert panel.screen

    def test_a_person_is_told_what_to_press(panel):
        panel.expect(payee="张三").press_ok()
"""


@pytest.fixture
def other_token(tmp_path: Path) -> Path:
    """A token that is plugged in, as far as the tests can tell: its file, closed."""
    path = tmp_path / "other.token"
    with VirtualTokenUnderTest.create(path, pin="864209") as token:
        token.enrol()
    return path


def test_without_the_option_all_runs_on_fresh_virtual_tokens(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(TESTS)
    outcome = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-k", "not person")
    outcome.assert_outcomes(passed=6)


def test_with_it_the_named_token_is_used_and_the_rest_skipped_with_the_reason(
    pytester: pytest.Pytester, other_token: Path
) -> None:
    pytester.makepyfile(TESTS)
    pin_file = pytester.makefile(".txt", pin="864209")
    spec = f"virtual:{other_token}"
    outcome = pytester.runpytest_subprocess(
        "-p", "no:cacheprovider", "-rs", "--ushield-token", spec, "--ushield-pin-file", pin_file
    )
    outcome.assert_outcomes(passed=3, skipped=4)
    outcome.stdout.fnmatch_lines(
        [
            ">>> On the token: read to the end; press OK only if it shows payee 张三.",
            f"SKIPPED*{spec} is no fresh virtual token (*): run without --ushield-token",
        ]
    )


def test_whatever_only_a_virtual_token_has_is_skipped(tmp_path: Path) -> None:
    def skip(what: str) -> NoReturn:
        raise LookupError(what)

    foreign = ForeignToken("usb:1-4", "864209", say=print, skip=skip)
    with VirtualTokenUnderTest.create(tmp_path / "a.token") as token:
        names = {name for name in dir(token) if not name.startswith("_")}
    missing = names - set(dir(foreign))
    assert {"path", "clock", "unplug"} <= missing
    for name in missing:
        with pytest.raises(LookupError, match=f"{name} of a virtual token"):
            getattr(foreign, name)
    with pytest.raises(AttributeError):
        _ = foreign.pni


def test_a_foreign_token_without_its_pin_is_refused_before_any_try_is_spent(
    pytester: pytest.Pytester, other_token: Path
) -> None:
    pytester.makepyfile(TESTS)
    outcome = pytester.runpytest_subprocess("--ushield-token", f"virtual:{other_token}")
    assert outcome.ret == pytest.ExitCode.USAGE_ERROR
    outcome.stderr.fnmatch_lines(["*--ushield-token wants --ushield-pin-file, too"])
