"""What any operation may give."""

from __future__ import annotations

from ushield.bank.service.json_schema import Schema, object_of, reference, text

__all__ = ["SCHEMAS"]

SCHEMAS: dict[str, Schema] = {
    "Nothing": object_of({}, description="An empty object."),
    "Status": object_of({"status": {"enum": ["live", "ready"]}}),
    "Problem": {
        "type": "object",
        "description": "Problem details (RFC 9457). `code`, `reason` and `rule` are stable.",
        "properties": {
            "type": text(format="uri-reference"),
            "title": text(),
            "status": {"type": "integer"},
            "detail": text(description="For people."),
            "code": text("^[a-z]+(-[a-z]+)*$", description="What went wrong, for programs."),
            "remedy": text(description="What to do about it, for people."),
            "instance": text(format="uri-reference", description="The request's id."),
            "reason": text(description="Why a signature was refused."),
            "rule": text(description="The rule of the bank's policy that refused."),
            "field": text(description="What is wrong in the request."),
            "repeated": {
                "type": "boolean",
                "description": "It was this very signature that was accepted before.",
            },
            "acceptance": reference("Acceptance"),
        },
        "required": ["type", "title", "status", "detail", "code", "remedy"],
        "additionalProperties": True,
    },
}
