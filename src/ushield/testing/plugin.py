"""The pytest plugin: fixtures for a token under test, and the option to use another one.

Imports nothing heavy before a fixture is used, because pytest loads it in every project that has
ushield installed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, cast

import pytest

if TYPE_CHECKING:
    from ushield.testing.panel import PanelDriver
    from ushield.testing.token import VirtualTokenUnderTest
    from ushield.virtual.clock import ManualClock
    from ushield.virtual.usb import UsbFaults

__all__ = [
    "panel",
    "pytest_addoption",
    "pytest_configure",
    "token_clock",
    "usb_faults",
    "virtual_token",
    "virtual_token_factory",
]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--ushield-token`` and ``--ushield-pin-file``."""
    group = parser.getgroup("ushield", "ushield: token under test")
    group.addoption(
        "--ushield-token",
        metavar="SPEC",
        help="run tests of the fixture virtual_token on this token (usb:1-4, virtual:PATH, a "
        "serial); what only a fresh virtual token can do is skipped",
    )
    group.addoption(
        "--ushield-pin-file",
        metavar="FILE",
        help="first line: the PIN of that token",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Refuse a foreign token without its PIN before any test can spend a try."""
    if config.getoption("--ushield-token") and not config.getoption("--ushield-pin-file"):
        raise pytest.UsageError("--ushield-token wants --ushield-pin-file, too")


def _skip(config: pytest.Config, what: str) -> NoReturn:
    spec = config.getoption("--ushield-token")
    pytest.skip(f"{spec} is no fresh virtual token ({what}): run without --ushield-token")


def _foreign(config: pytest.Config, spec: str) -> Any:
    from ushield.testing.token import ForeignToken

    lines = Path(config.getoption("--ushield-pin-file")).read_text(encoding="ascii").splitlines()
    if not lines:
        raise pytest.UsageError("the file of --ushield-pin-file is empty")

    def say(text: str) -> None:
        capture = config.pluginmanager.getplugin("capturemanager")
        with capture.global_and_fixture_disabled():
            config.get_terminal_writer().line(f"\n>>> {text}")

    return ForeignToken(spec, lines[0], say=say, skip=lambda what: _skip(config, what))


@pytest.fixture
def virtual_token_factory(
    tmp_path: Path, pytestconfig: pytest.Config
) -> Iterator[Callable[..., VirtualTokenUnderTest]]:
    """Make virtual tokens, closed when the test ends.

    Takes the arguments of `VirtualTokenUnderTest.create` but the path, and ``algorithm`` (of the
    key it is enrolled with, P-256 by default; ``None`` for an empty token) and ``tries_left``.
    """
    if pytestconfig.getoption("--ushield-token"):
        _skip(pytestconfig, "making tokens")
    from ushield.algorithms import KeyAlgorithm
    from ushield.testing.token import VirtualTokenUnderTest

    made: list[VirtualTokenUnderTest] = []

    def make(
        *,
        algorithm: KeyAlgorithm | None = KeyAlgorithm.P256,
        tries_left: int | None = None,
        **settings: Any,
    ) -> VirtualTokenUnderTest:
        token = VirtualTokenUnderTest.create(tmp_path / f"{len(made) + 1}.token", **settings)
        made.append(token)
        if algorithm is not None:
            token.enrol(algorithm)
        if tries_left is not None:
            token.spend_tries(tries_left)
        return token

    yield make
    for token in made:
        token.close()


@pytest.fixture
def virtual_token(
    request: pytest.FixtureRequest, pytestconfig: pytest.Config
) -> VirtualTokenUnderTest:
    """A token with a P-256 display key and its certificate; another one with ``--ushield-token``.

    ``virtual_token.open()`` is `ushield.open_token` on it, ``virtual_token.pin`` its PIN.
    """
    spec = pytestconfig.getoption("--ushield-token")
    if spec:
        return cast("VirtualTokenUnderTest", _foreign(pytestconfig, spec))
    make: Callable[..., VirtualTokenUnderTest] = request.getfixturevalue("virtual_token_factory")
    return make()


@pytest.fixture
def panel(virtual_token: VirtualTokenUnderTest) -> PanelDriver:
    """The screen and keys of `virtual_token`."""
    return virtual_token.panel


@pytest.fixture
def token_clock(virtual_token: VirtualTokenUnderTest) -> ManualClock:
    """The clock of `virtual_token`; it stands still until ``advance`` is called."""
    return virtual_token.clock


@pytest.fixture
def usb_faults(virtual_token: VirtualTokenUnderTest) -> UsbFaults:
    """Faults to order on the USB transfers of `virtual_token`."""
    return virtual_token.usb_faults
