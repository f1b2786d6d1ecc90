"""An embedded CA on each of the bank's databases."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.bank.authorities.issuing import Issuing


@pytest.fixture
def issuing(url: str) -> Iterator[Issuing]:
    issuing = Issuing.open(url)
    yield issuing
    issuing.store.close()
