"""What the steps of an enrolment have in common: the log's entry, and being past a step."""

from __future__ import annotations

from sqlalchemy import Connection

from ushield.bank.audit.entries import AuditEvent, Decision, record
from ushield.bank.lifecycle.records import Enrolment
from ushield.bank.lifecycle.refusals import EnrolmentSettled

__all__ = ["record_step", "settled"]


def record_step(
    connection: Connection,
    event: AuditEvent,
    found: Enrolment,
    at: int,
    *,
    reason: str | None = None,
    **more: str,
) -> None:
    """Enter a step of an enrolment in the log, with ``more`` facts."""
    digest = found.certificate_sha256
    facts = {
        "enrolment": found.id,
        "token": found.token,
        "certificate_sha256": None if digest is None else digest.hex(),
        **more,
    }
    decision = Decision(
        at,
        event,
        reason=reason,
        challenge_id=found.challenge,
        customer_id=found.customer_id,
        facts=facts,
    )
    record(connection, [decision])


def settled(found: Enrolment) -> EnrolmentSettled:
    """That an enrolment is past a step, or not as far."""
    return EnrolmentSettled(f"the enrolment is {found.state}", state=found.state.value)
