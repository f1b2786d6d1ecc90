"""A real PostgreSQL server of the tests' own: on a socket in a directory that goes with it."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, Self

INSTALL = "apt-get install postgresql"
_PLACES = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin")


def binaries() -> Path | None:
    """Where initdb is; the newest, if there are several."""
    found = [path for place in _PLACES for path in Path("/").glob(place[1:] + "/initdb")]
    if found:
        return max(
            found, key=lambda path: [int(part) for part in path.parts if part.isdigit()]
        ).parent
    initdb = shutil.which("initdb")
    return Path(initdb).parent if initdb else None


class Server:
    """One cluster. It runs as nobody's administrator: root is refused by PostgreSQL itself."""

    def __init__(self, *options: str) -> None:
        where = binaries()
        assert where is not None
        self.binaries = where
        self.folder = Path(tempfile.mkdtemp(prefix="ushield-pg-"))
        self.data = self.folder / "data"
        self.options = options
        self._process: subprocess.Popen[bytes] | None = None
        self._user: dict[str, Any] = {}
        if os.geteuid() == 0:
            user = pwd.getpwnam("postgres")
            os.chown(self.folder, user.pw_uid, user.pw_gid)
            self._user = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}

    def url(self, database: str) -> str:
        return f"postgresql://bank@/{database}?host={self.folder}"

    def run(self, program: str, *arguments: str, given: str = "") -> str:
        """A program, one of the server's own if there is one, as its user."""
        own = self.binaries / program
        done: subprocess.CompletedProcess[str] = subprocess.run(
            [own if own.exists() else program, *arguments],
            env=self._environment,
            cwd=self.folder,
            input=given,
            capture_output=True,
            text=True,
            check=False,
            **self._user,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def start(self) -> Self:
        if not self.data.exists():
            self.run("initdb", "-D", str(self.data), "-U", "bank", "-A", "trust", "-N")
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    self.binaries / "postgres",
                    *("-D", str(self.data), "-k", str(self.folder), "-c", "listen_addresses="),
                    *(each for option in self.options for each in ("-c", option)),
                ],
                env=self._environment,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                **self._user,
            )
        deadline = time.monotonic() + 30
        while not self._is_ready():
            assert self._process.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < deadline, (self.folder / "log").read_text()
            time.sleep(0.02)
        return self

    def stop(self, how: signal.Signals = signal.SIGQUIT) -> None:
        """By SIGQUIT as if the power had failed, by SIGINT in good order."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(how)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def sql(self, statement: str, database: str = "postgres") -> str:
        return self.run(
            "psql", "-qAt", "-v", "ON_ERROR_STOP=1", "-d", database, "-f", "-", given=statement
        ).strip()

    def processes(self) -> list[int]:
        """The server's own process, and those it started."""
        pid = self._process_id
        children = Path(f"/proc/{pid}/task/{pid}/children")
        return [pid, *map(int, children.read_text().split())]

    @property
    def _process_id(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def _environment(self) -> dict[str, str]:
        return {"LC_ALL": "C.UTF-8", "PGHOST": str(self.folder), "PGUSER": "bank"}

    def _is_ready(self) -> bool:
        pid = self.data / "postmaster.pid"
        try:
            lines = pid.read_text().splitlines()
            return (lines[0], lines[7].strip()) == (str(self._process_id), "ready")
        except (OSError, IndexError):
            return False

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
