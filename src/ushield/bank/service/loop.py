"""The event loop, in which nobody takes for ever to shake hands."""

from __future__ import annotations

import asyncio
from typing import Any

__all__ = ["HANDSHAKE_SECONDS", "Loop"]

HANDSHAKE_SECONDS = 10.0
"""How long a client may take over its side of TLS before its connection is ended."""


class Loop(asyncio.SelectorEventLoop):
    """asyncio's, which would wait a minute, and which uvicorn cannot tell otherwise."""

    async def create_server(self, *arguments: Any, **settings: Any) -> asyncio.Server:
        """See `asyncio.loop.create_server`."""
        if settings.get("ssl") is not None:
            settings.setdefault("ssl_handshake_timeout", HANDSHAKE_SECONDS)
        server: asyncio.Server = await super().create_server(*arguments, **settings)
        return server
