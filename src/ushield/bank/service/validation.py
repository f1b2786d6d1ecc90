"""Requests checked against the OpenAPI document: what it tells is what is taken."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator, ValidationError, validators
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from ushield.bank.service.errors import RequestInvalid
from ushield.bank.service.json_schema import Schema
from ushield.bank.service.openapi import document
from ushield.bank.service.operation import Operation

__all__ = ["RequestChecks"]

_DOCUMENT = "urn:ushield:openapi"
_WHOLE = "0123456789"
_LONGEST_NUMBER = 19


class RequestChecks:
    """The checks of one operation's parameters and body."""

    def __init__(self, operation: Operation) -> None:
        self._known = {**operation.path_parameters, **operation.query}
        self._parameters = {
            name: _validator(_place(operation, "parameters", str(index), "schema"))
            for index, name in enumerate(self._known)
        }
        self._body = None
        if operation.body is not None:
            self._body = _validator(
                _place(operation, "requestBody", "content", "application/json", "schema")
            )

    def parameters(
        self, path: Mapping[str, str], query: Iterable[tuple[str, str]]
    ) -> dict[str, Any]:
        """The parameters' values; `RequestInvalid` names the one at fault."""
        found: dict[str, Any] = {}
        for name, text in (*path.items(), *query):
            if name not in self._known or name in found:
                told = "stands there twice" if name in found else "no such parameter"
                raise RequestInvalid(told, field=name if name in self._known else None)
            value = _value(text, self._known[name])
            if not self._parameters[name].is_valid(value):
                raise RequestInvalid(f"{name}: not as it must be", field=name)
            found[name] = value
        return found

    def body(self, value: Any) -> Any:
        """The body, which is as it must be; `RequestInvalid` with the place of what is not."""
        if self._body is None:
            raise RequestInvalid("no body is due")
        error = _first(self._body.iter_errors(value))
        if error is not None:
            field = "".join(f"/{_escaped(part)}" for part in error.absolute_path)
            raise RequestInvalid(f"{field or 'the body'}: {_told(error)}", field=field)
        return value


def _value(text: str, schema: Schema) -> Any:
    if not text.isprintable():
        raise RequestInvalid("a parameter has a control character")
    is_whole = 0 < len(text) <= _LONGEST_NUMBER and not text.strip(_WHOLE)
    return int(text) if schema.get("type") == "integer" and is_whole else text


def _exact_pattern(
    validator: Any, pattern: str, value: Any, schema: Any
) -> Iterator[ValidationError]:
    # Python's $ would let the end of a line follow; ECMA-262's, which JSON Schema means, does not.
    exact = f"{pattern[:-1]}\\Z" if pattern.endswith("$") else pattern
    if isinstance(value, str) and re.search(exact, value) is None:
        yield ValidationError("does not match")


_Validator = validators.extend(Draft202012Validator, {"pattern": _exact_pattern})


def _validator(place: str) -> Any:
    return _Validator({"$ref": f"{_DOCUMENT}#{place}"}, registry=_registry())


@cache
def _registry() -> Any:
    return Registry().with_resource(_DOCUMENT, DRAFT202012.create_resource(document()))


def _place(operation: Operation, *parts: str) -> str:
    every = ("paths", operation.path, operation.method.lower(), *parts)
    return "".join("/" + _escaped(part).replace("{", "%7B").replace("}", "%7D") for part in every)


def _escaped(part: str | int) -> str:
    return str(part).replace("~", "~0").replace("/", "~1")


def _first(errors: Iterable[ValidationError]) -> ValidationError | None:
    """The error to tell: of alternatives, one of the branch whose constants fit."""
    found = min(errors, key=lambda error: len(error.absolute_path), default=None)
    if found is None or found.validator not in ("oneOf", "anyOf") or not found.context:
        return found
    branches: dict[Any, list[ValidationError]] = {}
    for each in found.context:
        branches.setdefault(each.schema_path[0], []).append(each)
    meant = [branch for branch in branches.values() if not any(map(_tells_apart, branch))]
    return _first(meant[0]) if len(meant) == 1 else found


def _tells_apart(error: ValidationError) -> bool:
    """Whether an error says that another alternative was meant: by a constant, or by its type."""
    return error.validator == "const" or (error.validator == "type" and not error.relative_path)


_WORDS: dict[str, Callable[[Any], str]] = {
    "required": lambda value: f"one of {', '.join(value)} is missing",
    "additionalProperties": lambda value: "has a member that is unknown",
    "type": lambda value: f"{value} is due",
    "enum": lambda value: f"one of {', '.join(map(str, value))} is due",
    "pattern": lambda value: f"must match {value}",
    "minLength": lambda value: f"must have {value} characters at least",
    "maxLength": lambda value: f"must have {value} characters at most",
    "minimum": lambda value: f"must be {value} at least",
    "maximum": lambda value: f"must be {value} at most",
    "minItems": lambda value: f"must have {value} members at least",
    "maxItems": lambda value: f"must have {value} members at most",
}


def _told(error: ValidationError) -> str:
    # Not the validator's own words, which repeat what was sent.
    words = _WORDS.get(str(error.validator))
    return "none of what is allowed here" if words is None else words(error.validator_value)
