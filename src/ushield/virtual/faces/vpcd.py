"""A virtual token's card for PC/SC, through the reader driver vpcd of vsmartcard.

The driver runs in pcscd and listens; the card comes to it. Each message is a length of two bytes,
big-endian, and as many bytes: a single one is an order, of which only the one for the ATR is
answered, and anything longer a command APDU (vsmartcard 3.3, `virtualsmartcard/src/vpcd`). There
is neither password nor encryption in it: whoever listens there uses the card.
"""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from types import TracebackType
from typing import Final

from ushield.errors import InputInvalid, TokenRemoved
from ushield.virtual.card import ATR
from ushield.virtual.token import VirtualToken
from ushield.virtual.usb.contact import Card

__all__ = ["DEFAULT_HOST", "DEFAULT_PORT", "VpcdCard", "VpcdUnavailable"]

DEFAULT_HOST: Final = "127.0.0.1"
DEFAULT_PORT: Final = 35963
"""Where vpcd listens unless its configuration says otherwise."""

_POWER_OFF, _POWER_ON, _RESET, _TELL_ATR = b"\x00", b"\x01", b"\x02", b"\x04"
_CONNECT_TIMEOUT: Final = 5.0
_JOIN_TIMEOUT: Final = 5.0
_QUICKACK: Final = getattr(socket, "TCP_QUICKACK", None)


class VpcdUnavailable(InputInvalid):
    """No reader listens at ``address``."""

    code = "vpcd-unavailable"
    default_remedy = "Start pcscd with vsmartcard's vpcd (Debian: vsmartcard-vpcd), then try again."
    carries = ("address",)

    def __init__(self, message: str, *, address: str) -> None:
        super().__init__(message)
        self.address = address


class VpcdCard:
    """A token's card in vpcd's reader, as long as both are there; made by `connect`.

    It works on a thread of its own, so the panel can be pressed meanwhile. A context manager.
    """

    def __init__(self, card: Card, connection: socket.socket, address: str) -> None:
        self._card = card
        self._connection = connection
        self._address = address
        self._closing = False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ushield-vpcd", daemon=True)

    @classmethod
    def connect(
        cls, token: VirtualToken, *, host: str = DEFAULT_HOST, port: int = DEFAULT_PORT
    ) -> VpcdCard:
        """Put the token's card into the reader at ``host`` and ``port``; `VpcdUnavailable`."""
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            connection = socket.create_connection((host, port), _CONNECT_TIMEOUT)
        except OSError as error:
            reason = (error.strerror or "no answer").lower()
            raise VpcdUnavailable(f"no vpcd at {address}: {reason}", address=address) from error
        connection.settimeout(None)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        card = cls(token.contacts, connection, address)
        token.device.on_detach(card._hang_up)
        card._thread.start()
        return card

    def wait(self, timeout: float | None = None) -> None:
        """Return after ``timeout`` seconds; `TokenRemoved` at once when the reader is gone."""
        if self._ended.wait(timeout) and not self._closing:
            raise TokenRemoved(
                f"the vpcd at {self._address} is gone, or the token was pulled out of it",
                remedy="Start pcscd, plug the token in, and serve it again.",
            )

    def close(self) -> None:
        """Take the card out of the reader. Harmless to repeat."""
        self._closing = True
        self._hang_up()
        self._thread.join(_JOIN_TIMEOUT)

    def __enter__(self) -> VpcdCard:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _hang_up(self) -> None:
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)

    def _run(self) -> None:
        with suppress(OSError), self._connection:
            while (message := self._receive()) is not None:
                answer = self._obey(message)
                if answer is not None:
                    self._connection.sendall(len(answer).to_bytes(2, "big") + answer)
        self._card.power_off()
        self._ended.set()

    def _obey(self, message: bytes) -> bytes | None:
        if message == _TELL_ATR:
            return ATR
        if len(message) > 1:
            return self._card.transmit(message)
        if message == _POWER_OFF:
            self._card.power_off()
        elif message in (_POWER_ON, _RESET):
            self._card.power_on()
        return None

    def _receive(self) -> bytes | None:
        length = self._exactly(2)
        return None if length is None else self._exactly(int.from_bytes(length, "big"))

    def _exactly(self, size: int) -> bytes | None:
        """That many bytes; ``None`` where the connection ends before."""
        received = b""
        while len(received) < size:
            if _QUICKACK is not None:
                # The kernel forgets it again. vpcd sends length and message apart and waits for
                # the first to be acknowledged, which by itself takes 40 ms.
                self._connection.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
            part = self._connection.recv(size - len(received))
            if not part:
                return None
            received += part
        return received
