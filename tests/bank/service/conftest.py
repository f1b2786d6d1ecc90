"""Banks that are served."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bank.banking import Bench, confirm_copy
from tests.bank.service.served import Served
from ushield.bank.service import Limits


@pytest.fixture
def served(bench: Bench, tmp_path: Path) -> Iterator[Served]:
    """On SQLite and on PostgreSQL."""
    with Served(bench, tmp_path) as served:
        yield served


@pytest.fixture
def local(sqlite_url: str, tmp_path: Path) -> Iterator[Served]:
    """On SQLite, for what has nothing to do with the database."""
    with Bench.open(sqlite_url) as bench, Served(bench, tmp_path) as served:
        yield served


def copied(template: Path, folder: Path) -> str:
    """An empty bank's database in a folder."""
    shutil.copy(template, folder / "bank.db")
    url = f"sqlite:///{folder / 'bank.db'}"
    confirm_copy(url)
    return url


@pytest.fixture(scope="module")
def shared(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One for all tests of a module, which leave it as it is."""
    folder = tmp_path_factory.mktemp("shared")
    limits = Limits(per_client=1000, together=10_000, strangers=1000)
    url = copied(sqlite_template, folder)
    with Bench.open(url) as bench, Served(bench, folder, limits=limits) as served:
        bench.customer()
        yield served
