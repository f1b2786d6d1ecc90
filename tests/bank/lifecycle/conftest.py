"""A desk at every bank that the tests run on."""

from __future__ import annotations

import pytest

from tests.bank.banking import Bench
from tests.bank.lifecycle.desk import Desk


@pytest.fixture
def desk(bench: Bench) -> Desk:
    return Desk.at(bench)
