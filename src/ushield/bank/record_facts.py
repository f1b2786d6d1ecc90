"""The bank's records as JSON has them: the same from the command line and from the service."""

from __future__ import annotations

import base64
import dataclasses
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ushield.bank.approval.proposal import Proposal
    from ushield.bank.customers import EnrolledCertificate, TokenRecord
    from ushield.bank.lifecycle.records import Enrolment
    from ushield.bank.lifecycle.reminders import Reminder
    from ushield.bank.lifecycle.unblock_records import UnblockRequest

__all__ = [
    "certificate_facts",
    "enrolment_facts",
    "proposal_facts",
    "reminder_facts",
    "token_facts",
    "unblock_facts",
]


def certificate_facts(found: EnrolledCertificate) -> dict[str, Any]:
    """A certificate and how it stands."""
    return {
        "sha256": found.sha256.hex(),
        "serial_number": found.serial_number,
        "token": found.token_serial,
        "customer": found.customer_id,
        "state": found.state.value,
        "changed": found.changed_at.isoformat(),
    }


def token_facts(found: TokenRecord) -> dict[str, Any]:
    """A token, how it stands, and who has it."""
    return {
        "token": found.serial,
        "customer": found.customer_id,
        "state": found.state.value,
        "counter": found.counter,
        "changed": found.changed_at.isoformat(),
        "alarms": found.alarms,
        "alarmed": found.alarmed_at and found.alarmed_at.isoformat(),
        "person": found.person,
        "checks": found.checks,
    }


def enrolment_facts(found: Enrolment) -> dict[str, Any]:
    """An enrolment, with its certificate and chain (PEM) once that was issued."""
    return {
        "enrolment": found.id,
        "customer": found.customer_id,
        "state": found.state.value,
        "token": found.token,
        "replaces": found.replaces,
        "certificate_sha256": found.certificate_sha256 and found.certificate_sha256.hex(),
        "pem": found.pem.decode() or None,
        "registered": found.registered_at.isoformat(),
        "expires": found.expires_at.isoformat(),
        "changed": found.changed_at.isoformat(),
    }


def unblock_facts(found: UnblockRequest) -> dict[str, Any]:
    """A request to unblock a token, with the answer (base64) while it is the last one."""
    signature = found.signature
    return {
        "request": found.id,
        "token": found.token,
        "customer": found.customer_id,
        "counter": found.counter,
        "answers": found.answers,
        "state": found.state.value,
        "requested_by": found.requested_by,
        "requested": found.requested_at.isoformat(),
        "expires": found.expires_at.isoformat(),
        "decided_by": found.decided_by,
        "decided": found.decided_at and found.decided_at.isoformat(),
        "signature": None if signature is None else base64.b64encode(signature).decode(),
    }


def proposal_facts(found: Proposal) -> dict[str, Any]:
    """A proposal, who has signed it, and what it would pay."""
    from ushield.transaction import parse_message, to_json

    return {
        "challenge": found.challenge,
        "customer": found.customer,
        "stage": found.stage.value,
        "needed": found.needed,
        "entitled": sorted(found.entitled),
        "expires": found.expires_at.isoformat(),
        "ended_by": found.ended_by,
        "endorsements": [
            {"person": each.person, "token": each.token, "at": each.at.isoformat()}
            for each in found.endorsements
        ],
        "transaction": to_json(parse_message(found.message).transaction),
    }


def reminder_facts(found: Reminder) -> dict[str, Any]:
    """What somebody should see to."""
    facts = {name: _plain(value) for name, value in dataclasses.asdict(found).items()}
    return {"kind": found.kind, "customer": facts.pop("customer_id"), **facts}


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    return value.isoformat() if isinstance(value, datetime) else value
