"""From a transaction to an accepted one: challenges out, signatures in, each once."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from ushield.bank.challenge_records import ChallengeRecord, ChallengeState
from ushield.bank.errors import (
    ChallengeSettled,
    ChallengeUnknown,
    CustomerUnknown,
    DuplicateOrder,
    OutcomeUnknown,
)
from ushield.bank.judgement import AcceptedTransaction
from ushield.bank.rejection import RejectionReason, TransactionRejected
from ushield.bank.service.clients import Role
from ushield.bank.service.errors import DeadlinePassed
from ushield.bank.service.json_schema import reference
from ushield.bank.service.operation import (
    SIGNATURE,
    Answer,
    Call,
    Operation,
    base64_member,
    rows_of,
    signature_of,
)
from ushield.bank.service.problems import problem
from ushield.bank.service.schemas import WITH_ROWS
from ushield.errors import TransactionInvalid
from ushield.transaction.message_facts import message_facts
from ushield.transaction.row_files import RowsInvalid

if TYPE_CHECKING:
    from ushield.bank.facade import Bank

__all__ = ["OPERATIONS", "AlreadyAccepted"]

_PAYMENTS = frozenset((Role.PAYMENTS,))
_CHALLENGE = {"challenge": reference("ChallengeId")}
_MANY = 1 << 23


class AlreadyAccepted(TransactionRejected):
    """A signature for this challenge was accepted before; ``acceptance`` is what was answered then.

    ``repeated`` tells that it was this very signature: whoever lost that answer has it here.
    """

    carries: ClassVar[tuple[str, ...]] = ("reason", "repeated", "acceptance")

    def __init__(
        self, rejected: TransactionRejected, *, repeated: bool, acceptance: dict[str, Any] | None
    ) -> None:
        super().__init__(str(rejected), reason=rejected.reason)
        self.repeated = repeated
        self.acceptance = acceptance


def _issue(call: Call) -> Answer:
    from ushield.transaction import from_json, to_json

    lifetime = call.body.get("lifetime")
    issued = call.bank.issue(
        from_json(call.body["transaction"], challenge="draft"),
        customer=call.body["customer"],
        lifetime=None if lifetime is None else timedelta(seconds=lifetime),
        repeat=call.body.get("repeat", False),
    )
    return Answer(
        status=200 if issued.repeated else 201,
        headers={"Location": f"/v1/challenges/{issued.id}"},
        body={
            "challenge": issued.id,
            "customer": issued.customer_id,
            "expires": issued.expires_at.isoformat(),
            "transaction": to_json(issued.transaction),
        },
    )


def _state(call: Call) -> Answer:
    found = call.bank.challenge(call.parameters["challenge"])
    return Answer(body=_state_facts(call.bank, found))


def _withdraw(call: Call) -> Answer:
    found = call.bank.withdraw(call.parameters["challenge"])
    return Answer(body=_state_facts(call.bank, found))


def _accept(call: Call) -> Answer:
    identifier = call.parameters["challenge"]
    signature = signature_of(call)
    try:
        with rows_of(call) as rows:
            accepted = call.bank.accept(identifier, signature, rows=rows)
    except TransactionRejected as rejected:
        raise _told_apart(call.bank, identifier, signature, rejected) from None
    return Answer(body=_acceptance_facts(accepted))


def _accept_many(call: Call) -> Answer:
    presented = [
        (each["challenge"], base64_member(each, "signature")) for each in call.body["signatures"]
    ]
    outcomes = call.bank.accept_many(presented)
    return Answer(
        body={
            "outcomes": [
                {"acceptance": _acceptance_facts(outcome)}
                if isinstance(outcome, AcceptedTransaction)
                else {"problem": problem(_told_apart(call.bank, *each, outcome))}
                for each, outcome in zip(presented, outcomes, strict=True)
            ]
        }
    )


def _told_apart(
    bank: Bank, identifier: str, signature: bytes, rejected: TransactionRejected
) -> TransactionRejected:
    """Tell a backend that lost the answer from one that uses a challenge twice."""
    if rejected.reason is not RejectionReason.CHALLENGE_REPLAYED:
        return rejected
    record = bank.challenge(identifier)
    repeated = record.signature == signature
    return AlreadyAccepted(
        rejected, repeated=repeated, acceptance=_earlier(bank, record) if repeated else None
    )


def _earlier(bank: Bank, record: ChallengeRecord) -> dict[str, Any] | None:
    """What was answered when the challenge's signature was accepted; none if it was erased."""
    from ushield.transaction import parse_message

    if (
        record.state is not ChallengeState.CONSUMED
        or record.message is None
        or record.certificate_sha256 is None
        or record.decided_at is None
    ):
        return None
    return {
        "challenge": record.id,
        "customer": record.customer_id,
        "token": bank.certificate(record.certificate_sha256).token_serial,
        "accepted": record.decided_at.isoformat(),
        **message_facts(parse_message(record.message)),
    }


