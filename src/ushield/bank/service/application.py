"""The service as an ASGI application: any server that speaks ASGI 3 can run it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ushield.bank.service.access_log import RequestRecord, log_failure, log_request
from ushield.bank.service.buckets import RateLimits
from ushield.bank.service.configuration import ClientFile, Limits
from ushield.bank.service.endpoint import RECORD, Desk, Endpoint, problem_response
from ushield.bank.service.errors import (
    HostUnknown,
    MethodUnknown,
    OriginRefused,
    RequestInvalid,
    RouteUnknown,
    ServiceError,
    Unexpected,
)
from ushield.bank.service.openapi import document
from ushield.bank.service.operation import Answer, Backing, Call, Operation
from ushield.bank.service.operations import OPERATIONS
from ushield.bank.service.workers import Workers

__all__ = ["DOCUMENT_PATH", "Application"]

DOCUMENT_PATH = "/openapi.json"
_HOST = re.compile(r"(\[(?P<v6>[^\[\]]+)\]|(?P<name>[^:\[\]]+))(:[0-9]{0,5})?")
_LONG_THREADS = 1
_LONG_WAITING = 2
_SAFE_HEADERS = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
)


class Application:
    """The service's application; `close` it when no more requests come.

    ``hosts`` are the names and addresses by which it may be called, without ports. ``clients``
    tells who may call it, ``clock`` the seconds that rates are counted by. It makes threads, but
    opens nothing: the bank in ``backing`` is its caller's to open and close.
    """

    def __init__(
        self,
        backing: Backing,
        *,
        clients: ClientFile,
        hosts: Iterable[str],
        limits: Limits | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        limits = limits or Limits()
        self._hosts = frozenset(host.lower() for host in hosts)
        self._desk = Desk(
            backing=backing,
            clients=clients,
            limits=limits,
            rates=RateLimits(
                per_client=limits.per_client,
                together=limits.together,
                strangers=limits.strangers,
                clock=clock,
            ),
            workers=Workers(limits.workers, limits.waiting),
            long_workers=Workers(_LONG_THREADS, _LONG_WAITING),
        )
        routing = Starlette(
            routes=_routes((*OPERATIONS, _DOCUMENT), self._desk),
            exception_handlers={HTTPException: _not_routed},
        )
        # A path has one spelling.
        routing.router.redirect_slashes = False
        self._app: ASGIApp = routing

    def close(self) -> None:
        """Wait for what is being worked on; idempotent."""
        self._desk.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI 3; HTTP and its lifespan, no WebSockets."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        record = RequestRecord(scope["method"])
        scope[RECORD] = record
        begun = False

        async def answer(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                record.status = message["status"]
                identity = (b"x-request-id", record.request_id.encode())
                given = {name for name, _ in message["headers"]}
                more = [each for each in _SAFE_HEADERS if each[0] not in given]
                message = {**message, "headers": [*message["headers"], identity, *more]}
            await send(message)

        try:
            refused = self._refused(scope)
            if refused is not None:
                response = problem_response(refused, record)
                response.headers["Connection"] = "close"
                await response(scope, receive, answer)
            else:
                await self._app(scope, receive, answer)
        # Whatever it is, its words go nowhere.
        except Exception as error:  # noqa: BLE001
            log_failure(record, error)
            if not begun:
                await problem_response(Unexpected("unexpected"), record)(scope, receive, answer)
        finally:
            log_request(record)

    def _refused(self, scope: Scope) -> ServiceError | None:
        names = {name for name, _ in scope["headers"]}
        if {b"content-length", b"transfer-encoding"} <= names:
            # Whoever stands in between may have read the other one of the two (RFC 9112, 6.1).
            return RequestInvalid("the request has two lengths")
        given = [value for name, value in scope["headers"] if name == b"host"]
        if len(given) != 1 or _host_of(given[0].decode("latin-1")) not in self._hosts:
            return HostUnknown("the service is not called so")
        if b"origin" in names:
            return OriginRefused("no web page may use the service")
        return None


def _routes(operations: Iterable[Operation], desk: Desk) -> list[Route]:
    # One route a path: the router tells the methods of the first one only.
    by_path: dict[str, dict[str, Endpoint]] = {}
    for operation in operations:
        by_path.setdefault(operation.path, {})[operation.method] = Endpoint(operation, desk)
    return [
        Route(path, _Methods(endpoints), methods=list(endpoints))
        for path, endpoints in by_path.items()
    ]


class _Methods:
    """The endpoints of one path."""

    def __init__(self, endpoints: dict[str, Endpoint]) -> None:
        self._endpoints = endpoints

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        response = await self._endpoints[method](Request(scope, receive, send))
        await response(scope, receive, send)


async def _not_routed(request: Request, error: Exception) -> Response:
    record: RequestRecord = request.scope[RECORD]
    status = getattr(error, "status_code", 500)
    if status == 405:
        response = problem_response(MethodUnknown("not with this method"), record)
        response.headers["Allow"] = (getattr(error, "headers", None) or {}).get("Allow", "")
        return response
    if status == 404:
        return problem_response(RouteUnknown("there is nothing here"), record)
    return problem_response(Unexpected("unexpected"), record)


def _host_of(value: str) -> str | None:
    found = _HOST.fullmatch(value.lower())
    return found and (found["v6"] or found["name"])


def _tell_document(call: Call) -> Answer:
    return Answer(body=document())


_DOCUMENT = Operation(
    name="document",
    method="GET",
    path=DOCUMENT_PATH,
    summary="This document.",
    handler=_tell_document,
    answers={},
)
