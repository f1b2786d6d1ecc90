"""Processes killed with SIGKILL while they try PINs: nobody gains a try, nothing breaks."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from tests.cli import zygote
from tests.cli.conftest import Enrolled

KILLED = -9
TIMES = 200


class Zygote:
    """`tests.cli.zygote`, running."""

    def __init__(self, first: Sequence[str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, zygote.__file__, *first],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, arguments: Sequence[str], delay: float | None = None) -> tuple[int, float]:
        """Exit code (`KILLED`, perhaps) and seconds of one command in a process of its own."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"arguments": arguments, "delay": delay}) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        return answer["code"], answer["seconds"]

    def close(self) -> None:
        self._process.communicate()


@pytest.fixture
def forked(enrolled: Enrolled) -> Iterator[Zygote]:
    running = Zygote(["--token", enrolled.spec, "pin", "status"])
    yield running
    running.close()


def copy_of(enrolled: Enrolled, folder: Path) -> Enrolled:
    """The token as its files stand now, write-ahead log included."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for path in enrolled.folder.glob("token*"):
        if path.suffix != ".pem":
            shutil.copy(path, folder)
    return replace(enrolled, folder=folder)


@pytest.mark.timeout(600)
def test_wrong_pins_in_processes_that_are_killed(
    enrolled: Enrolled, forked: Zygote, tmp_path: Path
) -> None:
    chance = random.Random(20261121)
    fresh = copy_of(enrolled, tmp_path / "fresh")
    token = copy_of(fresh, tmp_path / "token")
    right, wrong = enrolled.secret(enrolled.pin), enrolled.secret("97531086")

    def attempt(token: Enrolled, pin: str) -> list[str]:
        return ["--token", token.spec, "pin", "verify", "--allow-last-try", "--pin-file", pin]

    # How long an attempt takes when nobody kills it.
    lived = min(forked.run(attempt(fresh, right))[1] for _ in range(3))
    left = token.tries_left()
    killed = spent = 0
    for _ in range(TIMES):
        code, _ = forked.run(attempt(token, wrong), chance.uniform(0, 1.2 * lived))
        killed += code == KILLED
        # The machine's pace changes: about one attempt in four is to live to its end.
        lived *= 1.02 if code == KILLED else 0.94
        assert code in (KILLED, 20, 21)

        now = token.tries_left()
        assert now <= left, "a try was gained"
        assert left - now <= 1, "one attempt cost more than one try"
        assert code == KILLED or now == max(0, left - 1), "an attempt cost nothing"
        spent += left - now
        left = now

        # The same file, with the right PIN: it opens, and a right PIN works while a try is left.
        here = copy_of(token, tmp_path / "here")
        assert here.run(*attempt(here, right)[2:]).exit_code == (0 if left else 21)
        if left:
            assert here.tries_left() == 6
        else:
            token = copy_of(fresh, tmp_path / "token")
            left = token.tries_left()
    assert killed > TIMES / 4
    assert spent > TIMES / 10
