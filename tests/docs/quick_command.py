"""The command ``ushield`` for long stories: a process that has it loaded forks for each call.

What the shell runs is a small program that hands its arguments, directory, environment and open
files to that process, and exits as the fork does. Starting Python with all of ushield costs a
second, dozens of times.
"""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import NoReturn

_LOADED = (
    "alembic.command",
    "ushield.bank.authorities.embedded",
    "ushield.bank.configuration",
    "ushield.bank.facade",
    "ushield.bank.verification",
    "ushield.cli.application",
    "ushield.cli.commands.bank_command",
    "ushield.cli.commands.cert_command",
    "ushield.cli.commands.key_command",
    "ushield.cli.commands.pin_command",
    "ushield.cli.commands.sign_command",
    "ushield.cli.commands.virtual_command",
    "ushield.drivers.shield.driver",
    "ushield.keystore.health",
    "ushield.signing",
    "ushield.virtual.attestation",
    "ushield.virtual.scheme",
    "ushield.virtual.token",
)
_CLIENT = """#!{python} -SE
import array, json, os, socket, sys
peer = socket.socket(socket.AF_UNIX)
peer.connect({path!r})
asked = json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode()
files = array.array("i", [0, 1, 2])
peer.sendmsg([len(asked).to_bytes(4, "big")], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, files)])
peer.sendall(asked)
code = peer.recv(1)
sys.exit(code[0] if code else 3)
"""


@contextmanager
def quick_ushield(folder: Path) -> Iterator[Path]:
    """A directory for PATH, whose ``ushield`` is the quick one."""
    path = str(folder / "socket")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(8)
    program = folder / "ushield"
    program.write_text(_CLIENT.format(python=sys.executable, path=path))
    program.chmod(0o755)
    server = os.fork()
    if server == 0:
        _serve(listener)
    listener.close()
    try:
        yield folder
    finally:
        os.kill(server, signal.SIGTERM)
        os.waitpid(server, 0)


def _serve(listener: socket.socket) -> NoReturn:
    for name in _LOADED:
        import_module(name)
    # Nobody waits for the forks.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        peer, _ = listener.accept()
        if os.fork() == 0:
            _run(peer)
        peer.close()


def _run(peer: socket.socket) -> NoReturn:
    from ushield.cli.application import application

    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    size, files, *_ = socket.recv_fds(peer, 4, 3)
    asked = b""
    while len(asked) < int.from_bytes(size, "big"):
        asked += peer.recv(1 << 16)
    arguments, folder, environment = json.loads(asked)
    for number, descriptor in enumerate(files):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.stdin = io.TextIOWrapper(io.FileIO(0, closefd=False), encoding="utf-8")
    sys.stdout = io.TextIOWrapper(io.FileIO(1, "w", closefd=False), encoding="utf-8")
    sys.stderr = io.TextIOWrapper(io.FileIO(2, "w", closefd=False), encoding="utf-8")
    code = 3
    try:
        application.main(arguments, prog_name="ushield")
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        peer.sendall(bytes((code,)))
        os._exit(code)
