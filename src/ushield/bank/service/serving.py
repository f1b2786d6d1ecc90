"""Running the service: uvicorn on a socket of its own, until it is told to stop."""

from __future__ import annotations

import asyncio
import logging
import ssl
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

import uvicorn

from ushield.bank.service.access_log import JsonLines
from ushield.bank.service.application import Application
from ushield.bank.service.backing import backing_of
from ushield.bank.service.configuration import (
    ClientFile,
    Limits,
    ServiceConfiguration,
)
from ushield.bank.service.connection import Connection
from ushield.bank.service.errors import AddressRefused, ServiceConfigurationInvalid
from ushield.bank.service.listening import Address, MutualTls, own_names
from ushield.bank.service.loop import Loop

if TYPE_CHECKING:
    from ushield.bank.configuration import BankConfiguration

__all__ = ["ServiceSettings", "make_server", "serve"]

_LOGGERS = ("ushield.bank.service", "uvicorn.error")
_SHUTDOWN_SECONDS = 20
_KEEP_ALIVE_SECONDS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSettings:
    """Where a bank's service listens; ``hosts`` are names it has besides those it knows."""

    address: Address
    tls: MutualTls | None = None
    hosts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.address.is_local and self.tls is None:
            raise AddressRefused(f"{self.address.host}: other machines reach it, and without TLS")


def serve(
    configuration: BankConfiguration,
    settings: ServiceSettings,
    *,
    started: Callable[[str], None] = lambda url: None,
) -> None:
    """Serve the bank until SIGTERM or SIGINT; ``started`` gets the URL once clients may come.

    `ServiceConfigurationInvalid` without any clients, `AddressRefused`, and whatever opening the
    bank raises. It logs to the standard error, a line of JSON each.
    """
    service = ServiceConfiguration.load(configuration.folder)
    if not service.clients.by_name:
        raise ServiceConfigurationInvalid(f"{configuration.folder}: the service has no clients yet")
    context = None if settings.tls is None else settings.tls.context()
    names = own_names(settings.address, settings.tls).union(settings.hosts)
    if not names:
        raise AddressRefused(
            "the server's certificate has no name", remedy="Name the service: `--host NAME`."
        )
    with ExitStack() as stack:
        bank = stack.enter_context(configuration.open(pool_size=service.limits.workers + 2))
        application = Application(
            backing_of(configuration, bank),
            clients=ClientFile(configuration.folder),
            hosts=names,
            limits=service.limits,
        )
        stack.callback(application.close)
        listening = stack.enter_context(settings.address.listen())
        _log_lines()
        server = make_server(application, service.limits, context)
        started(settings.address.url(listening, tls=context is not None))
        with asyncio.Runner(loop_factory=Loop) as runner:
            runner.run(server.serve(sockets=[listening]))


def make_server(
    application: Application, limits: Limits, context: ssl.SSLContext | None = None
) -> uvicorn.Server:
    """A server for the application, with TLS if there is a ``context``; not running yet."""
    return uvicorn.Server(
        uvicorn.Config(
            application,
            http=Connection,
            ws="none",
            lifespan="off",
            loop=f"{Loop.__module__}:{Loop.__name__}",
            log_config=None,
            log_level=logging.WARNING,
            access_log=False,
            # Who calls is told by TLS or by a token, never by a header.
            proxy_headers=False,
            server_header=False,
            limit_concurrency=limits.connections,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
            ssl_context_factory=None if context is None else lambda config, default: context,
        )
    )


def _log_lines() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.propagate = False
    logging.getLogger(_LOGGERS[0]).setLevel(logging.INFO)
