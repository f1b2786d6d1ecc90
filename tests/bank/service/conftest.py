"""Banks that are served."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bank.banking import Bench
from tests.bank.service.served import Served


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
