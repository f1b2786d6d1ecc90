"""Calls that may take for ever, and nobody who waits for ever."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from ushield.errors import TokenRemoved, TransferFailed, TransferTimeout
from ushield.transport.pcsc.caller import Caller, lent


@pytest.fixture
def caller() -> Caller:
    return Caller("test")


def fail() -> None:
    raise TokenRemoved("gone")


def test_a_call_gives_what_it_returns_or_raises(caller: Caller) -> None:
    assert caller.call(lambda: 7, 5) == 7
    with pytest.raises(TokenRemoved, match="gone"):
        caller.call(fail, 5)
    assert caller.call(threading.get_ident, 5) == caller.call(threading.get_ident, 5)
    assert caller.call(threading.get_ident, 5) != threading.get_ident()


def test_a_late_answer_goes_to_nobody_but_whoever_asked_for_it_late(caller: Caller) -> None:
    release = threading.Event()
    late: list[int] = []

    def slow() -> int:
        release.wait(20)
        return 1

    with pytest.raises(TransferTimeout):
        caller.call(slow, 0.05, late=late.append)
    release.set()
    assert caller.call(lambda: 2, 5) == 2
    assert late == [1]


def test_the_next_call_waits_in_its_own_time_and_is_not_made_if_that_is_over(
    caller: Caller,
) -> None:
    release = threading.Event()
    made: list[int] = []
    with pytest.raises(TransferTimeout):
        caller.call(lambda: release.wait(20), 0.05)
    began = time.monotonic()
    with pytest.raises(TransferTimeout):
        caller.call(lambda: made.append(1), 0.05)
    assert time.monotonic() - began < 2
    release.set()
    caller.call(lambda: made.append(2), 5)
    assert made == [2]


def test_dismissal_ends_waiting_and_comes_after_what_is_under_way(caller: Caller) -> None:
    release, begun = threading.Event(), threading.Event()
    order: list[str] = []
    failed: list[Exception] = []

    def slow() -> None:
        begun.set()
        release.wait(20)
        order.append("call")

    def wait() -> None:
        try:
            caller.call(slow, 20)
        except TransferFailed as error:
            failed.append(error)

    waiting = threading.Thread(target=wait)
    waiting.start()
    begun.wait(5)
    caller.dismiss(lambda: order.append("last"), 0.05)
    waiting.join(5)
    assert failed
    assert order == []
    release.set()
    deadline = time.monotonic() + 5
    while len(order) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert order == ["call", "last"]
    caller.dismiss(lambda: order.append("again"), 5)
    with pytest.raises(TransferFailed, match="closed"):
        caller.call(lambda: None, 5)
    assert order == ["call", "last"]


def test_a_late_answer_is_undone_though_the_caller_was_dismissed(caller: Caller) -> None:
    release, undone = threading.Event(), threading.Event()
    with pytest.raises(TransferTimeout):
        caller.call(lambda: release.wait(20), 0.05, late=lambda _: undone.set())
    caller.dismiss(lambda: None, 0)
    release.set()
    assert undone.wait(5)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="the clock's signals are POSIX'")
def test_an_interrupted_wait_leaves_the_call_to_the_thread(caller: Caller) -> None:
    undone, release = threading.Event(), threading.Event()

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with pytest.raises(KeyboardInterrupt):
            caller.call(lambda: release.wait(20), 20, late=lambda _: undone.set())
    finally:
        signal.signal(signal.SIGALRM, before)
    release.set()
    assert undone.wait(5)
    assert caller.call(lambda: 3, 5) == 3


def test_an_interrupt_that_comes_with_the_answer_undoes_it(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    undone: list[int] = []
    acquire = threading.Condition.wait

    def interrupted(condition: threading.Condition, timeout: float | None = None) -> bool:
        answered = acquire(condition, timeout)
        if threading.current_thread() is threading.main_thread():
            raise KeyboardInterrupt
        return answered

    caller.call(lambda: 0, 5)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Condition, "wait", interrupted)
        with pytest.raises(KeyboardInterrupt):
            caller.call(lambda: 1, 5, late=undone.append)
    assert caller.call(lambda: 2, 5) == 2
    assert undone == [1]


def test_asking_again_while_nothing_answers_adds_no_threads() -> None:
    release = threading.Event()
    late: list[object] = []
    before = threading.active_count()
    for _ in range(10):
        with pytest.raises(TransferTimeout), lent("stuck") as caller:
            caller.call(lambda: release.wait(20), 0.02, late=late.append)
    with lent("another") as caller:
        assert caller.call(lambda: 1, 5) == 1
    assert threading.active_count() <= before + 2
    release.set()
    with lent("stuck") as caller:
        assert caller.call(lambda: 2, 5) == 2
    assert late == [True]
    deadline = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() <= before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forking is POSIX'")
def test_a_forked_process_is_told_at_once_that_the_card_is_not_its_own(caller: Caller) -> None:
    assert caller.call(lambda: 1, 5) == 1
    with pytest.raises(TransferTimeout), lent("stuck") as stuck:
        stuck.call(lambda: time.sleep(0.3), 0.02)
    child = os.fork()
    if not child:
        try:
            began = time.monotonic()
            try:
                caller.call(lambda: 1, 60)
            except TransferFailed as error:
                told = "opened it" in str(error)
            caller.dismiss(lambda: None, 60)
            with lent("stuck") as own:
                fine = own.call(lambda: 5, 5) == 5
            os._exit(0 if told and fine and time.monotonic() - began < 5 else 1)
        finally:
            os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
    assert caller.call(lambda: 2, 5) == 2
