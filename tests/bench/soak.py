"""A thousand confirmed signatures in a row on one token: neither slower nor larger."""

from __future__ import annotations

import gc
import os
import statistics
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.bench.measure import line
from tests.bench.signature import confirmed_signature
from ushield.testing.token import VirtualTokenUnderTest

SIGNATURES = 1000
WINDOW = 100


def resident() -> int:
    """Memory of this process that is in RAM, in bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def run() -> None:
    """Measure and print."""
    times = []
    sizes = []
    with (
        TemporaryDirectory() as folder,
        VirtualTokenUnderTest.create(Path(folder) / "token") as token,
    ):
        token.enrol()
        with token.open() as opened, opened.session(token.pin) as session:
            for number in range(SIGNATURES):
                start = time.perf_counter()
                confirmed_signature(token, session)
                times.append(time.perf_counter() - start)
                if number % WINDOW == WINDOW - 1:
                    gc.collect()
                    sizes.append(resident())
    first, last = statistics.median(times[:WINDOW]), statistics.median(times[-WINDOW:])
    line(f"signatures 1 to {WINDOW}, median", first)
    line(f"signatures {SIGNATURES - WINDOW + 1} to {SIGNATURES}, median", last)
    print(f"memory after {WINDOW}: {sizes[0] / 1e6:.1f} MB, at the end: {sizes[-1] / 1e6:.1f} MB")
