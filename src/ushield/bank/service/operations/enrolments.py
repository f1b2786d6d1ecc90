"""Enrolling tokens: a code for the customer, the token's request, a certificate in use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ushield.bank.attestation import EnrolledAttestation
from ushield.bank.authorities.errors import CaOutcomeUnknown, CaRefused
from ushield.bank.errors import CertificateUnknown, CustomerUnknown, TokenUnknown
from ushield.bank.lifecycle.refusals import (
    EnrolmentRefused,
    EnrolmentSettled,
    EnrolmentUnknown,
    RegistrationCodeRefused,
)
from ushield.bank.record_facts import enrolment_facts
from ushield.bank.service.clients import Role
from ushield.bank.service.errors import NotServed
from ushield.bank.service.json_schema import reference
from ushield.bank.service.operation import Answer, Call, Operation, base64_member, served
from ushield.errors import AuthorityError, InputInvalid

if TYPE_CHECKING:
    from ushield.bank.lifecycle.enrolments import Enrolments

__all__ = ["OPERATIONS"]

_REGISTRAR = frozenset((Role.REGISTRAR,))
_BOTH = frozenset((Role.REGISTRAR, Role.PAYMENTS))
_PLACE = "/v1/enrolments/{enrolment}"
_ENROLMENT = {"enrolment": reference("Identifier")}
_CA = (AuthorityError, CaRefused, CaOutcomeUnknown)
_SETTLED = (NotServed, EnrolmentUnknown, EnrolmentSettled)


def _register(call: Call) -> Answer:
    registration = _enrolments(call).register(
        call.body["customer"], token=call.body.get("token"), replaces=call.body.get("replaces")
    )
    return Answer(
        status=201,
        headers={"Location": f"/v1/enrolments/{registration.id}"},
        body={
            "enrolment": registration.id,
            "customer": registration.customer_id,
            "expires": registration.expires_at.isoformat(),
            "code": registration.code.text,
        },
    )


def _enrol(call: Call) -> Answer:
    request = base64_member(call.body, "request")
    found = _enrolments(call).enrol(call.body["code"], request, _attestation(call))
    return Answer(body=enrolment_facts(found))


def _begin_renewal(call: Call) -> Answer:
    from ushield.transaction import to_json

    renewal = _enrolments(call).begin_renewal(
        bytes.fromhex(call.parameters["sha256"]),
        base64_member(call.body, "request"),
        _attestation(call),
    )
    issued = renewal.challenge
    return Answer(
        status=201,
        body={
            "enrolment": renewal.id,
            "challenge": issued.id,
            "customer": issued.customer_id,
            "expires": issued.expires_at.isoformat(),
            "transaction": to_json(issued.transaction),
        },
    )


def _finish_renewal(call: Call) -> Answer:
    return Answer(
        body=enrolment_facts(_enrolments(call).finish_renewal(call.parameters["enrolment"]))
    )


def _find(call: Call) -> Answer:
    return Answer(body=enrolment_facts(_enrolments(call).find(call.parameters["enrolment"])))


def _withdraw(call: Call) -> Answer:
    return Answer(body=enrolment_facts(_enrolments(call).withdraw(call.parameters["enrolment"])))


def _resume(call: Call) -> Answer:
    found = _enrolments(call).resume(
        call.parameters["enrolment"], anew=call.body.get("anew", False)
    )
    return Answer(body=enrolment_facts(found))


def _confirm(call: Call) -> Answer:
    digest = bytes.fromhex(call.body["certificate_sha256"])
    return Answer(
        body=enrolment_facts(_enrolments(call).confirm(call.parameters["enrolment"], digest))
    )


def _waiting(call: Call) -> Answer:
    return Answer(body={"enrolments": _enrolments(call).waiting()})


def _attestation(call: Call) -> EnrolledAttestation:
    attested = call.body["attestation"]
    return EnrolledAttestation(
        base64_member(attested, "certificate"), base64_member(attested, "device")
    )


def _enrolments(call: Call) -> Enrolments:
    return served(call.backing.enrolments, "CA that certifies tokens")


OPERATIONS = (
    Operation(
        name="registerEnrolment",
        method="POST",
        path="/v1/enrolments",
        tag="enrolments",
        summary="Let a customer enrol a token by a code, which is to reach nobody else.",
        handler=_register,
        roles=_REGISTRAR,
        body=reference("NewEnrolment"),
        answers={201: reference("Registration")},
        errors=(NotServed, CustomerUnknown, TokenUnknown, InputInvalid),
    ),
    Operation(
        name="waitingEnrolments",
        method="GET",
        path="/v1/enrolments",
        tag="enrolments",
        summary="What waits for the CA, to be resumed.",
        handler=_waiting,
        roles=_REGISTRAR,
        answers={200: reference("Waiting")},
        errors=(NotServed,),
    ),
    Operation(
        name="enrol",
        method="POST",
        path="/v1/enrolments/requests",
        tag="enrolments",
        summary="Have a token's key certified for whoever was told the code. Repeated for the same"
        " key, it gives the same certificate.",
        handler=_enrol,
        roles=_BOTH,
        body=reference("EnrolmentRequest"),
        answers={200: reference("Enrolment")},
        errors=(
            NotServed,
            RegistrationCodeRefused,
            EnrolmentRefused,
            EnrolmentSettled,
            InputInvalid,
            *_CA,
        ),
    ),
    Operation(
        name="enrolment",
        method="GET",
        path=_PLACE,
        tag="enrolments",
        summary="How an enrolment stands, with its certificate once that was issued.",
        handler=_find,
        roles=_BOTH,
        path_parameters=_ENROLMENT,
        answers={200: reference("Enrolment")},
        errors=_SETTLED,
    ),
    Operation(
        name="withdrawEnrolment",
        method="POST",
        path=f"{_PLACE}/withdrawal",
        tag="enrolments",
        summary="Take a registration back.",
        handler=_withdraw,
        roles=_REGISTRAR,
        path_parameters=_ENROLMENT,
        body=reference("Nothing"),
        answers={200: reference("Enrolment")},
        errors=_SETTLED,
    ),
    Operation(
        name="resumeEnrolment",
        method="POST",
        path=f"{_PLACE}/resumption",
        tag="enrolments",
        summary="Ask the CA again for what an enrolment waits for.",
        handler=_resume,
        roles=_REGISTRAR,
        path_parameters=_ENROLMENT,
        body=reference("Resumption"),
        answers={200: reference("Enrolment")},
        errors=(*_SETTLED, *_CA),
    ),
    Operation(
        name="beginRenewal",
        method="POST",
        path="/v1/certificates/{sha256}/renewals",
        tag="enrolments",
        summary="Have a certificate followed by a new one, for another key of the same token or the"
        " same. The customer signs the challenge with the old key, and the bank accepts that.",
        handler=_begin_renewal,
        roles=_BOTH,
        path_parameters={"sha256": reference("Sha256")},
        body=reference("RenewalRequest"),
        answers={201: reference("Renewal")},
        errors=(NotServed, CertificateUnknown, EnrolmentRefused, InputInvalid),
    ),
    Operation(
        name="finishRenewal",
        method="POST",
        path=f"{_PLACE}/renewal",
        tag="enrolments",
        summary="Have the new certificate issued, once the challenge was accepted; repeated, the"
        " same. Both are good until it is confirmed.",
        handler=_finish_renewal,
        roles=_BOTH,
        path_parameters=_ENROLMENT,
        body=reference("Nothing"),
        answers={200: reference("Enrolment")},
        errors=(*_SETTLED, EnrolmentRefused, *_CA),
    ),
    Operation(
        name="confirmEnrolment",
        method="POST",
        path=f"{_PLACE}/confirmation",
        tag="enrolments",
        summary="Note that the certificate is on the token, as it was read back from there. What it"
        " replaces is revoked from now on.",
        handler=_confirm,
        roles=_BOTH,
        path_parameters=_ENROLMENT,
        body=reference("Confirmation"),
        answers={200: reference("Enrolment")},
        errors=(*_SETTLED, InputInvalid),
    ),
)
