"""The parts that schemas are written with (JSON Schema, draft 2020-12)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["Schema", "array_of", "hexadecimal", "nullable", "object_of", "reference", "text"]

Schema = dict[str, Any]


def reference(name: str) -> Schema:
    """The schema of that name."""
    return {"$ref": f"#/components/schemas/{name}"}


def object_of(
    properties: Mapping[str, Schema], *, optional: Sequence[str] = (), **more: Any
) -> Schema:
    """An object with these members and no others; all are required but ``optional`` ones."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": [name for name in properties if name not in optional],
        "additionalProperties": False,
        **more,
    }


def array_of(items: Schema, **more: Any) -> Schema:
    """An array."""
    return {"type": "array", "items": items, **more}


def text(pattern: str | None = None, **more: Any) -> Schema:
    """A text, of the given pattern."""
    return {"type": "string", **({} if pattern is None else {"pattern": pattern}), **more}


def hexadecimal(digits: int) -> Schema:
    """So many hexadecimal digits, in small letters."""
    return text(f"^[0-9a-f]{{{digits}}}$")


def nullable(schema: Schema) -> Schema:
    """The same, or null."""
    return {"anyOf": [schema, {"type": "null"}]}
