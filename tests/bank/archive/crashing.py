"""A program: a run that is killed before its first step at files, its second, and so on.

Prints, for each, what the run after it found, as a line of JSON.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import sys
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

from ushield.bank.archive import ArchiveJob, find_shards, verify_archive

_STEPS = frozenset(("open", "os.rename", "os.remove", "os.mkdir", "fcntl.flock"))


class Inline(Executor):
    """Runs what it is given at once: a process with threads could not be forked."""

    def submit(self, fn: Any, /, *arguments: Any, **settings: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(fn(*arguments, **settings))
        return future


def run(folder: Path, out: Path) -> dict[str, Any]:
    """Verify the archive; what the report says."""
    job = ArchiveJob(trust=(folder / "ca.pem").read_bytes())
    with Inline() as executor:
        report = verify_archive(find_shards(folder / "in"), out, job=job, executor=executor)
    return {
        "outcomes": dict(report.outcomes),
        "resumed": report.resumed,
        "left": sorted(each.name for each in out.glob(".*")),
    }


def kill_before(step: int, out: Path) -> None:
    """Kill this process when it is about to do that step at the files of ``out``."""
    count = itertools.count()

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if (
            event in _STEPS
            and (event == "fcntl.flock" or str(arguments[0]).startswith(str(out)))
            and next(count) == step
        ):
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def in_child(work: Any) -> int:
    """Do it in a process of its own; how that ended."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        except BaseException:  # noqa: BLE001
            sys.excepthook(*sys.exc_info())
            os._exit(1)
        sys.stdout.flush()
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)


def main(folder: Path) -> None:
    """Kill and resume, until a run is through before it is killed."""
    for step in itertools.count():
        out = folder / f"out-{step}"

        def first(step: int = step, out: Path = out) -> None:
            kill_before(step, out)
            run(folder, out)

        def second(out: Path = out) -> None:
            print(json.dumps(run(folder, out)))

        ended = in_child(first)
        if ended == 0:
            return
        if ended != -signal.SIGKILL or in_child(second) != 0:
            sys.exit(f"step {step}: {ended}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
