"""What is remembered is bounded; what is used stays."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ushield.bank.memory import Memory
from ushield.errors import InputInvalid


@given(st.integers(2, 20), st.lists(st.integers(0, 60)))
def test_it_never_holds_more_than_its_size_and_never_another_value(
    size: int, keys: list[int]
) -> None:
    memory: Memory[int, str] = Memory(size)
    for key in keys:
        assert memory.get(key) in (None, str(key))
        memory.put(key, str(key))
        assert memory.get(key) == str(key)
        assert len(memory) <= size


@given(st.integers(4, 20), st.integers(0, 200))
def test_what_is_asked_for_again_and_again_stays(size: int, others: int) -> None:
    memory: Memory[int, str] = Memory(size)
    memory.put(-1, "kept")
    for other in range(others):
        memory.put(other, "x")
        assert memory.get(-1) == "kept"


def test_what_is_not_asked_for_is_forgotten() -> None:
    memory: Memory[int, str] = Memory(4)
    for key in range(10):
        memory.put(key, "x")
    assert memory.get(0) is None


def test_threads_need_no_lock() -> None:
    memory: Memory[int, int] = Memory(64)

    def work(seed: int) -> None:
        for number in range(4000):
            key = (number * seed) % 150
            assert memory.get(key) in (None, key)
            memory.put(key, key)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(1, 9)))
    # Each thread may be between looking at the size and putting its value.
    assert len(memory) <= 64 + 8


@pytest.mark.parametrize("size", [-1, 0, 1])
def test_no_room_is_refused(size: int) -> None:
    with pytest.raises(InputInvalid):
        Memory(size)
