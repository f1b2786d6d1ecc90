"""Challenges out, signatures in."""

from __future__ import annotations

from ushield.bank.challenge_records import ChallengeState
from ushield.bank.challenges import MAX_LIFETIME
from ushield.bank.facade import MOST_AT_ONCE
from ushield.bank.service.json_schema import Schema, array_of, nullable, object_of, reference, text
from ushield.bank.service.schemas.terms import BASE64, INSTANT, TRANSACTION, WITH_ROWS

__all__ = ["SCHEMAS"]

SCHEMAS: dict[str, Schema] = {
    "NewChallenge": object_of(
        {
            "customer": reference("CustomerId"),
            "transaction": reference(TRANSACTION),
            "lifetime": {
                "type": "integer",
                "minimum": 1,
                "maximum": int(MAX_LIFETIME.total_seconds()),
                "description": "Seconds; the bank's own time without it.",
            },
            "repeat": {
                "type": "boolean",
                "default": False,
                "description": "If the same was asked for before and is live, give that again.",
            },
        },
        optional=("lifetime", "repeat"),
    ),
    "Challenge": object_of(
        {
            "challenge": reference("ChallengeId"),
            "customer": reference("CustomerId"),
            "expires": INSTANT,
            "transaction": {
                **reference(TRANSACTION),
                "description": "What the customer is to sign.",
            },
        }
    ),
    "ChallengeState": object_of(
        {
            "challenge": reference("ChallengeId"),
            "customer": reference("CustomerId"),
            "state": {"enum": [each.value for each in ChallengeState]},
            "issued": INSTANT,
            "expires": INSTANT,
            "decided": nullable(INSTANT),
            "acceptance": {
                **nullable(reference("Acceptance")),
                "description": "What accepting it answered, unless that was erased.",
            },
        }
    ),
    "Presented": object_of(
        {
            "signature": reference("Signature"),
            "rows": text(
                BASE64,
                contentEncoding="base64",
                maxLength=WITH_ROWS,
                description="The file of a batch's rows, CSV or JSON lines, where a policy wants to"
                " see them. They must be those that were signed.",
            ),
        },
        optional=("rows",),
    ),
    "Acceptance": object_of(
        {
            "challenge": reference("ChallengeId"),
            "customer": reference("CustomerId"),
            "token": reference("TokenSerial"),
            "accepted": INSTANT,
            "transaction": {**reference(TRANSACTION), "description": "To be carried out, once."},
            "shown": {
                "type": "object",
                "additionalProperties": {"type": "string"},
                "description": "The fields that the token showed, by their labels.",
            },
            "hidden": {
                "type": "object",
                "additionalProperties": {"type": "string"},
                "description": "The fields that were signed and not shown.",
            },
        }
    ),
    "PresentedSignatures": object_of(
        {
            "signatures": array_of(
                object_of(
                    {
                        "challenge": reference("ChallengeId"),
                        "signature": reference("Signature"),
                    }
                ),
                minItems=1,
                maxItems=MOST_AT_ONCE,
            )
        }
    ),
    "Outcomes": object_of(
        {
            "outcomes": array_of(
                {
                    "oneOf": [
                        object_of({"acceptance": reference("Acceptance")}),
                        object_of({"problem": reference("Problem")}),
                    ]
                },
                description="In the order of the signatures.",
            )
        }
    ),
}
