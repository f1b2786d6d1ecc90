"""Run the benchmarks that are named, or all."""

from __future__ import annotations

import sys
from importlib import import_module

# Imported when they are run: some want what not every machine has.
BENCHES = (
    "apdu",
    "archive",
    "bank",
    "channel",
    "rows",
    "signature",
    "startup",
    "soak",
    "pcsc",
    "guest",
    "verification",
)

for name in sys.argv[1:] or BENCHES:
    print(f"\n{name}")
    import_module(f"tests.bench.{name}").run()
