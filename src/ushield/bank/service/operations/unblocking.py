"""A forgotten PIN: one clerk asks, another one answers; each is the client who calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ushield.bank.errors import CustomerUnknown
from ushield.bank.lifecycle.refusals import UnblockRefused, UnblockSettled, UnblockUnknown
from ushield.bank.record_facts import unblock_facts
from ushield.bank.service.clients import Role
from ushield.bank.service.errors import CallerUnknown, NotServed
from ushield.bank.service.json_schema import reference
from ushield.bank.service.operation import Answer, Call, Operation, base64_member, served
from ushield.errors import InputInvalid

if TYPE_CHECKING:
    from ushield.bank.lifecycle.unblocking import Unblocking

__all__ = ["OPERATIONS"]

_CLERK = frozenset((Role.CLERK,))
_PLACE = "/v1/unblocks/{request}"
_REQUEST = {"request": reference("Identifier")}
_ERRORS = (NotServed, UnblockUnknown, UnblockRefused, UnblockSettled)


def _ask(call: Call) -> Answer:
    challenge = base64_member(call.body, "challenge")
    found = _unblocking(call).request(call.body["customer"], challenge, by=_clerk(call))
    return Answer(status=201, body=unblock_facts(found))


def _approve(call: Call) -> Answer:
    return Answer(
        body=unblock_facts(_unblocking(call).approve(call.parameters["request"], by=_clerk(call)))
    )


def _deny(call: Call) -> Answer:
    return Answer(
        body=unblock_facts(_unblocking(call).deny(call.parameters["request"], by=_clerk(call)))
    )


def _find(call: Call) -> Answer:
    return Answer(body=unblock_facts(_unblocking(call).find(call.parameters["request"])))


def _unblocking(call: Call) -> Unblocking:
    return served(call.backing.unblocking, "key to unblock tokens with")


def _clerk(call: Call) -> str:
    # Never a name from the request: who decides is who proved it.
    if call.client is None:
        raise CallerUnknown("a clerk has a name")
    return call.client.name


OPERATIONS = (
    Operation(
        name="requestUnblock",
        method="POST",
        path="/v1/unblocks",
        tag="unblocking",
        summary="Ask for an answer to a locked token's challenge, as the clerk who made sure of"
        " the customer.",
        handler=_ask,
        roles=_CLERK,
        body=reference("NewUnblock"),
        answers={201: reference("Unblock")},
        errors=(NotServed, CustomerUnknown, UnblockRefused, InputInvalid),
    ),
    Operation(
        name="unblock",
        method="GET",
        path=_PLACE,
        tag="unblocking",
        summary="How a request stands, with the answer for the token once it was approved.",
        handler=_find,
        roles=_CLERK,
        path_parameters=_REQUEST,
        answers={200: reference("Unblock")},
        errors=_ERRORS,
    ),
    Operation(
        name="approveUnblock",
        method="POST",
        path=f"{_PLACE}/approval",
        tag="unblocking",
        summary="Answer it, as another clerk than the one who asked.",
        handler=_approve,
        roles=_CLERK,
        path_parameters=_REQUEST,
        body=reference("Nothing"),
        answers={200: reference("Unblock")},
        errors=_ERRORS,
    ),
    Operation(
        name="denyUnblock",
        method="POST",
        path=f"{_PLACE}/denial",
        tag="unblocking",
        summary="Do not answer it, as any clerk.",
        handler=_deny,
        roles=_CLERK,
        path_parameters=_REQUEST,
        body=reference("Nothing"),
        answers={200: reference("Unblock")},
        errors=_ERRORS,
    ),
)
