"""A connection: whose certificate it came with, and how long a request's head may take.

uvicorn's own protocol class tells an application nothing of TLS, and waits for a head that is
begun and never ends.
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
"""How long a connection may stand without a whole head of a request."""


class Connection(H11Protocol):
    """uvicorn's HTTP/1.1 connection, with these two things added."""

    _patience: asyncio.TimerHandle | None = None

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
        self._patience = self.loop.call_later(HEAD_SECONDS, self._lose_patience)

    def _lose_patience(self) -> None:
        if self.conn.their_state is h11.IDLE and not self.transport.is_closing():
            self.transport.close()
