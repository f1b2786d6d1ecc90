"""One machine under QEMU, whose root is this machine's file tree, and the orders it is given.

Emulated in software: hardware that virtualises is neither needed nor used.
"""

from __future__ import annotations

import json
import os
import shlex
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.kernel.image import Image
from tests.kernel.monitor import Monitor

__all__ = ["HOST", "Ended", "Guest", "Running"]

HOST: Final = "10.0.2.2"
"""This machine, as the guest reaches it: what listens on 127.0.0.1 here answers there."""

_ROOT: Final = Path(__file__).parent.parent.parent
_BOOT_SECONDS: Final = 200.0


@dataclass(frozen=True)
class Ended:
    """A command that has run in the guest."""

    code: int
    out: str
    err: str

    def told(self) -> dict[str, Any]:
        """The one JSON object that it printed."""
        facts: dict[str, Any] = json.loads(self.out)
        return facts


class Running:
    """A command that runs in the guest."""

    def __init__(self) -> None:
        self.started: Future[int] = Future()
        self.done: Future[Ended] = Future()

    @property
    def pid(self) -> int:
        """Its process there."""
        return self.started.result(60)

    def wait(self, timeout: float = 60) -> Ended:
        """Let it end."""
        return self.done.result(timeout)


class Guest:
    """A machine that runs, made by `boot`.

    Files in ``folder`` are the same on both sides, by the same path; nothing else that it writes
    reaches this machine.
    """

    def __init__(
        self,
        machine: subprocess.Popen[bytes],
        folder: Path,
        agent: socket.socket,
        monitor: Monitor,
    ) -> None:
        self.folder = folder
        self.monitor = monitor
        self._machine = machine
        self._agent = agent
        self._orders: list[Running] = []
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    @classmethod
    @contextmanager
    def boot(cls, image: Image) -> Iterator[Guest]:
        """Boot it, and pull its plug at the end. `TimeoutError` with its story if it fails to."""
        with (
            tempfile.TemporaryDirectory(prefix="ushield-kernel-") as name,
            socket.create_server(("127.0.0.1", 0)) as listener,
        ):
            folder = Path(name)
            (folder / "command").write_text(_command(listener.getsockname()[1]))
            with (folder / "console").open("wb") as console:
                machine = subprocess.Popen(
                    _machine(image, folder),
                    stdin=subprocess.DEVNULL,
                    stdout=console,
                    stderr=subprocess.STDOUT,
                )
            try:
                listener.settimeout(_BOOT_SECONDS)
                try:
                    agent, _ = listener.accept()
                except TimeoutError:
                    raise TimeoutError(f"the guest does not answer\n{_story(folder)}") from None
                with agent, Monitor(folder / "monitor") as monitor:
                    yield cls(machine, folder, agent, monitor)
            finally:
                machine.kill()
                machine.wait()

    def start(self, *arguments: str) -> Running:
        """Start a command there: a program, or ``ushield``, with its arguments."""
        running = Running()
        order = {"number": len(self._orders), "arguments": arguments}
        self._orders.append(running)
        self._agent.sendall(json.dumps(order).encode() + b"\n")
        return running

    def run(self, *arguments: str, timeout: float = 60) -> Ended:
        """Run a command there to its end."""
        return self.start(*arguments).wait(timeout)

    def ushield(self, *arguments: str) -> Ended:
        """Run ``ushield --json`` there."""
        return self.run("ushield", "--json", *arguments)

    def _listen(self) -> None:
        with self._agent.makefile("rb") as lines:
            for line in lines:
                facts = json.loads(line)
                running = self._orders[facts.pop("number")]
                if "pid" in facts:
                    running.started.set_result(facts["pid"])
                else:
                    running.done.set_result(Ended(**facts))
        for running in self._orders:
            if not running.done.done():
                running.done.set_exception(RuntimeError(f"the guest ended\n{_story(self.folder)}"))


def _machine(image: Image, folder: Path) -> list[str]:
    tree = "local,path=/,mount_tag=tree,security_model=none,readonly=on,multidevs=remap"
    exchange = f"local,path={folder},mount_tag=exchange,security_model=none"
    return [
        "qemu-system-x86_64",
        *("-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "2G"),
        *("-nodefaults", "-no-reboot", "-display", "none", "-serial", "stdio"),
        *("-kernel", str(image.kernel), "-initrd", str(image.root)),
        *("-append", f"console=ttyS0 panic=-1 mitigations=off exchange={folder}"),
        *("-virtfs", tree, "-virtfs", exchange, "-device", "virtio-rng-pci"),
        *("-netdev", "user,id=net", "-device", "virtio-net-pci,netdev=net"),
        *("-device", "qemu-xhci,id=usb", "-qmp", f"unix:{folder}/monitor,server=on,wait=off"),
    ]


def _command(port: int) -> str:
    variables = {
        "HOME": "/root",
        "LANG": "C.UTF-8",
        "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin",
        "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
    }
    lines = [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
    agent = shlex.join([sys.executable, "-m", "tests.kernel.agent", str(port)])
    return "\n".join([f"cd {shlex.quote(str(_ROOT))}", *lines, f"exec {agent}"]) + "\n"


def _story(folder: Path) -> str:
    """What the agent printed, and what the kernel did."""
    parts = []
    for name in ("output", "console"):
        path = folder / name
        text = path.read_text(errors="replace") if path.exists() else ""
        parts.append(f"--- {name}\n{text[-6000:]}")
    return "\n".join(parts)
