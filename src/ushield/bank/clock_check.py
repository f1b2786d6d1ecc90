"""The bank's processes must agree on the time: a challenge that one holds late, all do."""

from __future__ import annotations

from datetime import timedelta

from ushield.bank.errors import ClockSkewed
from ushield.bank.moments import Clock, system_clock
from ushield.bank.store.store import Store

__all__ = ["MOST_SKEW", "check_clock"]

MOST_SKEW = timedelta(seconds=5)
"""How far this machine's clock may be from the database's."""


def check_clock(store: Store, most: timedelta, *, clock: Clock = system_clock) -> None:
    """Raise `ClockSkewed` if this machine's clock and the database server's are too far apart.

    SQLite has no clock of its own.
    """
    if store.engine.dialect.name != "postgresql":
        return
    before = clock()
    theirs = store.read(
        lambda connection: connection.exec_driver_sql("SELECT clock_timestamp()").scalar_one()
    )
    after = clock()
    # What the question took to travel is not held against either clock.
    skew = max(before - theirs, theirs - after, timedelta(0))
    if skew > most:
        seconds = skew.total_seconds()
        raise ClockSkewed(
            f"this machine's clock and the database's differ by {seconds:.1f} s", seconds=seconds
        )
