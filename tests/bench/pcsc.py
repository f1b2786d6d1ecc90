"""One APDU of 16 bytes through pcscd and vpcd, beside a bare socket with the same messages.

Starts a pcscd of its own, as root, where none runs: ``tests/clients`` says what must be installed.
"""

from __future__ import annotations

import socket
import threading
from pathlib import Path
from tempfile import TemporaryDirectory

from smartcard import scard

from tests.bench.apdu import COMMAND
from tests.bench.measure import in_turn, line
from tests.clients.conftest import READER, in_reader, running_pcscd
from ushield.iso7816.channel import ApduChannel
from ushield.transport.pcsc import open_pcsc
from ushield.virtual.create import create_token

ANSWER = bytes(2)
BOUND = 0.00025


def run() -> None:
    """Measure and print."""
    raw = COMMAND.encode()
    with TemporaryDirectory() as name, running_pcscd(Path(name)) as port:
        path = Path(name) / "token"
        create_token(path)
        with in_reader(path, port) as card, Echo() as echo:
            connection = open_pcsc(READER)
            channel = ApduChannel(connection)
            ours = in_turn(
                {
                    "reference": lambda: echo.exchange(raw),
                    "connection": lambda: connection.transmit(raw),
                    "channel": lambda: channel.send(COMMAND),
                    "card": lambda: card.token.card.transmit(raw),
                }
            )
            connection.close()
            _, context = scard.SCardEstablishContext(scard.SCARD_SCOPE_SYSTEM)
            share = scard.SCARD_SHARE_EXCLUSIVE
            _, handle, _ = scard.SCardConnect(context, READER, share, scard.SCARD_PROTOCOL_T1)
            listed = list(raw)
            theirs = in_turn(
                {
                    "reference": lambda: echo.exchange(raw),
                    "pyscard": lambda: scard.SCardTransmit(handle, scard.SCARD_PCI_T1, listed),
                }
            )
            scard.SCardDisconnect(handle, scard.SCARD_LEAVE_CARD)
            scard.SCardReleaseContext(context)
    line("socket echo of the same messages (reference)", ours["reference"])
    line("pcsc: through pcscd and vpcd", ours["connection"], f"at most {BOUND * 1e6:.0f} us")
    line("the same through ApduChannel", ours["channel"])
    line("  of it the card itself", ours["card"])
    line("socket echo again (reference)", theirs["reference"])
    line("SCardTransmit by bare pyscard, no timeout", theirs["pyscard"])


class Echo:
    """A thread that answers each message, two bytes of length before it, by a status word."""

    def __init__(self) -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        self._client = socket.create_connection(listener.getsockname())
        self._server, _ = listener.accept()
        listener.close()
        for end in (self._client, self._server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def exchange(self, message: bytes) -> bytes:
        self._client.sendall(len(message).to_bytes(2, "big") + message)
        return self._exactly(self._client, int.from_bytes(self._exactly(self._client, 2), "big"))

    def _run(self) -> None:
        while length := self._exactly(self._server, 2):
            self._exactly(self._server, int.from_bytes(length, "big"))
            self._server.sendall(len(ANSWER).to_bytes(2, "big") + ANSWER)

    @staticmethod
    def _exactly(end: socket.socket, size: int) -> bytes:
        received = b""
        while len(received) < size:
            part = end.recv(size - len(received))
            if not part:
                return b""
            received += part
        return received

    def __enter__(self) -> Echo:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()
        self._thread.join(5)
        self._server.close()
