"""A process that has the command loaded, and forks one for each line on its standard input.

Its own arguments are those of a command that it runs once itself, to load what commands need.

A line is JSON: ``arguments`` of the command, and ``delay``, seconds after which its process is
killed with SIGKILL (null: never). The answer is JSON too: its exit ``code`` (-9 if it was killed)
and how many ``seconds`` it lived. Forking saves what starting Python costs, hundreds of times.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from typing import NoReturn

from click.testing import CliRunner

from ushield.cli.application import application


def child(arguments: Sequence[str]) -> NoReturn:
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    code = 3
    try:
        application.main(arguments)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    finally:
        os._exit(code)


def answer(arguments: Sequence[str], delay: float | None) -> tuple[int, float]:
    start = time.perf_counter()
    pid = os.fork()
    if pid == 0:
        child(arguments)
    if delay is not None:
        time.sleep(delay)
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status), time.perf_counter() - start


def main() -> None:
    CliRunner().invoke(application, sys.argv[1:])
    # A fork takes one thread along; a lock that another one holds would stay locked for ever.
    if threading.active_count() != 1:
        sys.exit("a thread was left running")
    for line in sys.stdin:
        order = json.loads(line)
        code, seconds = answer(order["arguments"], order["delay"])
        print(json.dumps({"code": code, "seconds": seconds}), flush=True)


if __name__ == "__main__":
    main()
