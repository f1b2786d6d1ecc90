"""HTTP connections with one end to all that they take: connecting, TLS, heads and bodies.

A timeout of http.client is for each address that a name has, and for each piece that is read: a
server that sends a byte now and then would be listened to for hours.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from http.client import HTTPConnection, HTTPSConnection
from typing import Any

from ushield.bank.watchdog import Watchdog

__all__ = ["BoundedConnection", "BoundedTlsConnection", "Deadline"]

_WATCHDOG = Watchdog()


class Deadline:
    """When all connections made under it are cut (`time.monotonic`), unless it is released."""

    def __init__(self, end: float) -> None:
        self._end = end
        self._held: list[Callable[[], None]] = []

    @property
    def left(self) -> float:
        """Seconds until then; not below zero."""
        return max(0.0, self._end - time.monotonic())

    def connect(
        self, address: tuple[str, int], timeout: object = None, source: object = None
    ) -> socket.socket:
        """As `socket.create_connection`, with what is left as its timeout for all addresses.

        How long looking the name up takes is the resolver's to say.
        """
        host, port = address
        problem: OSError = TimeoutError("no time left to connect")
        for family, kind, protocol, _, place in socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM
        ):
            left = self.left
            if not left:
                break
            connection = socket.socket(family, kind, protocol)
            try:
                connection.settimeout(left)
                connection.connect(place)
            except OSError as error:
                connection.close()
                problem = error
            else:
                self._watch(connection)
                return connection
        raise problem

    def release(self) -> None:
        """Cut nothing any more; idempotent."""
        while self._held:
            self._held.pop()()

    def _watch(self, connection: socket.socket) -> None:
        # One of its own: the number may be another socket's by the time this one is closed.
        descriptor = os.dup(connection.fileno())
        forget = _WATCHDOG.watch(descriptor, self.left)

        def release() -> None:
            forget()
            os.close(descriptor)

        self._held.append(release)


class BoundedConnection(HTTPConnection):
    """An HTTP connection under a deadline."""

    def __init__(self, *arguments: Any, deadline: Deadline, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self._create_connection = deadline.connect


class BoundedTlsConnection(HTTPSConnection):
    """The same with TLS."""

    def __init__(self, *arguments: Any, deadline: Deadline, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self._create_connection = deadline.connect
