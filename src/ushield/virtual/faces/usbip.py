"""A virtual token's USB device for a Linux kernel, over USB/IP.

USB/IP knows neither passwords nor encryption: whoever reaches the port can plug the token in.
"""

from __future__ import annotations

import os
import socket
import struct
import threading
from contextlib import suppress
from types import TracebackType
from typing import Final

from usbip.core import Urb

from ushield.errors import InputInvalid, ProtocolViolation
from ushield.virtual.faces.usbip_wire import (
    BUS_ID,
    Import,
    ListDevices,
    RequestDecoder,
    Status,
    Unlink,
    device_list,
    import_accepted,
    import_refused,
    submit_reply,
    unlink_reply,
)
from ushield.virtual.usb import CcidUsbDevice

__all__ = ["DEFAULT_HOST", "DEFAULT_PORT", "AddressUnavailable", "UsbIpServer"]

DEFAULT_HOST: Final = "127.0.0.1"
DEFAULT_PORT: Final = 3240
"""The port registered for USB/IP."""

_HANDSHAKE_TIMEOUT: Final = 5.0
_SEND_TIMEOUT: Final = struct.pack("@ll", 5, 0)
_JOIN_TIMEOUT: Final = 5.0
_PAUSE: Final = 0.1
_MAX_CLIENTS: Final = 8
_MAX_WAITING: Final = 256
_CHUNK: Final = 65_536


class AddressUnavailable(InputInvalid):
    """Nothing can listen at ``address``, most often because another program does."""

    code = "address-unavailable"
    default_remedy = "Choose another address, or end the program that listens there."
    carries = ("address",)

    def __init__(self, message: str, *, address: str) -> None:
        super().__init__(message)
        self.address = address


class UsbIpServer:
    """Lets one client at a time plug ``device`` in; made by `listen`, a context manager.

    The device starts anew when a client imports it, and its card loses power when that one goes.
    """

    def __init__(self, device: CcidUsbDevice, listener: socket.socket) -> None:
        self._device = device
        self._listener = listener
        self._lock = threading.Lock()
        self._clients: dict[socket.socket, threading.Thread] = {}
        self._importer: socket.socket | None = None
        self._closing = threading.Event()
        self.address: tuple[str, int] = listener.getsockname()[:2]
        self._acceptor = threading.Thread(target=self._accept, name="ushield-usbip", daemon=True)

    @classmethod
    def listen(
        cls, device: CcidUsbDevice, *, host: str = DEFAULT_HOST, port: int = DEFAULT_PORT
    ) -> UsbIpServer:
        """Serve ``device`` at ``host`` and ``port`` (0: any free one) until closed.

        `AddressUnavailable`.
        """
        try:
            family, _, _, _, address = socket.getaddrinfo(
                host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            listener = socket.create_server(address[:2], family=family, backlog=_MAX_CLIENTS)
        except OSError as error:
            # The socket module puts the address into a system error's words; gaierror has its own.
            number = None if isinstance(error, socket.gaierror) else error.errno
            reason = str(error.strerror) if number is None else os.strerror(number)
            name = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            raise AddressUnavailable(
                f"cannot listen at {name}: {reason.lower()}", address=name
            ) from error
        server = cls(device, listener)
        device.on_detach(server._hang_up)
        server._acceptor.start()
        return server

    @property
    def attached(self) -> bool:
        """Whether a client has the device plugged in."""
        return self._importer is not None

    def close(self) -> None:
        """Stop listening, and pull the device from whoever has it. Harmless to repeat."""
        self._closing.set()
        with self._lock:
            clients = tuple(self._clients.items())
        # Closing alone would leave a thread in `accept` or `recv` for ever.
        for each in (self._listener, *(client for client, _ in clients)):
            _shut(each)
        self._listener.close()
        for thread in (self._acceptor, *(thread for _, thread in clients)):
            if thread is not threading.current_thread():
                thread.join(_JOIN_TIMEOUT)

    def __enter__(self) -> UsbIpServer:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _hang_up(self) -> None:
        with self._lock:
            importer = self._importer
        if importer is not None:
            _shut(importer)

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                # This was closed; or there are no descriptors left, which may pass.
                self._closing.wait(_PAUSE)
                continue
            thread = threading.Thread(
                target=self._serve, args=(client,), name="ushield-usbip-client", daemon=True
            )
            with self._lock:
                welcome = not self._closing.is_set() and len(self._clients) < _MAX_CLIENTS
                if welcome:
                    self._clients[client] = thread
                    thread.start()
            if not welcome:
                client.close()

    def _serve(self, client: socket.socket) -> None:
        try:
            client.settimeout(_HANDSHAKE_TIMEOUT)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            decoder = RequestDecoder()
            if self._admit(client, decoder):
                try:
                    _Session(self._device, client, decoder).run()
                finally:
                    # Whoever comes next finds the card without power.
                    self._device.reset_io()
                    with self._lock:
                        self._importer = None
        except (OSError, ProtocolViolation):
            # A client that breaks off, or does not speak USB/IP, is shown the door.
            pass
        finally:
            client.close()
            with self._lock:
                self._clients.pop(client, None)

    def _admit(self, client: socket.socket, decoder: RequestDecoder) -> bool:
        """Answer a client's first request; whether it has the device now."""
        while (request := decoder.next()) is None:
            data = client.recv(_CHUNK)
            if not data:
                return False
            decoder.feed(data)
        present = self._device.attached
        if isinstance(request, ListDevices):
            client.sendall(device_list(self._device if present and not self.attached else None))
            return False
        if not isinstance(request, Import) or request.bus_id != BUS_ID or not present:
            client.sendall(import_refused(Status.NO_DEVICE))
            return False
        with self._lock:
            taken = self._importer is not None
            if not taken:
                self._importer = client
        if taken:
            client.sendall(import_refused(Status.BUSY))
            return False
        try:
            client.settimeout(None)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _SEND_TIMEOUT)
            self._device.reset_io()
            client.sendall(import_accepted(self._device))
        except OSError:
            with self._lock:
                self._importer = None
            raise
        return True


