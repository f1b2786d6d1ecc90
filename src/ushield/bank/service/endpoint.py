"""From a request to an operation and back: who asks, how often, what, and how long it may take."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from ushield.bank.service.access_log import RequestRecord, log_failure
from ushield.bank.service.buckets import RateLimits
from ushield.bank.service.clients import Client, Clients
from ushield.bank.service.configuration import ClientFile, Limits
from ushield.bank.service.errors import (
    BodyTooLarge,
    BodyTooSlow,
    CallerUnknown,
    MediaTypeUnsupported,
    NotPermitted,
    RequestInvalid,
    Unexpected,
)
from ushield.bank.service.json_body import load_body
from ushield.bank.service.operation import Answer, Backing, Call, Operation
from ushield.bank.service.problems import MEDIA_TYPE, headers_of, problem, status_of
from ushield.bank.service.validation import RequestChecks
from ushield.bank.service.workers import Workers
from ushield.errors import StoreError, UShieldError

__all__ = ["CERTIFICATE", "RECORD", "Desk", "Endpoint", "problem_response"]

RECORD = "ushield.record"
"""Where in a request's scope its record is."""

CERTIFICATE = "client_certificate"
"""Where in a connection's state the client's certificate (DER) is, which TLS has verified."""

_JSON = "application/json"
_LONG_SECONDS = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """What all endpoints share."""

    backing: Backing
    clients: ClientFile
    limits: Limits
    rates: RateLimits
    workers: Workers
    long_workers: Workers

    def close(self) -> None:
        """Wait for what is being worked on."""
        self.workers.close()
        self.long_workers.close()


class Endpoint:
    """An operation, behind all that must be right before it runs."""

    def __init__(self, operation: Operation, desk: Desk) -> None:
        self._operation = operation
        self._desk = desk
        self._checks = RequestChecks(operation)

    async def __call__(self, request: Request) -> Response:
        """Answer a request; never raises."""
        record: RequestRecord = request.scope[RECORD]
        record.route = self._operation.path
        try:
            answer = await self._answer(request, record)
        except UShieldError as error:
            return problem_response(error, record)
        except ClientDisconnect:
            return problem_response(BodyTooSlow("the client went away"), record)
        # The last line of defence: no words of an error that nobody thought of get out.
        except Exception as error:  # noqa: BLE001
            unexpected = Unexpected("unexpected")
            unexpected.__cause__ = error
            log_failure(record, error)
            return problem_response(unexpected, record)
        return _response(answer)

    async def _answer(self, request: Request, record: RequestRecord) -> Answer:
        client = self._admit(request, record)
        parameters = self._checks.parameters(
            request.path_params, request.query_params.multi_items()
        )
        body, is_json = await self._read(request)
        operation, desk = self._operation, self._desk
        seconds = _LONG_SECONDS if operation.is_long else float(desk.limits.seconds)
        work = partial(self._work, client, parameters, body, is_json, seconds)
        workers = desk.long_workers if operation.is_long else desk.workers
        return await workers.run(work, seconds=seconds)

    def _work(
        self,
        client: Client | None,
        parameters: Mapping[str, Any],
        body: bytes | None,
        is_json: bool,
        seconds: float,
    ) -> Answer:
        # Here, in a thread, because reading megabytes of JSON takes its time, too.
        value: Any = self._checks.body(load_body(body)) if is_json and body is not None else body
        return self._operation.handler(
            Call(
                backing=self._desk.backing,
                client=client,
                parameters=parameters,
                body=value,
                seconds=seconds,
            )
        )

    def _admit(self, request: Request, record: RequestRecord) -> Client | None:
        if self._operation.is_open:
            self._desk.rates.admit_stranger()
            return None
        try:
            client = _identified(request, self._desk.clients.now())
        except CallerUnknown:
            self._desk.rates.admit_unproven()
            raise
        record.client = client.name
        self._desk.rates.admit(client.name)
        if not client.roles & self._operation.roles:
            roles = tuple(sorted(self._operation.roles))
            raise NotPermitted(f"{client.name} has no role that may do this", roles=roles)
        return client

    async def _read(self, request: Request) -> tuple[bytes | None, bool]:
        if self._operation.body is None and self._operation.raw is None:
            if await _read_body(request, 0, self._desk.limits.seconds):
                raise RequestInvalid("no body is due")
            return None, False
        kind = _media_type(request)
        wanted = (self._operation.raw, None if self._operation.body is None else _JSON)
        if kind is None or kind not in wanted:
            raise MediaTypeUnsupported("the body is of another type than is taken here")
        body = await _read_body(request, self._operation.longest, self._desk.limits.seconds)
        return body, kind == _JSON


def problem_response(error: UShieldError, record: RequestRecord) -> Response:
    """The answer that tells of an error; what is the server's own fault is logged."""
    status = status_of(error)
    record.code = error.code
    record.reason = error.facts.get("reason")
    if status >= 500 and not isinstance(error, Unexpected):
        log_failure(record, error, words=str(error) if isinstance(error, StoreError) else None)
    return Response(
        _encoded(problem(error, request_id=record.request_id)),
        status_code=status,
        headers=dict(headers_of(error)),
        media_type=MEDIA_TYPE,
    )


def _response(answer: Answer) -> Response:
    content = answer.content if answer.body is None else _encoded(answer.body)
    return Response(
        content,
        status_code=answer.status,
        headers=dict(answer.headers),
        media_type=answer.media_type,
    )


def _identified(request: Request, clients: Clients) -> Client:
    """Whose request it is: by its token if it has one, by the connection's certificate if not."""
    given = request.headers.getlist("authorization")
    if given:
        scheme, _, token = given[0].partition(" ")
        if len(given) > 1 or scheme.lower() != "bearer":
            raise CallerUnknown("the request has no bearer token")
        return clients.by_token(token.strip(" "))
    certificate = request.scope.get("state", {}).get(CERTIFICATE)
    if certificate is None:
        raise CallerUnknown("the request has no token, and came without a certificate")
    return clients.by_certificate(certificate)


def _media_type(request: Request) -> str | None:
    given = request.headers.getlist("content-type")
    if len(given) != 1:
        return None
    kind, _, parameters = given[0].partition(";")
    if parameters.strip().lower() not in ("", "charset=utf-8", 'charset="utf-8"'):
        return None
    if "content-encoding" in request.headers:
        return None
    return kind.strip().lower()


async def _read_body(request: Request, longest: int, seconds: float) -> bytes:
    length = request.headers.get("content-length", "0")
    if length.isdecimal() and int(length) > longest:
        raise BodyTooLarge(f"the body is longer than {longest} bytes")
    body = bytearray()
    try:
        async with asyncio.timeout(seconds):
            async for chunk in request.stream():
                body += chunk
                if len(body) > longest:
                    raise BodyTooLarge(f"the body is longer than {longest} bytes")
    except TimeoutError:
        raise BodyTooSlow(f"the body did not arrive within {seconds:g} s") from None
    return bytes(body)


def _encoded(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
