"""The shapes of what comes and goes, as JSON Schema (draft 2020-12), by name.

The OpenAPI document has these very objects, and requests are checked against that document: what
it tells and what is taken are one thing.
"""

from __future__ import annotations

from typing import Any

from ushield.bank.approval.proposal import Stage
from ushield.bank.challenge_records import ChallengeState
from ushield.bank.challenges import MAX_LIFETIME
from ushield.bank.customers import CertificateState, TokenState
from ushield.bank.facade import MOST_AT_ONCE
from ushield.bank.lifecycle.records import EnrolmentState
from ushield.bank.lifecycle.unblock_records import UnblockState
from ushield.bank.service.json_schema import (
    Schema,
    array_of,
    hexadecimal,
    nullable,
    object_of,
    reference,
    text,
)
from ushield.transaction.json_form import schema as transaction_schema

__all__ = ["WITH_ROWS", "components"]

WITH_ROWS = 1 << 24
"""How long a body with the rows of a batch may be: room for as many as one signature is for."""

_TRANSACTION = "Transaction"


def components() -> dict[str, Schema]:
    """All named schemas."""
    return {**_NAMED, **_transactions()}


_INSTANT = text(format="date-time")
_COUNT: Schema = {"type": "integer", "minimum": 0, "maximum": (1 << 63) - 1}
_BASE64 = "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"
_PRINTABLE = "^[^\\u0000-\\u001f\\u007f]*$"


def _der(what: str, media_type: str) -> Schema:
    return text(
        _BASE64,
        contentEncoding="base64",
        contentMediaType=media_type,
        minLength=4,
        maxLength=22000,
        description=f"{what}, in base64.",
    )


