"""A kernel, and tokens for it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import TypeAlias

import pytest

from tests.cli.conftest import Enrolled, run, told
from tests.kernel.guest import Guest
from tests.kernel.image import ImageFailed, prepare

MakeEnrolled: TypeAlias = Callable[[], Enrolled]


@pytest.fixture(scope="session")
def guest() -> Iterator[Guest]:
    """A machine with a kernel of its own; skipped where there is none to be had."""
    try:
        image = prepare()
    except ImageFailed as failure:
        pytest.skip(f"a kernel to test with wants: {failure}")
    with Guest.boot(image) as booted:
        yield booted


@pytest.fixture(scope="session")
def enrol(guest: Guest) -> MakeEnrolled:
    """Makes tokens with a key, a certificate and a signature, in a folder that the guest sees."""
    numbers = count(1)

    def make() -> Enrolled:
        folder = guest.folder / f"enrolled-{next(numbers)}"
        made = run("--json", "demo", "--key", "p256", "--virtual-press", "ok", "--out", str(folder))
        facts = told(made)
        return Enrolled(folder, facts["pin"], facts["puk"])

    return make


@pytest.fixture
def folder(guest: Guest, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A folder of the test's own that the guest sees."""
    made = guest.folder / request.node.name
    made.mkdir()
    yield made
    shutil.rmtree(made)
