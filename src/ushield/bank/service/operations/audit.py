"""The log of all decisions: sealed, its heads handed out, verified."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from ushield.bank.audit.export import heads_after
from ushield.bank.audit.heads import SignedHead
from ushield.bank.audit.sequencer import last_head
from ushield.bank.errors import AuditBroken
from ushield.bank.service.clients import Role
from ushield.bank.service.errors import NotServed
from ushield.bank.service.json_schema import Schema, reference
from ushield.bank.service.operation import Answer, Call, Operation, served

__all__ = ["OPERATIONS"]

_AUDITOR = frozenset((Role.AUDITOR,))
_MOST_HEADS = 1000
_NUMBER: Schema = {"type": "integer", "minimum": 0, "maximum": (1 << 63) - 1}


def _last_head(call: Call) -> Answer:
    head = call.bank.store.read(last_head)
    return Answer(body={"head": None if head is None else _head_facts(head)})


def _heads(call: Call) -> Answer:
    after = call.parameters.get("after", 0)
    most = call.parameters.get("limit", _MOST_HEADS)
    heads = call.bank.store.read(lambda connection: heads_after(connection, after, most))
    return Answer(body={"heads": [_head_facts(head) for head in heads]})


def _seal(call: Call) -> Answer:
    signer = served(call.backing.audit_signer, "key to seal the log with")
    heads = call.bank.sequencer(signer).seal_all()
    return Answer(
        body={
            "sealed": sum(head.count for head in heads),
            "heads": [_head_facts(head) for head in heads],
        }
    )


def _verify(call: Call) -> Answer:
    key = served(call.backing.audit_key, "key to verify the log with")
    anchors = [SignedHead.from_line(json.dumps(each)) for each in call.body.get("anchors", ())]
    report = call.bank.verify_audit(key, anchors, within=call.seconds)
    return Answer(body=dataclasses.asdict(report))


def _head_facts(head: SignedHead) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads(head.to_line())
    return facts


OPERATIONS = (
    Operation(
        name="lastHead",
        method="GET",
        path="/v1/audit/head",
        tag="audit",
        summary="The newest signed head of the log.",
        handler=_last_head,
        roles=_AUDITOR,
        answers={200: reference("LastHead")},
    ),
    Operation(
        name="heads",
        method="GET",
        path="/v1/audit/heads",
        tag="audit",
        summary="The heads after the one of that number, in their order, to be kept elsewhere.",
        handler=_heads,
        roles=_AUDITOR,
        query={
            "after": _NUMBER,
            "limit": {"type": "integer", "minimum": 1, "maximum": _MOST_HEADS},
        },
        answers={200: reference("Heads")},
    ),
    Operation(
        name="sealLog",
        method="POST",
        path="/v1/audit/seals",
        tag="audit",
        summary="Seal what was decided since the last head.",
        handler=_seal,
        roles=_AUDITOR,
        body=reference("Nothing"),
        answers={200: reference("Sealed")},
        errors=(NotServed,),
        is_long=True,
    ),
    Operation(
        name="verifyLog",
        method="POST",
        path="/v1/audit/verifications",
        tag="audit",
        summary="Verify the log against heads that were kept elsewhere; 409 with the code"
        " `audit-broken` if it is not what was sealed.",
        handler=_verify,
        roles=_AUDITOR,
        body=reference("Anchors"),
        longest=1 << 20,
        answers={200: reference("AuditReport")},
        errors=(AuditBroken, NotServed),
        is_long=True,
    ),
)
