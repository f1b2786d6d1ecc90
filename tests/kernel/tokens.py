"""Virtual tokens that this machine serves, and a guest has on its USB."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.cli.conftest import USHIELD, run, told
from tests.kernel.guest import HOST, Ended, Guest, Running

__all__ = ["Plug", "served"]

_BUS = "/sys/bus/usb/devices"
_WAIT = """
for attempt in $(seq 300); do
    for serial in /sys/bus/usb/devices/*/serial; do
        if [ "$(cat $serial 2>/dev/null)" = "$1" ]; then found=yes; break; fi
        found=no
    done
    if [ "$found" = "$2" ]; then basename $(dirname $serial); exit 0; fi
    sleep 0.02
done
exit 1
"""


class Plug:
    """A token served by ``ushield virtual serve`` here, and its cable to the guest."""

    def __init__(self, guest: Guest, path: Path) -> None:
        self.guest = guest
        self.path = path
        self.place = ""
        self.serve()

    def serve(self) -> None:
        """Start the program that serves it."""
        self.process = subprocess.Popen(
            [*USHIELD, "--json", "virtual", "serve", str(self.path), "--usbip", "127.0.0.1:0"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        facts: dict[str, Any] = json.loads(self.process.stdout.readline())
        self.serial: str = facts["serial"]
        self.port: int = facts["usbip"]["port"]

    def kill(self) -> None:
        """End that program as a power cut would."""
        self.process.kill()
        self.process.communicate()

    @property
    def spec(self) -> str:
        """What the guest calls it."""
        return f"usb:{self.place}"

    def attach(self) -> None:
        """Plug it in."""
        port = str(self.port)
        attached = self.guest.run("usbip", "--tcp-port", port, "attach", "-r", HOST, "-b", "1-1")
        assert attached.code == 0, attached
        self.place = self._wait("yes")

    def detach(self) -> None:
        """Pull it out."""
        ports = self.guest.run("cat", "/sys/devices/platform/vhci_hcd.0/status").out.splitlines()
        (number,) = (int(row.split()[1]) for row in ports[1:] if row.split()[-1] == self.place)
        assert self.guest.run("usbip", "detach", "-p", str(number)).code == 0
        self.gone()

    def gone(self) -> None:
        """Wait until the kernel has noticed that it is not there."""
        self._wait("no")

    def attribute(self, name: str) -> str:
        """What the kernel says about it."""
        return self.guest.run("cat", f"{_BUS}/{self.place}/{name}").out.strip()

    def ushield(self, *arguments: str) -> Ended:
        """A command on it, run by the guest."""
        return self.guest.ushield("--token", self.spec, *arguments)

    def start(self, *arguments: str) -> Running:
        """A command on it that goes on meanwhile."""
        return self.guest.start("ushield", "--json", "--token", self.spec, *arguments)

    def confirm(self) -> list[str]:
        """Wait for a request, page through it, press OK; the pages that were seen."""
        pages = self.read_on()
        self._panel("press", "ok")
        return pages

    def read_on(self) -> list[str]:
        """Wait for a request and page through it to its end; the pages that were seen."""
        seen = self.request_shown()
        pages = [*seen["screen"]]
        for _ in range(seen["pages"] - 1):
            pages += self._panel("press", "down")["screen"]
        return pages

    def request_shown(self) -> dict[str, Any]:
        """Wait until its screen asks for something."""
        deadline = time.monotonic() + 60
        while not (view := self._panel("screen"))["pages"]:
            assert time.monotonic() < deadline, "nothing is on the screen"
            time.sleep(0.05)
        return view

    def _panel(self, command: str, *keys: str) -> dict[str, Any]:
        return told(run("--json", "virtual", command, str(self.path), *keys))

    def _wait(self, present: str) -> str:
        waited = self.guest.run("sh", "-c", _WAIT, "sh", self.serial, present)
        assert waited.code == 0, f"present: {present} never came true"
        return waited.out.strip()


@contextmanager
def served(guest: Guest, path: Path) -> Iterator[Plug]:
    """Serve the token at ``path`` and plug it in; pulled out at the end."""
    plug = Plug(guest, path)
    try:
        plug.attach()
        yield plug
    finally:
        plug.kill()
        plug.gone()
