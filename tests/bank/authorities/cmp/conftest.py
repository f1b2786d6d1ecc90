"""A bank's database for the transactions with a CA elsewhere."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ushield.bank.store.store import Store


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with Store.open(url) as store:
        yield store


@pytest.fixture
def sqlite_store(sqlite_url: str) -> Iterator[Store]:
    with Store.open(sqlite_url) as store:
        yield store
