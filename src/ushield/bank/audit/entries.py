"""Entries of the audit log: what was decided, and a commitment to whom it was about.

An entry itself names nobody. What could is in its body, which the entry holds by a salted digest:
once salt and body are erased, the digest says nothing, and every chain over it still holds.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from sqlalchemy import Connection, bindparam, insert

from ushield.bank.store.statements import Statement
from ushield.bank.store.tables import audit_entry

__all__ = ["AuditEvent", "Decision", "body_digest", "record"]

_SALT = 16


class AuditEvent(StrEnum):
    """What was decided; the names are stable, signed heads stand on them."""

    CUSTOMER_ADDED = "customer-added"
    CERTIFICATE_ENROLLED = "certificate-enrolled"
    CERTIFICATE_SUSPENDED = "certificate-suspended"
    CERTIFICATE_RESUMED = "certificate-resumed"
    CERTIFICATE_REVOKED = "certificate-revoked"
    CERTIFICATE_REVOKED_AT_CA = "certificate-revoked-at-ca"
    PROFILE_CHANGED = "profile-changed"
    TOKEN_ASSIGNED = "token-assigned"  # noqa: S105 - an event, not a secret
    TOKEN_LOST = "token-lost"  # noqa: S105 - an event, not a secret
    PIN_CHANGED = "pin-changed"
    ENROLMENT_REGISTERED = "enrolment-registered"
    ENROLMENT_REFUSED = "enrolment-refused"
    ENROLMENT_REQUESTED = "enrolment-requested"
    ENROLMENT_ISSUED = "enrolment-issued"
    ENROLMENT_CONFIRMED = "enrolment-confirmed"
    ENROLMENT_VOID = "enrolment-void"
    ENROLMENT_REPEATED = "enrolment-repeated"
    UNBLOCK_REQUESTED = "unblock-requested"
    UNBLOCK_APPROVED = "unblock-approved"
    UNBLOCK_SUPERSEDED = "unblock-superseded"
    UNBLOCK_DENIED = "unblock-denied"
    UNBLOCK_REFUSED = "unblock-refused"
    ISSUED = "issued"
    ISSUE_REFUSED = "issue-refused"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    PROPOSED = "proposed"
    ENDORSED = "endorsed"
    PROPOSAL_WITHDRAWN = "proposal-withdrawn"
    PROPOSAL_REJECTED = "proposal-rejected"
    PROPOSAL_EXPIRED = "proposal-expired"
    RESTORED = "restored"
    ERASED = "erased"
    CA_ISSUED = "ca-issued"
    CA_REVOKED = "ca-revoked"
    CA_RELEASED = "ca-released"


@dataclass(frozen=True, slots=True)
class Decision:
    """One thing decided, at ``at`` (microseconds since 1970).

    ``facts`` may tell about a person; ``event``, ``reason`` and ``challenge_id`` must not, since
    they can never be erased.
    """

    at: int
    event: AuditEvent
    reason: str | None = None
    challenge_id: str | None = None
    customer_id: str | None = None
    facts: Mapping[str, str | int | None] = field(default_factory=dict)


_INSERT = Statement(
    insert(audit_entry).values(
        {
            name: bindparam(name)
            for name in (
                "at",
                "event",
                "reason",
                "challenge_id",
                "digest",
                "salt",
                "body",
                "customer_id",
            )
        }
    )
)


def record(connection: Connection, decisions: Sequence[Decision]) -> None:
    """Append ``decisions`` to the log, in the transaction that makes them."""
    rows = [_row(decision) for decision in decisions]
    if len(rows) == 1:
        _INSERT.run(connection, **rows[0])
    elif rows:
        _INSERT.run_many(connection, rows)


def body_digest(salt: bytes, body: str) -> bytes:
    """The commitment to a body: SHA-256 (32 bytes) over the salt (16 bytes) and its UTF-8."""
    return hashlib.sha256(salt + body.encode()).digest()


def _row(decision: Decision) -> dict[str, str | int | bytes | None]:
    salt = os.urandom(_SALT)
    facts = dict(decision.facts)
    if decision.customer_id is not None:
        facts["customer"] = decision.customer_id
    body = json.dumps(facts, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return {
        "at": decision.at,
        "event": decision.event.value,
        "reason": decision.reason,
        "challenge_id": decision.challenge_id,
        "digest": body_digest(salt, body),
        "salt": salt,
        "body": body,
        "customer_id": decision.customer_id,
    }