def _acceptance_facts(accepted: AcceptedTransaction) -> dict[str, Any]:
    return {
        "challenge": accepted.challenge_id,
        "customer": accepted.customer_id,
        "token": accepted.token_serial,
        "accepted": accepted.accepted_at.isoformat(),
        **message_facts(accepted.verified.message),
    }


def _state_facts(bank: Bank, found: ChallengeRecord) -> dict[str, Any]:
    return {
        "challenge": found.id,
        "customer": found.customer_id,
        "state": found.state.value,
        "issued": found.issued_at.isoformat(),
        "expires": found.expires_at.isoformat(),
        "decided": found.decided_at and found.decided_at.isoformat(),
        "acceptance": _earlier(bank, found),
    }


OPERATIONS = (
    Operation(
        name="issueChallenge",
        method="POST",
        path="/v1/challenges",
        tag="payments",
        summary="Ask a customer to sign a transaction. 201: a new challenge; 200: with `repeat`,"
        " the one that the same request got before.",
        handler=_issue,
        roles=_PAYMENTS,
        body=reference("NewChallenge"),
        answers={201: reference("Challenge"), 200: reference("Challenge")},
        errors=(CustomerUnknown, DuplicateOrder, TransactionInvalid),
    ),
    Operation(
        name="challenge",
        method="GET",
        path="/v1/challenges/{challenge}",
        tag="payments",
        summary="What became of a challenge; with what accepting it answered, if it was accepted.",
        handler=_state,
        roles=frozenset((Role.PAYMENTS, Role.AUDITOR)),
        path_parameters=_CHALLENGE,
        answers={200: reference("ChallengeState")},
        errors=(ChallengeUnknown,),
    ),
    Operation(
        name="withdrawChallenge",
        method="POST",
        path="/v1/challenges/{challenge}/withdrawal",
        tag="payments",
        summary="Take no signature for a challenge any more; its order number is free again.",
        handler=_withdraw,
        roles=_PAYMENTS,
        path_parameters=_CHALLENGE,
        body=reference("Nothing"),
        answers={200: reference("ChallengeState")},
        errors=(ChallengeUnknown, ChallengeSettled),
    ),
    Operation(
        name="acceptSignature",
        method="POST",
        path="/v1/challenges/{challenge}/acceptance",
        tag="payments",
        summary="Accept a signature for a challenge, once. Only 200 says that the transaction is to"
        " be carried out. 504: ask for the challenge's state, or repeat it.",
        handler=_accept,
        roles=_PAYMENTS,
        path_parameters=_CHALLENGE,
        body=reference("Presented"),
        raw=SIGNATURE,
        longest=WITH_ROWS,
        answers={200: reference("Acceptance")},
        errors=(TransactionRejected, RowsInvalid, OutcomeUnknown, DeadlinePassed),
    ),
    Operation(
        name="acceptSignatures",
        method="POST",
        path="/v1/acceptances",
        tag="payments",
        summary="Accept or refuse each of many signatures, in one commit.",
        handler=_accept_many,
        roles=_PAYMENTS,
        body=reference("PresentedSignatures"),
        longest=_MANY,
        answers={200: reference("Outcomes")},
        errors=(OutcomeUnknown, DeadlinePassed),
    ),
)
