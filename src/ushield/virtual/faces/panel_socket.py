"""The panel of a served token for other processes of the same user, through a Unix socket."""

from __future__ import annotations

import hashlib
import os
import socket
import stat
import struct
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from types import TracebackType
from typing import Final

from ushield.errors import ProtocolViolation, TokenNotFound, TransferFailed
from ushield.shield.events import PanelKey
from ushield.virtual.faces.panel_messages import MAX_LINE, PanelRequest, PanelView
from ushield.virtual.token import VirtualToken

__all__ = ["PanelServer", "TokenNotServed", "ask_panel"]

_TIMEOUT: Final = 5.0
_PAUSE: Final = 0.1
_PEER: Final = struct.Struct("iII")


class TokenNotServed(TokenNotFound):
    """The token lies there, and no program serves it."""

    code = "token-not-served"
    default_remedy = "Start `ushield virtual serve` with the same file, and leave it running."


class PanelServer:
    """Shows and presses the panel of ``token`` for this user's processes; made by `listen`."""

    def __init__(self, token: VirtualToken, path: Path, listener: socket.socket) -> None:
        self.path = path
        self._token = token
        self._listener = listener
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._accept, name="ushield-panel", daemon=True)

    @classmethod
    def listen(cls, token: VirtualToken) -> PanelServer:
        """Listen until closed. `TransferFailed` where no socket can be made.

        Who has a token open has its file to itself, so a socket that lies there already is left
        from a program that was killed.
        """
        folder = next(_folders(), None)
        if folder is None:
            raise TransferFailed(
                "no directory of this user's own for the panel's socket",
                remedy=f"Remove {_temporary()}, which is not yours alone.",
            )
        path = folder / _name(token.path)
        listener = socket.socket(socket.AF_UNIX)
        try:
            with suppress(FileNotFoundError):
                path.unlink()
            before = os.umask(0o177)
            try:
                listener.bind(os.fspath(path))
            finally:
                os.umask(before)
            listener.listen()
        except OSError as error:
            listener.close()
            raise TransferFailed(f"{path}: {error.strerror}") from error
        server = cls(token, path, listener)
        server._thread.start()
        return server

    def close(self) -> None:
        """Stop listening. Harmless to repeat."""
        if self._closing.is_set():
            return
        self._closing.set()
        with suppress(OSError):
            self.path.unlink()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(2 * _TIMEOUT)

    def __enter__(self) -> PanelServer:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                # This was closed; or there are no descriptors left, which may pass.
                self._closing.wait(_PAUSE)
                continue
            # A client that says nothing, or nonsense, gets no answer; the next one does.
            with closing(client), suppress(OSError, ProtocolViolation):
                client.settimeout(_TIMEOUT)
                if _user_of(client) in {os.geteuid(), 0}:
                    request = PanelRequest.decode(_receive_line(client))
                    client.sendall(self._answer(request).encode())

    def _answer(self, request: PanelRequest) -> PanelView:
        panel = self._token.panel
        for key in request.keys:
            panel.press(key)
        return PanelView(self._token.serial, panel.screen, panel.page, len(panel.pages))


def ask_panel(path: str | os.PathLike[str], *keys: PanelKey) -> PanelView:
    """Press ``keys`` on the token in the file ``path``, which another process serves.

    What its screen shows then. `TokenNotFound`, `TokenNotServed`, `ProtocolViolation`.
    """
    if not os.path.exists(path):
        raise TokenNotFound(f"{os.fspath(path)}: there is no such token")
    for folder in _folders(make=False):
        with closing(socket.socket(socket.AF_UNIX)) as server:
            server.settimeout(_TIMEOUT)
            try:
                server.connect(os.fspath(folder / _name(path)))
                if _user_of(server) != os.geteuid():
                    continue
                server.sendall(PanelRequest(keys).encode())
                return PanelView.decode(_receive_line(server))
            except OSError:
                continue
    raise TokenNotServed(f"{os.fspath(path)}: nobody serves this token")


def _temporary() -> Path:
    return Path(f"/tmp/ushield-{os.geteuid()}")  # noqa: S108 - only if it is this user's alone


def _folders(*, make: bool = True) -> Iterator[Path]:
    """Where sockets may lie, best place first; not by the environment, which differs by process."""
    runtime = Path(f"/run/user/{os.geteuid()}")
    places = (runtime / "ushield", _temporary()) if _is_own(runtime) else (_temporary(),)
    for place in places:
        if make:
            with suppress(OSError):
                place.mkdir(mode=0o700)
        if _is_own(place):
            yield place


def _is_own(folder: Path) -> bool:
    """Whether it is a directory that nobody but this user can enter."""
    try:
        status = folder.lstat()
    except OSError:
        return False
    return (
        stat.S_ISDIR(status.st_mode)
        and status.st_uid == os.geteuid()
        and not status.st_mode & 0o077
    )


def _name(path: str | os.PathLike[str]) -> str:
    # A socket's path has room for 107 bytes; the token's own may be longer.
    return hashlib.sha256(os.fsencode(os.path.realpath(path))).hexdigest()[:32]


def _user_of(peer: socket.socket) -> int:
    credentials = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
    _, user, _ = _PEER.unpack(credentials)
    return int(user)


def _receive_line(peer: socket.socket) -> bytes:
    line = bytearray()
    while not line.endswith(b"\n"):
        data = peer.recv(MAX_LINE)
        if not data or len(line) + len(data) > MAX_LINE:
            raise ProtocolViolation("no whole line on the panel's socket")
        line += data
    return bytes(line)
