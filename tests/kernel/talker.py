"""Inside the guest: one connection that is used before and after something happens to its card.

Its arguments are a SPEC, the command to send, and a file to write a line to for each answer, or
error; once the first is there it waits until a file of that name with ``.go`` appears.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from ushield.errors import UShieldError
from ushield.transport.registry import open_spec

spec, command, name = sys.argv[1:]
connection = open_spec(spec)
with open(name, "w", encoding="utf-8", buffering=1) as file:
    for _ in range(3):
        try:
            line = connection.transmit(bytes.fromhex(command)).hex()
        except UShieldError as error:
            line = error.code
        file.write(f"{line}\n")
        deadline = time.monotonic() + 60
        while not Path(f"{name}.go").exists() and time.monotonic() < deadline:
            time.sleep(0.1)
connection.close()
