"""The clocks that a virtual token may be given."""

from __future__ import annotations

import time

import pytest

from ushield.virtual.clock import Clock, ManualClock, SystemClock


def test_manual_clock_stands_still_until_it_is_moved() -> None:
    clock = ManualClock(start=1_000.0)
    assert (clock.time(), clock.monotonic()) == (1_000.0, 0.0)
    clock.advance(2.5)
    assert (clock.time(), clock.monotonic()) == (1_002.5, 2.5)


def test_manual_clock_does_not_go_back() -> None:
    clock = ManualClock()
    with pytest.raises(ValueError, match="back"):
        clock.advance(-1)


def test_listeners_see_the_new_time_until_they_stop_listening() -> None:
    clock = ManualClock()
    seen: list[float] = []
    stop = clock.on_advance(lambda: seen.append(clock.monotonic()))
    clock.advance(1)
    clock.advance(2)
    stop()
    stop()
    clock.advance(4)
    assert seen == [1, 3]


def test_system_clock_tells_the_time_and_never_goes_back() -> None:
    clock: Clock = SystemClock()
    before = time.time()
    assert before <= clock.time() <= time.time()
    assert clock.monotonic() <= clock.monotonic()
