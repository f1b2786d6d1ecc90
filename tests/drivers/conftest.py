"""Fixtures for driver tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.drivers.bench import Bench


@pytest.fixture
def plug(tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    """Makes virtual tokens and plugs them in; they are unplugged after the test."""
    benches: list[Bench] = []

    def make(**kind: Any) -> Bench:
        bench = Bench.plug(tmp_path / f"token{len(benches)}", **kind)
        benches.append(bench)
        return bench

    yield make
    for bench in benches:
        bench.unplug()


@pytest.fixture
def bench(plug: Callable[..., Bench]) -> Bench:
    """A default token."""
    return plug()
