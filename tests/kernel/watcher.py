"""Inside the guest: one process that writes down the places of readers as they come and go.

Its arguments are the file to write them to, and after how many of these events it ends.
"""

from __future__ import annotations

import sys
import threading
from itertools import islice

from ushield.transport.usb.hotplug import Arrived, watch
from ushield.transport.usb.scheme import SCHEME

with open(sys.argv[1], "w", encoding="utf-8", buffering=1) as file:
    for event in islice(watch(SCHEME.readers, threading.Event(), interval=0.1), int(sys.argv[2])):
        kind = "+" if isinstance(event, Arrived) else "-"
        file.write(f"{kind}{event.reader.info.spec}\n")
