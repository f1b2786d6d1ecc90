"""A bank's processes agree on the time with their database, or do not begin."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest

from tests.bank.banking import VERIFIER
from tests.bank.store.postgresql import Server
from tests.pki import NOW
from ushield.bank import Bank, ClockSkewed, create_store
from ushield.bank.clock_check import MOST_SKEW, check_clock
from ushield.bank.moments import system_clock
from ushield.bank.store.store import Store

SECOND = timedelta(seconds=1)


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with Store.open(url) as store:
        yield store


@pytest.mark.parametrize("sign", [-1, 1])
def test_a_clock_that_is_too_far_from_the_database_s_is_told_with_its_distance(
    store: Store, sign: int
) -> None:
    def wrong() -> datetime:
        return system_clock() + sign * 60 * SECOND

    if store.engine.dialect.name == "sqlite":
        # SQLite's clock is this machine's.
        check_clock(store, MOST_SKEW, clock=wrong)
        return
    with pytest.raises(ClockSkewed) as caught:
        check_clock(store, MOST_SKEW, clock=wrong)
    assert caught.value.seconds == pytest.approx(60, abs=5)
    assert "NTP" in caught.value.remedy


def test_a_clock_that_is_near_enough_is_taken(store: Store) -> None:
    check_clock(store, 60 * SECOND, clock=lambda: system_clock() + 30 * SECOND)


def test_no_bank_opens_on_a_server_whose_clock_is_wrong(server: Server) -> None:
    server.sql("CREATE DATABASE late")
    url = server.url("late")
    create_store(url, NOW)
    Bank.open(url, verifier=VERIFIER).close()
    # This server's functions of that name are looked up here first.
    server.sql("CREATE SCHEMA wrong", "late")
    server.sql(
        "CREATE FUNCTION wrong.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS"
        " 'SELECT pg_catalog.clock_timestamp() - interval ''1 minute'''",
        "late",
    )
    server.sql("ALTER DATABASE late SET search_path = public, wrong, pg_catalog")
    with pytest.raises(ClockSkewed):
        Bank.open(url, verifier=VERIFIER)
    Bank.open(url, verifier=VERIFIER, clock=lambda: NOW).close()
