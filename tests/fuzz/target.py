"""What a fuzz target is, and which there are."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["CORPUS", "NAMES", "RSA_SECONDS", "Target", "TookTooLong", "load"]

CORPUS: Final = Path(__file__).parent / "corpus"
"""A folder for each target, with the inputs that once failed and are kept."""

NAMES: Final = tuple(
    sorted(path.stem for path in (Path(__file__).parent / "targets").glob("[a-z]*.py"))
)

RSA_SECONDS: Final = 30.0
"""What an input may take that makes an RSA key of 4096 bits, which is luck."""


class TookTooLong(Exception):
    """An input that costs more time than any may."""


@dataclass(frozen=True)
class Target:
    """One parser, or one conversation, that is given any bytes.

    ``run`` returns for every input; whatever it raises is a finding. ``seeds`` makes inputs that
    reach deep, from the codecs themselves. ``max_length`` is how long inputs grow, in bytes;
    ``seconds`` how much processor time one may take, on a machine that does other things as well;
    ``words`` are what they are made of, where that is hard to guess.
    """

    run: Callable[[bytes], None]
    seeds: Callable[[], Iterable[bytes]]
    max_length: int = 4096
    seconds: float = 2.0
    words: Sequence[bytes] = ()

    def check(self, data: bytes) -> None:
        """Run one input, within its time."""
        start = time.thread_time()
        self.run(data)
        spent = time.thread_time() - start
        if spent > self.seconds:
            raise TookTooLong(f"{spent:.1f} s of processor time for {len(data)} bytes")


def load(name: str) -> Target:
    """The target of this name; ``ValueError`` if there is none."""
    if name not in NAMES:
        raise ValueError(f"no target {name!r}: one of {', '.join(NAMES)}")
    target: Target = importlib.import_module(f"tests.fuzz.targets.{name}").TARGET
    return target
