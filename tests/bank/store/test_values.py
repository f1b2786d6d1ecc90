"""What no database keeps, or looks for: the caller is told so, by whichever of them it was."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

import pytest

from tests.bank.banking import Bench
from ushield.bank import TokenUnknown
from ushield.errors import InputInvalid

HALF = "\udcff"
"""What Python makes of a byte that is no UTF-8, such as one among a command's arguments."""


def test_half_a_character_is_the_callers_mistake(bench: Bench) -> None:
    for work in (
        partial(bench.bank.token, HALF),
        partial(bench.bank.report_loss, HALF),
        partial(bench.bank.challenge, HALF),
        partial(bench.bank.add_customer, "alice", HALF),
    ):
        with pytest.raises(InputInvalid):
            work()


def test_so_is_a_zero_among_characters_where_the_database_has_none(bench: Bench) -> None:
    with pytest.raises(InputInvalid) as caught:
        bench.bank.report_loss("US-\0secret")
    if not isinstance(caught.value, TokenUnknown):
        assert "secret" not in str(caught.value)


def test_so_is_a_time_that_no_calendar_has(bench: Bench) -> None:
    for work in (
        partial(bench.bank.due, within=timedelta.max),
        partial(bench.bank.due, pin_age=timedelta.max),
    ):
        with pytest.raises(InputInvalid):
            work()
