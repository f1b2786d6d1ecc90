"""Every input that was ever found, and every seed, goes through its target, without atheris."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from itertools import islice
from pathlib import Path

import pytest

from tests.fuzz.target import CORPUS, NAMES, Target, TookTooLong, load

FOUND = sorted(path for path in CORPUS.glob("*/*") if path.is_file())
PAGE = Path(__file__).parent.parent.parent / "docs" / "fuzzing.md"
SEEDS_EACH = 40


@pytest.mark.parametrize("path", FOUND, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_what_was_found_once_does_no_harm_any_more(path: Path) -> None:
    load(path.parent.name).check(path.read_bytes())


@pytest.mark.parametrize("name", NAMES)
def test_seeds_run_through(name: str) -> None:
    target = load(name)
    seeds = list(target.seeds())
    assert seeds
    for seed in islice(seeds, 0, None, max(1, len(seeds) // SEEDS_EACH)):
        assert len(seed) <= target.max_length
        target.check(seed)


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_input_is_none(name: str) -> None:
    load(name).check(b"")


def test_an_input_that_takes_too_long_is_a_finding() -> None:
    def work(data: bytes) -> None:
        sum(range(10**6))

    with pytest.raises(TookTooLong):
        Target(work, lambda: [b""], seconds=0.001).check(b"x")


def test_there_is_no_such_target() -> None:
    with pytest.raises(ValueError, match="ccid"):
        load("nothing")


@pytest.mark.parametrize("name", NAMES)
def test_the_page_tells_of_every_target(name: str) -> None:
    assert f"| `{name}` |" in PAGE.read_text()


@pytest.mark.skipif(
    find_spec("atheris") is None, reason="fuzzes with atheris: pip install 'ushield[fuzz]'"
)
def test_the_fuzzer_runs(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.fuzz", "tlv", "--seconds", "1", "--work", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    assert "executed_units" in done.stderr
    assert list((tmp_path / "tlv" / "corpus").iterdir())
