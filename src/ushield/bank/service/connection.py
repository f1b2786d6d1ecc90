"""A connection: whose certificate it came with, and how long it may stand without getting on.

uvicorn's own protocol class tells an application nothing of TLS, and waits for ever: for a head
that is begun and never ends, for the rest of a body that was answered already, and for a client
that reads no answer.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from ushield.bank.service.endpoint import CERTIFICATE

__all__ = ["HEAD_SECONDS", "Connection"]

HEAD_SECONDS = 10.0
"""How long a connection may stand without a whole head of a request, or any of an answer read."""

_ANSWERING = (h11.SEND_RESPONSE, h11.SEND_BODY)


class Connection(H11Protocol):
    """uvicorn's HTTP/1.1 connection, with these two things added."""

    _patience: asyncio.TimerHandle | None = None
    _unread = 0

    def connection_made(  # type: ignore[override]  # uvicorn's is as narrow
        self, transport: asyncio.Transport
    ) -> None:
        """See `asyncio.BaseProtocol.connection_made`."""
        super().connection_made(transport)
        tls: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
        certificate = None if tls is None else tls.getpeercert(binary_form=True)
        if certificate is not None:
            # Each request's scope gets a copy of this.
            self.app_state: dict[str, Any] = {**self.app_state, CERTIFICATE: certificate}
        self._wait_for_head()

    def on_response_complete(self) -> None:
        """The next request's time begins."""
        self._wait_for_head()
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.BaseProtocol.connection_lost`."""
        if self._patience is not None:
            self._patience.cancel()
        super().connection_lost(exc)

    def _wait_for_head(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
        self._unread = 0
        self._patience = self.loop.call_later(HEAD_SECONDS, self._lose_patience)

    def _lose_patience(self) -> None:
        before, self._unread = self._unread, self.transport.get_write_buffer_size()
        if self._unread and self._unread == before:
            # Closing would wait for the client to read what it was sent.
            self.transport.abort()
            return
        is_read = not self._unread and self.conn.our_state not in _ANSWERING
        if is_read and not self.transport.is_closing():
            self.transport.close()
            return
        self._patience = self.loop.call_later(HEAD_SECONDS, self._lose_patience)
