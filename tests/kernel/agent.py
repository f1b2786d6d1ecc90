"""Inside the guest: runs what the host orders, each command in a process of its own.

Started with the host's port as its argument. It has imported the command line already and forks for
each order, because starting Python takes seconds where every instruction is emulated. An order is a
line of JSON, answered by a line when its process runs and by another when that has ended.
"""

from __future__ import annotations

import json
import os
import pkgutil
import select
import socket
import sys
from importlib import import_module
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, Final, NoReturn

HOST: Final = "10.0.2.2"


class Agent:
    """Takes orders until the host hangs up."""

    def __init__(self, host: socket.socket) -> None:
        self._host = host
        self._buffer = b""
        self._running: dict[int, tuple[int, int, Path]] = {}
        self._folder = Path(mkdtemp())

    def run(self) -> None:
        while True:
            host = self._host.fileno()
            ready, _, _ = select.select([host, *self._running], [], [])
            for descriptor in ready:
                if descriptor != host:
                    self._ended(descriptor)
                elif not self._ordered():
                    return

    def _ordered(self) -> bool:
        data = self._host.recv(65_536)
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            order = json.loads(line)
            process = os.fork()
            place = self._folder / str(order["number"])
            if not process:
                _become(order, place)
            self._running[os.pidfd_open(process)] = process, order["number"], place
            self._tell({"number": order["number"], "pid": process})
        return bool(data)

    def _ended(self, descriptor: int) -> None:
        process, number, place = self._running.pop(descriptor)
        os.close(descriptor)
        _, status = os.waitpid(process, 0)
        out, err = (
            Path(f"{place}.{name}").read_text(encoding="utf-8", errors="replace")
            for name in ("out", "err")
        )
        code = os.waitstatus_to_exitcode(status)
        self._tell({"number": number, "code": code, "out": out, "err": err})

    def _tell(self, facts: dict[str, Any]) -> None:
        self._host.sendall(json.dumps(facts).encode() + b"\n")


def _become(order: dict[str, Any], place: Path) -> NoReturn:
    for number, name in enumerate(("out", "err"), start=1):
        file = os.open(f"{place}.{name}", os.O_WRONLY | os.O_CREAT)
        os.dup2(file, number)
        os.close(file)
    program, *arguments = order["arguments"]
    code: Any = 0
    try:
        if program != "ushield":
            os.execvp(program, order["arguments"])
        Path("/proc/self/comm").write_text("ushield")
        from ushield.cli.application import application

        application.main(arguments, "ushield")
    except SystemExit as ended:
        code = ended.code
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 1)


def main() -> None:
    """Import everything, then take orders."""
    import ushield

    for module in pkgutil.walk_packages(ushield.__path__, "ushield."):
        if not module.name.endswith("__main__"):
            import_module(module.name)

    with socket.create_connection((HOST, int(sys.argv[1]))) as host:
        Agent(host).run()


if __name__ == "__main__":
    main()
