"""Timing that can be trusted on a noisy machine: rounds in turn, the median of their medians."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping

__all__ = ["in_turn", "line"]


def in_turn(
    subjects: Mapping[str, Callable[[], object]], *, rounds: int = 15, runs: int = 200
) -> dict[str, float]:
    """Seconds for one call of each subject: their rounds interleaved, the median over rounds."""
    for subject in subjects.values():
        subject()
    medians: dict[str, list[float]] = {name: [] for name in subjects}
    gc.collect()
    for _ in range(rounds):
        for name, subject in subjects.items():
            times = []
            for _ in range(runs):
                start = time.perf_counter()
                subject()
                times.append(time.perf_counter() - start)
            medians[name].append(statistics.median(times))
    return {name: statistics.median(values) for name, values in medians.items()}


def line(name: str, seconds: float, note: str = "") -> None:
    """Print one figure."""
    text = f"{seconds * 1e6:10.1f} us" if seconds < 0.01 else f"{seconds * 1e3:10.1f} ms"
    print(f"{name:<58}{text}  {note}")
