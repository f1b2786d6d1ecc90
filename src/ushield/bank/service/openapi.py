"""The OpenAPI 3.1 document, made of the operations and schemas that the service works by."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from ushield import __version__
from ushield.bank.rejection import RejectionReason
from ushield.bank.service import errors as service
from ushield.bank.service.json_schema import Schema, reference
from ushield.bank.service.operation import Operation
from ushield.bank.service.operations import OPERATIONS
from ushield.bank.service.problems import MEDIA_TYPE, statuses, title_of
from ushield.bank.service.schemas import components
from ushield.errors import StoreError, UShieldError

__all__ = ["document"]

_ANY = (service.HostUnknown, service.OriginRefused, service.TooManyRequests, service.Unexpected)
_CLIENTS = (service.CallerUnknown, service.NotPermitted, service.ServiceConfigurationInvalid)
_BANK = (StoreError, service.Overloaded, service.DeadlinePassed)
_PARAMETERS = (service.RequestInvalid,)
_BODY = (
    service.RequestInvalid,
    service.BodyTooLarge,
    service.BodyTooSlow,
    service.MediaTypeUnsupported,
)


@cache
def document() -> dict[str, Any]:
    """The document; not to be changed."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "The bank's side of ushield",
            "version": __version__,
            "description": "Challenges out, signatures in, each accepted once. Problems are told as"
            " in RFC 9457, by a stable `code`; 503 says that nothing was done, 504 that nobody"
            " knows whether it was.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": _paths(OPERATIONS),
        "components": {
            "schemas": components(),
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "What `ushield bank client add` gave out.",
                },
                "certificate": {"type": "mutualTLS"},
            },
            "responses": {
                "Problem": {
                    "description": "Problem details.",
                    "content": {MEDIA_TYPE: {"schema": reference("Problem")}},
                }
            },
        },
        "x-rejection-reasons": [reason.value for reason in RejectionReason],
    }


def _paths(operations: Sequence[Operation]) -> dict[str, Any]:
    paths: dict[str, Any] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _described(operation)
    return paths


def _described(operation: Operation) -> dict[str, Any]:
    found: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "tags": [operation.tag],
        "security": [] if operation.is_open else [{"token": []}, {"certificate": []}],
        "responses": _responses(operation),
    }
    if operation.roles:
        found["description"] = f"Roles: {', '.join(sorted(operation.roles))}."
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": schema}
        for name, schema in operation.path_parameters.items()
    ]
    parameters += [
        {"name": name, "in": "query", "required": False, "schema": schema}
        for name, schema in operation.query.items()
    ]
    if parameters:
        found["parameters"] = parameters
    content: dict[str, Any] = {}
    if operation.body is not None:
        content["application/json"] = {"schema": operation.body}
    if operation.raw is not None:
        content[operation.raw] = {"schema": {"contentMediaType": operation.raw}}
    if content:
        found["requestBody"] = {"required": True, "content": content}
    return found


def _responses(operation: Operation) -> dict[str, Any]:
    found: dict[str, Any] = {
        str(status): {"description": operation.summary, **_content(schema)}
        for status, schema in operation.answers.items()
    }
    for status in sorted(statuses(*_errors(operation))):
        found[str(status)] = {
            "description": title_of(status),
            "content": {MEDIA_TYPE: {"schema": reference("Problem")}},
        }
    return found


def _content(schema: Schema | str | None) -> dict[str, Any]:
    if schema is None:
        return {}
    if isinstance(schema, str):
        return {"content": {schema: {"schema": {"contentMediaType": schema}}}}
    return {"content": {"application/json": {"schema": schema}}}


def _errors(operation: Operation) -> list[type[UShieldError]]:
    found: list[type[UShieldError]] = [*_ANY, *_BANK, *operation.errors]
    if not operation.is_open:
        found += _CLIENTS
    # A body that nobody wants is refused, too.
    found += _BODY if operation.method != "GET" else _PARAMETERS
    return found
