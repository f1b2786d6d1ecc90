"""A process that is killed, really, at a step of its work on a bank's database."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

from sqlalchemy import Engine, event

from tests.bank.banking import Bench
from tests.bank.store.watching import watch_statements

MOST_STEPS = 200
"""More than any of the works has."""


def killed_at(step: int, url: str, bench: Bench, work: Callable[[Bench], object]) -> bool:
    """Do ``work`` in a child that is killed at its ``step``; whether it came so far."""
    child = os.fork()
    if child == 0:
        try:
            with Bench.open(url, bench.clock) as own:
                _kill_at(step, own.bank.store.engine)
                work(own)
                os._exit(0)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.WEXITSTATUS(status) == 0
    return False


def _kill_at(step: int, engine: Engine) -> None:
    passed = 0

    def count(*_: object) -> None:
        nonlocal passed
        passed += 1
        if passed > step:
            os.kill(os.getpid(), signal.SIGKILL)

    for name in ("begin", "before_cursor_execute", "after_cursor_execute", "commit", "checkin"):
        event.listen(engine, name, count)
    watch_statements(before=count, after=count)
