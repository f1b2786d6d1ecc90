"""Payments that several people sign."""

from __future__ import annotations

from ushield.bank.approval.proposal import Stage
from ushield.bank.service.json_schema import Schema, array_of, nullable, object_of, reference, text
from ushield.bank.service.schemas.terms import COUNT, INSTANT, TRANSACTION

__all__ = ["SCHEMAS"]

SCHEMAS: dict[str, Schema] = {
    "Proposal": object_of(
        {
            "challenge": reference("ChallengeId"),
            "customer": reference("CustomerId"),
            "stage": {"enum": [each.value for each in Stage]},
            "needed": {**COUNT, "description": "How many checkers must sign."},
            "entitled": array_of(text(), description="Who may check it."),
            "expires": INSTANT,
            "ended_by": nullable(text(description="Who withdrew or rejected it.")),
            "endorsements": array_of(
                object_of({"person": text(), "token": reference("TokenSerial"), "at": INSTANT}),
                description="The maker's, then the checkers'.",
            ),
            "transaction": reference(TRANSACTION),
        }
    ),
    "Proposals": object_of({"proposals": array_of(reference("Proposal"))}),
    "Approval": object_of(
        {
            "proposal": reference("Proposal"),
            "payment": {
                **nullable(reference(TRANSACTION)),
                "description": "To be carried out, once: this signature completed it.",
            },
        }
    ),
    "Person": object_of(
        {"person": {**reference("CustomerId"), "description": "Of whom you have made sure."}}
    ),
}