class _Session:
    """The transfers of the client that has the device."""

    __slots__ = ("_client", "_decoder", "_device", "_lock", "_unlinks", "_waiting")

    def __init__(
        self, device: CcidUsbDevice, client: socket.socket, decoder: RequestDecoder
    ) -> None:
        self._device = device
        self._client = client
        self._decoder = decoder
        # One answer at a time: transfers are completed by several threads.
        self._lock = threading.Lock()
        self._waiting: set[int] = set()
        self._unlinks: dict[int, Unlink] = {}

    def run(self) -> None:
        """Until the client goes: `ProtocolViolation` or `OSError` where it breaks off."""
        decoder, device, client = self._decoder, self._device, self._client
        answer, waiting = self._answer, self._waiting
        while True:
            request = decoder.next()
            if request is None:
                data = client.recv(_CHUNK)
                if not data:
                    return
                decoder.feed(data)
            elif isinstance(request, Unlink):
                self._unlink(request)
            elif isinstance(request, Urb):
                if len(waiting) >= _MAX_WAITING or request.seqnum in waiting:
                    raise ProtocolViolation("too many USB/IP transfers, or one of them twice")
                waiting.add(request.seqnum)
                if device.handle_urb(request, answer) is not None:
                    answer(request)

    def _answer(self, urb: Urb) -> None:
        with self._lock:
            if urb.seqnum not in self._waiting:
                return
            self._waiting.discard(urb.seqnum)
            message = submit_reply(urb)
            unlink = self._unlinks.pop(urb.seqnum, None)
            if unlink is not None:
                message += unlink_reply(unlink, taken_back=False)
            self._send(message)

    def _unlink(self, unlink: Unlink) -> None:
        # Without the lock: whoever completes a transfer may hold the endpoint's and wait for ours.
        taken_back = self._device.cancel_urb(unlink.target)
        with self._lock:
            if taken_back:
                self._waiting.discard(unlink.target)
            elif unlink.target in self._waiting:
                # Being completed this moment. Linux drops the device if that answer comes second.
                self._unlinks[unlink.target] = unlink
                return
            self._send(unlink_reply(unlink, taken_back=taken_back))

    def _send(self, message: bytes) -> None:
        try:
            self._client.sendall(message)
        except OSError:
            # The caller may be a finger on the panel; the thread that reads ends the session.
            _shut(self._client)


def _shut(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
