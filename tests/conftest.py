"""What the whole suite shares."""

from __future__ import annotations

import pytest
from hypothesis import settings

from ushield.transport.pcsc.errors import PcscUnavailable
from ushield.transport.pcsc.scheme import PcscScheme

pytest_plugins = ["pytester"]

# A loaded machine is slow, not wrong: no test of a property is a test of time.
settings.register_profile("ushield", deadline=None)
settings.load_profile("ushield")

_SHARED = ("clients", "kernel")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where several processes run the suite, keep together what is set up once.

    That is a file, and all tests with a marker of `_SHARED`: there is one pcscd on a machine.
    """
    for item in items:
        shared = next((name for name in _SHARED if item.get_closest_marker(name)), None)
        group = shared or item.nodeid.partition("::")[0]
        item.add_marker(pytest.mark.xdist_group(group))


@pytest.fixture(autouse=True)
def no_pcscd(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide this machine's pcscd from tests that are not about it: it may be another test's."""

    def nobody(timeout: float) -> None:
        raise PcscUnavailable("hidden from this test")

    if not request.node.get_closest_marker("clients"):
        monkeypatch.setattr(PcscScheme, "_readers", staticmethod(nobody))
