"""Payments of several people: proposed by a maker's signature, approved by the checkers'."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ushield.bank.approval.ceremony import ApprovedPayment
from ushield.bank.approval.ledger import ProposalExists, ProposalUnknown
from ushield.bank.errors import OutcomeUnknown
from ushield.bank.record_facts import proposal_facts
from ushield.bank.rejection import TransactionRejected
from ushield.bank.service.clients import Role
from ushield.bank.service.json_schema import reference
from ushield.bank.service.operation import (
    SIGNATURE,
    Answer,
    Call,
    Operation,
    rows_of,
    signature_of,
)
from ushield.bank.service.schemas import WITH_ROWS
from ushield.errors import InputInvalid

if TYPE_CHECKING:
    from ushield.bank.approval.desk import ApprovalDesk

__all__ = ["OPERATIONS"]

_PAYMENTS = frozenset((Role.PAYMENTS,))
_READERS = frozenset((Role.PAYMENTS, Role.AUDITOR))
_PLACE = "/v1/challenges/{challenge}"
_CHALLENGE = {"challenge": reference("ChallengeId")}
_REFUSALS = (TransactionRejected, ProposalUnknown, InputInvalid)


def _propose(call: Call) -> Answer:
    with rows_of(call) as rows:
        proposal = _desk(call).propose(call.parameters["challenge"], signature_of(call), rows=rows)
    return Answer(status=201, body=proposal_facts(proposal))


def _approve(call: Call) -> Answer:
    with rows_of(call) as rows:
        outcome = _desk(call).approve(call.parameters["challenge"], signature_of(call), rows=rows)
    if isinstance(outcome, ApprovedPayment):
        facts = proposal_facts(outcome.proposal)
        return Answer(body={"proposal": facts, "payment": facts["transaction"]})
    return Answer(body={"proposal": proposal_facts(outcome), "payment": None})


def _withdraw(call: Call) -> Answer:
    found = _desk(call).withdraw(call.parameters["challenge"], call.body["person"])
    return Answer(body=proposal_facts(found))


def _reject(call: Call) -> Answer:
    found = _desk(call).reject(call.parameters["challenge"], call.body["person"])
    return Answer(body=proposal_facts(found))


def _find(call: Call) -> Answer:
    return Answer(body=proposal_facts(_desk(call).find(call.parameters["challenge"])))


def _waiting(call: Call) -> Answer:
    found = _desk(call).waiting(call.parameters.get("customer"))
    return Answer(body={"proposals": [proposal_facts(each) for each in found]})


def _desk(call: Call) -> ApprovalDesk:
    return call.bank.approvals


OPERATIONS = (
    Operation(
        name="propose",
        method="POST",
        path=f"{_PLACE}/proposal",
        tag="approvals",
        summary="Take the maker's signature, and let the payment wait for its checkers.",
        handler=_propose,
        roles=_PAYMENTS,
        path_parameters=_CHALLENGE,
        body=reference("Presented"),
        raw=SIGNATURE,
        longest=WITH_ROWS,
        answers={201: reference("Proposal")},
        errors=(*_REFUSALS, ProposalExists, OutcomeUnknown),
    ),
    Operation(
        name="approve",
        method="POST",
        path=f"{_PLACE}/approval",
        tag="approvals",
        summary="Take a checker's signature. Only `payment` says that it is to be carried out; if"
        " an answer was lost, ask for the proposal.",
        handler=_approve,
        roles=_PAYMENTS,
        path_parameters=_CHALLENGE,
        body=reference("Presented"),
        raw=SIGNATURE,
        longest=WITH_ROWS,
        answers={200: reference("Approval")},
        errors=(*_REFUSALS, OutcomeUnknown),
    ),
    Operation(
        name="proposal",
        method="GET",
        path=f"{_PLACE}/proposal",
        tag="approvals",
        summary="How a proposal stands, and who has signed it.",
        handler=_find,
        roles=_READERS,
        path_parameters=_CHALLENGE,
        answers={200: reference("Proposal")},
        errors=(ProposalUnknown, InputInvalid),
    ),
    Operation(
        name="withdrawProposal",
        method="POST",
        path=f"{_PLACE}/proposal/withdrawal",
        tag="approvals",
        summary="Take a proposal back, as its maker.",
        handler=_withdraw,
        roles=_PAYMENTS,
        path_parameters=_CHALLENGE,
        body=reference("Person"),
        answers={200: reference("Proposal")},
        errors=_REFUSALS,
    ),
    Operation(
        name="rejectProposal",
        method="POST",
        path=f"{_PLACE}/proposal/rejection",
        tag="approvals",
        summary="Say no, as one who may check it.",
        handler=_reject,
        roles=_PAYMENTS,
        path_parameters=_CHALLENGE,
        body=reference("Person"),
        answers={200: reference("Proposal")},
        errors=_REFUSALS,
    ),
    Operation(
        name="proposals",
        method="GET",
        path="/v1/proposals",
        tag="approvals",
        summary="What waits for checkers; what ends soonest comes first.",
        handler=_waiting,
        roles=_READERS,
        query={"customer": reference("CustomerId")},
        answers={200: reference("Proposals")},
        errors=(InputInvalid,),
    ),
)
