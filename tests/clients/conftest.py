"""A PC/SC service of the test's own, with a virtual token in its reader."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ushield.shield.events import PanelKey
from ushield.transport.pcsc import find_readers
from ushield.virtual.create import create_token
from ushield.virtual.faces.vpcd import VpcdCard
from ushield.virtual.token import VirtualToken
from ushield.virtual.usb.contact import Card as Contacts

READER = "Virtual PCD 00 00"
PIN, PUK = "135790", "86420864"
MANAGEMENT_KEY = "010203040506070801020304050607080102030405060708"
INSTALL = (
    "apt-get install pcscd vsmartcard-vpcd opensc yubico-piv-tool gnutls-bin openssl"
    " openssh-client openssh-server libpcsclite-dev swig gcc && pip install 'ushield[clients]'"
)
OPENSC = "/usr/lib/x86_64-linux-gnu/opensc-pkcs11.so"
_DRIVER = Path("/usr/lib/pcsc/drivers/serial/libifdvpcd.so")
_SOCKET = Path("/run/pcscd/pcscd.comm")
_PATIENCE = 20.0


def wait(what: str, holds: Callable[[], bool]) -> None:
    """Wait until it holds; fail for want of ``what``."""
    end = time.monotonic() + _PATIENCE
    while not holds():
        if time.monotonic() > end:
            pytest.fail(f"no {what} within {_PATIENCE:.0f} seconds")
        time.sleep(0.05)


def _listens(address: str | tuple[str, int]) -> bool:
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    with socket.socket(family) as probe:
        return probe.connect_ex(address) == 0


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


@contextmanager
def running_pcscd(folder: Path) -> Iterator[int]:
    """A pcscd with vpcd, configured in ``folder``; vpcd's port."""
    port = _free_port()
    (folder / "vpcd").write_text(
        f'FRIENDLYNAME "Virtual PCD"\nDEVICENAME /dev/null:{port:#06X}\n'.replace("0X", "0x")
        + f"LIBPATH {_DRIVER}\nCHANNELID {port:#06x}\n"
    )
    _SOCKET.parent.mkdir(exist_ok=True)
    process = subprocess.Popen(
        ["pcscd", "--foreground", "--config", folder],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        # Not by connecting: vpcd takes whoever comes for its card.
        wait("pcscd", lambda: _listens(str(_SOCKET)))
        yield port
    finally:
        process.terminate()
        process.wait(_PATIENCE)


@pytest.fixture(scope="session")
def pcscd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of vpcd in a pcscd that runs for this session alone."""
    if not (shutil.which("pcscd") and _DRIVER.exists()):
        pytest.skip(f"no pcscd with vpcd here; {INSTALL}")
    if os.geteuid() != 0:
        pytest.skip("pcscd makes its socket in /run: run as root")
    if _listens(str(_SOCKET)):
        pytest.skip("another pcscd runs here: systemctl stop pcscd.socket pcscd.service")
    with running_pcscd(tmp_path_factory.mktemp("pcscd")) as port:
        yield port


class _Stalled:
    """Contacts that answer a command only once they are released."""

    def __init__(self, contacts: Contacts, released: threading.Event) -> None:
        self._contacts = contacts
        self._released = released

    def transmit(self, command: bytes) -> bytes:
        self._released.wait(_PATIENCE)
        return self._contacts.transmit(command)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._contacts, name)


@dataclass
class Card:
    """The token in the reader, and the programs that meet it there."""

    token: VirtualToken
    folder: Path
    port: int
    in_reader: VpcdCard | None = None

    def put(self) -> None:
        """Put it into the reader, and wait until pcscd has seen it."""
        self.in_reader = VpcdCard.connect(self.token, port=self.port)
        wait("card in the reader", self.is_seen)

    def pull(self) -> None:
        """Pull it out; pcscd may take a moment to notice."""
        assert self.in_reader is not None
        self.in_reader.close()

    @contextmanager
    def stalled(self) -> Iterator[Callable[[], None]]:
        """Let its next command hang until what is yielded is called, or the block ends."""
        assert self.in_reader is not None
        released = threading.Event()
        contacts = self.in_reader._card
        self.in_reader._card = _Stalled(contacts, released)
        try:
            yield released.set
        finally:
            self.in_reader._card = contacts
            released.set()

    def is_seen(self) -> bool:
        """Whether pcscd knows of a card in the reader."""
        return any(reader.has_card for reader in find_readers())

    @staticmethod
    def free_port() -> int:
        """A port of this machine that nobody uses."""
        return _free_port()

    def run(
        self,
        program: str,
        *arguments: str,
        status: int = 0,
        stdin: str | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> str:
        """What a program prints; its exit status must be ``status``."""
        path = shutil.which(program, path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
        if path is None:
            pytest.skip(f"no {program} here; {INSTALL}")
        done = subprocess.run(
            [path, *arguments],
            cwd=self.folder,
            env={**os.environ, **(environment or {})},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        output = done.stdout + done.stderr
        assert done.returncode == status, f"{program} {arguments}: {done.returncode}\n{output}"
        return output

    def press(self, keys: Sequence[PanelKey]) -> threading.Thread:
        """Press one key for each page that comes up, in order."""

        def finger() -> None:
            for key in keys:
                end = time.monotonic() + _PATIENCE
                while not self.token.panel.page and time.monotonic() < end:
                    time.sleep(0.01)
                self.token.panel.press(key)

        thread = threading.Thread(target=finger)
        thread.start()
        return thread


def nothing_pending() -> bool:
    """Whether no thread waits for the service any more."""
    return not any(thread.name.startswith("ushield-pcsc") for thread in threading.enumerate())


@contextmanager
def in_reader(path: Path, port: int) -> Iterator[Card]:
    """The token in the file ``path``, in the reader."""
    with VirtualToken.open(path) as token:
        card = Card(token, path.parent, port)
        card.put()
        try:
            yield card
        finally:
            # A card that is pulled while pcscd resets it, and replaced at once, is not seen again.
            wait("end of what was given up", nothing_pending)
            card.pull()
    # pcscd looks now and then: the next card is not to pass for this one.
    wait("empty reader", lambda: not card.is_seen())


@pytest.fixture
def card(pcscd: int, tmp_path: Path) -> Iterator[Card]:
    """A fresh token in the reader, with `PIN` and `PUK`."""
    create_token(tmp_path / "token", pin=PIN, puk=PUK)
    with in_reader(tmp_path / "token", pcscd) as card:
        yield card


@pytest.fixture(scope="session")
def enrolment(pcscd: int, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a token that ykman has put keys and certificates on, and the public keys."""
    folder = tmp_path_factory.mktemp("enrolled")
    create_token(folder / "token", pin=PIN, puk=PUK)
    with in_reader(folder / "token", pcscd) as card:
        for slot, algorithm in (("9a", "ECCP256"), ("9c", "RSA2048")):
            common = ("--reader", READER, "piv")
            card.run(
                "ykman", *common, "keys", "generate", "-m", MANAGEMENT_KEY, "-a", algorithm, slot,
                f"{slot}.pub",
            )  # fmt: skip
            card.run(
                "ykman", *common, "certificates", "generate", "-m", MANAGEMENT_KEY, "-P", PIN,
                "-s", f"CN={slot}", slot, f"{slot}.pub",
            )  # fmt: skip
    return folder


@pytest.fixture
def enrolled(pcscd: int, enrolment: Path, tmp_path: Path) -> Iterator[Card]:
    """A P-256 key in 9A and an RSA key in 9C, each with its certificate."""
    shutil.copytree(enrolment, tmp_path / "enrolled")
    with in_reader(tmp_path / "enrolled" / "token", pcscd) as card:
        yield card


@pytest.fixture
def version(record_property: Callable[[str, object], None]) -> Callable[[str, str], None]:
    """Names the other side in the test's report, by ``name`` and what tells its version."""

    def tell(name: str, found: str) -> None:
        record_property(name, found)
        print(f"with {name} {found}")

    return tell


def debian_version(package: str) -> str:
    """The version of an installed package."""
    done = subprocess.run(
        ["dpkg-query", "--show", "--showformat=${Version}", package],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def python_version(package: str) -> str:
    """The version of an installed distribution; skips where it is missing."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        pytest.skip(f"no {package} here; {INSTALL}")
