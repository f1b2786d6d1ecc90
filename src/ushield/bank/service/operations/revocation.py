"""What the bank's own CA tells of revocations, for everybody; and the queue of them."""

from __future__ import annotations

from ushield.bank.authorities.ocsp_responder import MAX_OCSP_REQUEST
from ushield.bank.service.clients import Role
from ushield.bank.service.errors import NotServed
from ushield.bank.service.json_schema import reference
from ushield.bank.service.operation import Answer, Call, Operation, served

__all__ = ["OPERATIONS"]

_CRL = "application/pkix-crl"
_REQUEST, _RESPONSE = "application/ocsp-request", "application/ocsp-response"


def _crl(call: Call) -> Answer:
    content = served(call.backing.crl, "CA of its own")()
    return Answer(
        content=served(content, "CRL yet"),
        media_type=_CRL,
        headers={"Cache-Control": "max-age=300"},
    )


def _ocsp(call: Call) -> Answer:
    answer = served(call.backing.ocsp, "CA of its own").answer(call.body)
    return Answer(content=answer, media_type=_RESPONSE)


def _revoke(call: Call) -> Answer:
    run = served(call.backing.revocations, "CA that revokes").run()
    return Answer(body={"done": len(run.done), "left": len(run.left)})


OPERATIONS = (
    Operation(
        name="crl",
        method="GET",
        path="/pki/crl",
        tag="pki",
        summary="The CRL of the bank's own CA (RFC 5280, 5), in DER.",
        handler=_crl,
        answers={200: _CRL},
        errors=(NotServed,),
    ),
    Operation(
        name="ocsp",
        method="POST",
        path="/pki/ocsp",
        tag="pki",
        summary="How a certificate of the bank's own CA stands (RFC 6960, A.1).",
        handler=_ocsp,
        raw=_REQUEST,
        longest=MAX_OCSP_REQUEST,
        answers={200: _RESPONSE},
        errors=(NotServed,),
    ),
    Operation(
        name="revoke",
        method="POST",
        path="/v1/revocations",
        tag="register",
        summary="Have the CA revoke what the bank has decided to; do it every few minutes.",
        handler=_revoke,
        roles=frozenset((Role.REGISTRAR,)),
        body=reference("Nothing"),
        answers={200: reference("RevocationRun")},
        errors=(NotServed,),
        is_long=True,
    ),
)
