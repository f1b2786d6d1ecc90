"""The service's parts by themselves: reading JSON, counting requests, working in threads."""

from __future__ import annotations

import asyncio
import json
import logging
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ushield.bank.service.access_log import JsonLines, RequestRecord, log_failure
from ushield.bank.service.buckets import RateLimits, TokenBucket
from ushield.bank.service.errors import (
    DeadlinePassed,
    Overloaded,
    RequestInvalid,
    TooManyRequests,
)
from ushield.bank.service.json_body import DEEPEST, load_body
from ushield.bank.service.workers import Workers

TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 63), 1 << 63) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=12,
)


def depth(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(depth, value), default=0)
    return 0


@given(value=VALUES, escaped=st.booleans())
def test_a_body_is_read_as_it_was_written(value: object, escaped: bool) -> None:
    written = json.dumps(value, ensure_ascii=escaped).encode()
    if depth(value) > DEEPEST:
        with pytest.raises(RequestInvalid):
            load_body(written)
    else:
        assert load_body(written) == value


@given(data=st.binary() | st.text('[]{}",:\\u0d8a1eE+-. \n', max_size=80).map(str.encode))
def test_whatever_comes_is_read_or_refused_and_not_repeated(data: bytes) -> None:
    try:
        load_body(data)
    except RequestInvalid as error:
        refusal = str(error)
    else:
        return
    assert "0d8a" not in refusal


def test_a_number_that_is_whole_may_be_written_with_a_point() -> None:
    assert load_body(b"[1.0, 1e3, -2.50, 1e400]") == [1, 1000, -2.5, float("inf")]
    assert type(load_body(b"1.0")) is int
    for text in (b"NaN", b"-Infinity", b"[Infinity]"):
        with pytest.raises(RequestInvalid):
            load_body(text)


def test_a_text_that_never_ends_is_looked_through_once() -> None:
    for data in (b'"' + b'\\"' * 2_000_000, b'["' * 2_000_000, b"[" * 4_000_000):
        with pytest.raises(RequestInvalid):
            load_body(data)


def test_a_bucket_fills_up_with_time_and_no_further() -> None:
    now = [0.0]
    bucket = TokenBucket(rate=2, burst=3, clock=lambda: now[0])
    assert [bucket.take() for _ in range(4)] == [0, 0, 0, 0.5]
    now[0] = 0.25
    assert bucket.take() == 0.25
    now[0] = 0.5
    assert [bucket.take() for _ in range(2)] == [0, 0.5]
    now[0] = 1000
    assert [bucket.take() for _ in range(4)] == [0, 0, 0, 0.5]


def test_clients_count_apart_and_together() -> None:
    rates = RateLimits(per_client=1, together=2, strangers=1, clock=lambda: 0.0)
    for client in ("a", "a", "b", "b"):
        rates.admit(client)
    for client in ("a", "c"):
        with pytest.raises(TooManyRequests):
            rates.admit(client)
    for admit in (rates.admit_stranger, rates.admit_unproven):
        admit()
        admit()
        with pytest.raises(TooManyRequests) as caught:
            admit()
        assert caught.value.retry_after == 1


def test_work_that_began_is_told_from_work_that_never_will() -> None:
    released = threading.Event()
    done: list[str] = []

    def work(name: str) -> str:
        released.wait()
        done.append(name)
        return name

    async def story() -> list[object]:
        workers = Workers(1, 1)
        first = asyncio.create_task(workers.run(lambda: work("first"), seconds=0.05))
        await asyncio.sleep(0)
        second = asyncio.create_task(workers.run(lambda: work("second"), seconds=0.05))
        await asyncio.sleep(0)
        third = asyncio.create_task(workers.run(lambda: work("third"), seconds=0.05))
        outcomes: list[object] = [
            *await asyncio.gather(first, second, third, return_exceptions=True)
        ]
        released.set()
        while not done:
            await asyncio.sleep(0.01)
        outcomes.append(await workers.run(lambda: work("fourth"), seconds=60))
        workers.close()
        return outcomes

    *failed, last = asyncio.run(story())
    assert [type(each) for each in failed] == [DeadlinePassed, Overloaded, Overloaded]
    assert (last, done) == ("fourth", ["first", "fourth"])


def test_what_work_raises_comes_out_and_frees_its_place() -> None:
    async def story() -> None:
        workers = Workers(1, 0)
        for _ in range(3):
            with pytest.raises(ZeroDivisionError):
                await workers.run(lambda: 1 / 0, seconds=60)
        workers.close()

    asyncio.run(story())


def test_a_failure_is_written_down_without_its_words(caplog: pytest.LogCaptureFixture) -> None:
    try:
        int("6222020200112233445x")
    except ValueError as error:
        log_failure(RequestRecord("GET"), error)
    (record,) = caplog.records
    line = JsonLines().format(record)
    facts = json.loads(line)
    assert (facts["error"], facts["level"]) == ("ValueError", "error")
    assert "test_parts.py" in facts["places"][0]
    assert "6222" not in line
    assert "\n" not in JsonLines().format(
        logging.makeLogRecord({"msg": "two\nlines", "levelname": "INFO"})
    )