_NAMED: dict[str, Schema] = {
    "CustomerId": text(
        "^[0-9A-Za-z._-]{1,64}$",
        description="The bank's own id of a customer; one that says nothing about the person.",
    ),
    "TokenSerial": text("^[0-9A-Za-z._-]{1,64}$", description="A token's serial number."),
    "ChallengeId": {**hexadecimal(32), "description": "128 random bits."},
    "Sha256": {**hexadecimal(64), "description": "A SHA-256 digest."},
    "Signature": text(
        _BASE64,
        contentEncoding="base64",
        contentMediaType="application/pkcs7-signature",
        minLength=4,
        maxLength=44000,
        description="CMS SignedData in DER (RFC 5652), in base64.",
    ),
    "Customer": object_of(
        {
            "customer": reference("CustomerId"),
            "name": nullable(text()),
            "profile": nullable(text()),
        },
    ),
    "NewCustomer": object_of(
        {
            "name": nullable(text(_PRINTABLE, minLength=1, maxLength=200)),
            "profile": nullable(text("^[0-9A-Za-z._-]{1,64}$")),
        },
        optional=("name", "profile"),
        description="The name is for the bank's log, the profile one of the policy's.",
    ),
    "Profile": object_of(
        {"profile": nullable(text("^[0-9A-Za-z._-]{1,64}$"))},
        description="One of the policy's; without one its default terms hold.",
    ),
    "CustomerProfile": object_of(
        {"customer": reference("CustomerId"), "profile": nullable(text())}
    ),
    "NewCertificate": object_of(
        {
            "token": reference("TokenSerial"),
            "certificate": text(
                _BASE64,
                contentEncoding="base64",
                contentMediaType="application/pkix-cert",
                minLength=4,
                maxLength=22000,
                description="X.509 in DER (RFC 5280), in base64: PEM without its first, last and"
                " all ends of lines.",
            ),
        }
    ),
    "Certificate": object_of(
        {
            "sha256": reference("Sha256"),
            "serial_number": text("^[0-9a-f]+$", description="The issuer's, hexadecimal."),
            "token": reference("TokenSerial"),
            "customer": reference("CustomerId"),
            "state": {"enum": [each.value for each in CertificateState]},
            "changed": _INSTANT,
        }
    ),
    "CertificateStateChange": object_of(
        {"state": {"enum": [each.value for each in CertificateState]}},
        description="`suspended` and back to `active`, or `revoked`, which is for good.",
    ),
    "Token": object_of(
        {
            "token": reference("TokenSerial"),
            "customer": reference("CustomerId"),
            "state": {"enum": [each.value for each in TokenState]},
            "counter": {**_COUNT, "description": "The highest accepted from it."},
            "changed": _INSTANT,
            "alarms": {
                **_COUNT,
                "description": "Signatures, and challenges to unblock, with a counter passed.",
            },
            "alarmed": nullable(_INSTANT),
            "person": nullable(text(description="Who has it; null is the customer.")),
            "checks": {"type": "boolean", "description": "They may check payments."},
        }
    ),
    "Assignment": object_of(
        {
            "person": reference("CustomerId"),
            "checks": {"type": "boolean", "default": False},
        },
        optional=("checks",),
    ),
    "Identifier": {**hexadecimal(32), "description": "128 random bits."},
    "Proposal": object_of(
        {
            "challenge": reference("ChallengeId"),
            "customer": reference("CustomerId"),
            "stage": {"enum": [each.value for each in Stage]},
            "needed": {**_COUNT, "description": "How many checkers must sign."},
            "entitled": array_of(text(), description="Who may check it."),
            "expires": _INSTANT,
            "ended_by": nullable(text(description="Who withdrew or rejected it.")),
            "endorsements": array_of(
                object_of({"person": text(), "token": reference("TokenSerial"), "at": _INSTANT}),
                description="The maker's, then the checkers'.",
            ),
            "transaction": reference(_TRANSACTION),
        }
    ),
    "Proposals": object_of({"proposals": array_of(reference("Proposal"))}),
    "Approval": object_of(
        {
            "proposal": reference("Proposal"),
            "payment": {
                **nullable(reference(_TRANSACTION)),
                "description": "To be carried out, once: this signature completed it.",
            },
        }
    ),
    "Person": object_of(
        {"person": {**reference("CustomerId"), "description": "Of whom you have made sure."}}
    ),
    "NewEnrolment": object_of(
        {
            "customer": reference("CustomerId"),
            "token": nullable(reference("TokenSerial")),
            "replaces": nullable(reference("TokenSerial")),
        },
        optional=("token", "replaces"),
        description="`token`: the one that was handed out, if that is known.",
    ),
    "Registration": object_of(
        {
            "enrolment": reference("Identifier"),
            "customer": reference("CustomerId"),
            "expires": _INSTANT,
            "code": text(description="For the customer and nobody else; it is told once."),
        }
    ),
    "Attestation": object_of(
        {
            "certificate": _der("The token's answer to ATTEST", "application/pkix-cert"),
            "device": _der("The device key's certificate", "application/pkix-cert"),
        }
    ),
    "EnrolmentRequest": object_of(
        {
            "code": text(_PRINTABLE, maxLength=64, description="As the customer typed it."),
            "request": _der("PKCS #10 (RFC 2986)", "application/pkcs10"),
            "attestation": reference("Attestation"),
        }
    ),
    "RenewalRequest": object_of(
        {
            "request": _der("PKCS #10 (RFC 2986)", "application/pkcs10"),
            "attestation": reference("Attestation"),
        }
    ),
    "Renewal": object_of(
        {
            "enrolment": reference("Identifier"),
            "challenge": reference("ChallengeId"),
            "customer": reference("CustomerId"),
            "expires": _INSTANT,
            "transaction": reference(_TRANSACTION),
        }
    ),
    "Due": object_of(
        {
            "due": array_of(
                object_of(
                    {
                        "kind": text("^[a-z]+(-[a-z]+)*$"),
                        "customer": reference("CustomerId"),
                        "due": _INSTANT,
                        "token": reference("TokenSerial"),
                        "certificate_sha256": reference("Sha256"),
                        "enrolment": reference("Identifier"),
                        "request": reference("Identifier"),
                    },
                    optional=("token", "certificate_sha256", "enrolment", "request"),
                ),
                description="The earliest first.",
            )
        }
    ),
    "Resumption": object_of({"anew": {"type": "boolean", "default": False}}, optional=("anew",)),
    "Confirmation": object_of({"certificate_sha256": reference("Sha256")}),
    "Enrolment": object_of(
        {
            "enrolment": reference("Identifier"),
            "customer": reference("CustomerId"),
            "state": {"enum": [each.value for each in EnrolmentState]},
            "token": nullable(reference("TokenSerial")),
            "replaces": nullable(reference("TokenSerial")),
            "certificate_sha256": nullable(reference("Sha256")),
            "pem": nullable(text(description="The certificate and its chain, once issued.")),
            "registered": _INSTANT,
            "expires": _INSTANT,
            "changed": _INSTANT,
        }
    ),
    "Waiting": object_of({"enrolments": array_of(reference("Identifier"))}),
    "NewUnblock": object_of(
        {
            "customer": reference("CustomerId"),
            "challenge": _der("What the token asks", "application/octet-stream"),
        }
    ),
    "Unblock": object_of(
        {
            "request": reference("Identifier"),
            "token": reference("TokenSerial"),
            "customer": reference("CustomerId"),
            "counter": _COUNT,
            "answers": {**_COUNT, "description": "How often that counter was answered so far."},
            "state": {"enum": [each.value for each in UnblockState]},
            "requested_by": text(),
            "requested": _INSTANT,
            "expires": _INSTANT,
            "decided_by": nullable(text()),
            "decided": nullable(_INSTANT),
            "signature": nullable(
                text(contentEncoding="base64", description="The answer for the token.")
            ),
        }
    ),
    "RevocationRun": object_of({"done": _COUNT, "left": _COUNT}),
    "NewChallenge": object_of(
        {
            "customer": reference("CustomerId"),
            "transaction": reference(_TRANSACTION),
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
            "expires": _INSTANT,
            "transaction": {
                **reference(_TRANSACTION),
                "description": "What the customer is to sign.",
            },
        }
    ),
    "ChallengeState": object_of(
        {
            "challenge": reference("ChallengeId"),
            "customer": reference("CustomerId"),
            "state": {"enum": [each.value for each in ChallengeState]},
            "issued": _INSTANT,
            "expires": _INSTANT,
            "decided": nullable(_INSTANT),
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
                _BASE64,
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
            "accepted": _INSTANT,
            "transaction": {**reference(_TRANSACTION), "description": "To be carried out, once."},
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
    "Head": object_of(
        {
            "instance": text(description="The database's id."),
            "number": {**_COUNT, "description": "Heads are counted from 1."},
            "first": {**_COUNT, "description": "The first entry under it."},
            "count": {**_COUNT, "description": "How many entries are under it."},
            "root": reference("Sha256"),
            "previous": {**hexadecimal(64), "description": "The head before; zeros for the first."},
            "at": {**_COUNT, "description": "Microseconds since 1970."},
            "key_id": {**hexadecimal(64), "description": "SHA-256 of the audit key's public half."},
            "signature": {**hexadecimal(128), "description": "Ed25519 (RFC 8032)."},
        },
        description="A signed head of the audit log, as `ushield bank audit export` writes it.",
    ),
    "LastHead": object_of({"head": nullable(reference("Head"))}),
    "Heads": object_of({"heads": array_of(reference("Head"))}),
    "Sealed": object_of({"sealed": _COUNT, "heads": array_of(reference("Head"))}),
    "Anchors": object_of(
        {
            "anchors": array_of(
                reference("Head"), maxItems=1000, description="Heads that were kept elsewhere."
            )
        },
        optional=("anchors",),
    ),
    "AuditReport": object_of(
        dict.fromkeys(("heads", "entries", "erased", "pending", "anchors", "anchored"), _COUNT)
    ),
    "ArchiveReport": object_of(
        {
            "rows": _COUNT,
            "failed_rows": _COUNT,
            "outcomes": {
                "type": "object",
                "additionalProperties": _COUNT,
                "description": "How many rows had which outcome: `holds`, or why not.",
            },
            "failed": array_of(
                object_of(
                    {
                        "record_id": nullable(text()),
                        "outcome": text(),
                        "detail": nullable(text()),
                        "verified_at": nullable(text()),
                    }
                ),
                description="Rows that do not hold, the first thousand of them.",
            ),
            "revocation": nullable(
                object_of({"lists": _COUNT, "responses": _COUNT, "ignored": _COUNT})
            ),
        },
        description="Without `revocation` it was not looked at: the bank names no"
        " `revocation_history`.",
    ),
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


def _transactions() -> dict[str, Schema]:
    """The schema of transactions, its parts under names of their own.

    A draft has no challenge yet, so that none is required.
    """
    whole = transaction_schema()
    found: dict[str, Schema] = {
        _TRANSACTION: {
            "description": whole["title"] + "; the bank puts a challenge of its own in.",
            "oneOf": _moved(whole["oneOf"]),
        }
    }
    for name, part in whole["$defs"].items():
        moved = _moved(part)
        if "challenge" in moved.get("required", ()):
            moved["required"].remove("challenge")
        found[f"{_TRANSACTION}.{name}"] = moved
    return found


def _moved(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: member.replace("#/$defs/", f"#/components/schemas/{_TRANSACTION}.")
            if name == "$ref"
            else _moved(member)
            for name, member in value.items()
        }
    if isinstance(value, list):
        return [_moved(each) for each in value]
    return value
