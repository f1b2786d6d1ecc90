"""What the whole suite shares."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from ushield.transport.pcsc.errors import PcscUnavailable
from ushield.transport.pcsc.scheme import PcscScheme

if TYPE_CHECKING:
    from xdist.remote import Producer
    from xdist.scheduler import LoadScopeScheduling

pytest_plugins = ["pytester"]

# A loaded machine is slow, not wrong: no test of a property is a test of time.
settings.register_profile("ushield", deadline=None)
settings.load_profile("ushield")

# A shell's background job ignores it, and so would the programs that the tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

_TOGETHER = ("tests/kernel/", "tests/clients/")
"""Folders whose tests share what is set up once on a machine: a booted kernel, its one pcscd."""


def _place(nodeid: str) -> str:
    """Which tests stay with one process, where several run the suite: those of the same place."""
    file = nodeid.partition("::")[0]
    return next((folder for folder in _TOGETHER if file.startswith(folder)), file)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """Give whole places to processes, in the order of collection."""
    from xdist.scheduler import LoadScopeScheduling

    class ByPlace(LoadScopeScheduling):  # type: ignore[misc]  # it comes without types
        def _split_scope(self, nodeid: str) -> str:
            return _place(nodeid)

    return ByPlace(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, so that no process waits for another at the end."""
    items.sort(key=lambda item: _place(item.nodeid) not in _TOGETHER)


@pytest.fixture(autouse=True)
def no_pcscd(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide this machine's pcscd from tests that are not about it: it may be another test's."""

    def nobody(timeout: float) -> None:
        raise PcscUnavailable("hidden from this test")

    if not request.node.get_closest_marker("clients"):
        monkeypatch.setattr(PcscScheme, "_readers", staticmethod(nobody))
