"""Values from the suite's own strategies, the same at each run: what seeds are made of."""

from __future__ import annotations

from typing import TypeVar

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

__all__ = ["examples"]

_Value = TypeVar("_Value")


def examples(strategy: st.SearchStrategy[_Value], count: int) -> list[_Value]:
    """Up to ``count`` values."""
    found: list[_Value] = []

    @settings(
        max_examples=count,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def collect(value: _Value) -> None:
        found.append(value)

    collect()
    return found
