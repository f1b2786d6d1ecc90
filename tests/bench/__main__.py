"""Run the benchmarks that are named, or all."""

from __future__ import annotations

import sys

from tests.bench import apdu, channel, signature, soak, startup

BENCHES = {
    "apdu": apdu.run,
    "channel": channel.run,
    "signature": signature.run,
    "startup": startup.run,
    "soak": soak.run,
}

for name in sys.argv[1:] or BENCHES:
    print(f"\n{name}")
    BENCHES[name]()
