"""Customers, their certificates and tokens: what the bank knows, and how it stands."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from ushield.bank.customers import CertificateState
from ushield.bank.errors import CertificateUnknown, CustomerUnknown, DuplicateEntry, TokenUnknown
from ushield.bank.record_facts import certificate_facts, reminder_facts, token_facts
from ushield.bank.service.clients import Role
from ushield.bank.service.json_schema import Schema, reference
from ushield.bank.service.operation import Answer, Call, Operation, base64_member
from ushield.errors import CertificateInvalid, InputInvalid

if TYPE_CHECKING:
    pass

__all__ = ["OPERATIONS"]

_REGISTRAR = frozenset((Role.REGISTRAR,))
_READERS = frozenset((Role.REGISTRAR, Role.HOTLINE, Role.CLERK, Role.AUDITOR))
_CUSTOMER = {"customer": reference("CustomerId")}
_CERTIFICATE = {"sha256": reference("Sha256")}
_DAYS: Schema = {"type": "integer", "minimum": 0, "maximum": 3650, "description": "In days."}
_TOKEN = {"token": reference("TokenSerial")}


def _add_customer(call: Call) -> Answer:
    customer, name = call.parameters["customer"], call.body.get("name")
    profile = call.body.get("profile")
    call.bank.add_customer(customer, name, profile=profile)
    return Answer(body={"customer": customer, "name": name, "profile": profile})


def _change_profile(call: Call) -> Answer:
    customer, profile = call.parameters["customer"], call.body["profile"]
    call.bank.change_profile(customer, profile)
    return Answer(body={"customer": customer, "profile": profile})


def _enrol(call: Call) -> Answer:
    enrolled = call.bank.enrol(
        call.parameters["customer"],
        base64_member(call.body, "certificate"),
        token=call.body["token"],
    )
    return Answer(body=certificate_facts(enrolled))


def _certificate(call: Call) -> Answer:
    found = call.bank.certificate(bytes.fromhex(call.parameters["sha256"]))
    return Answer(body=certificate_facts(found))


def _change_certificate(call: Call) -> Answer:
    changed = call.bank.change_certificate(
        bytes.fromhex(call.parameters["sha256"]), CertificateState(call.body["state"])
    )
    return Answer(body=certificate_facts(changed))


def _token(call: Call) -> Answer:
    return Answer(body=token_facts(call.bank.token(call.parameters["token"])))


def _assign(call: Call) -> Answer:
    assigned = call.bank.assign(
        call.parameters["token"], call.body["person"], checks=call.body.get("checks", False)
    )
    return Answer(body=token_facts(assigned))


def _report_loss(call: Call) -> Answer:
    return Answer(body=token_facts(call.bank.report_loss(call.parameters["token"])))


def _report_pin_change(call: Call) -> Answer:
    return Answer(body=token_facts(call.bank.report_pin_change(call.parameters["token"])))


def _due(call: Call) -> Answer:
    found = call.bank.due(
        within=timedelta(days=call.parameters.get("within", 30)),
        pin_age=timedelta(days=call.parameters.get("pin_age", 365)),
    )
    return Answer(body={"due": [reminder_facts(each) for each in found]})


OPERATIONS = (
    Operation(
        name="addCustomer",
        method="PUT",
        path="/v1/customers/{customer}",
        tag="register",
        summary="Register a customer; doing it again changes nothing.",
        handler=_add_customer,
        roles=_REGISTRAR,
        path_parameters=_CUSTOMER,
        body=reference("NewCustomer"),
        answers={200: reference("Customer")},
        errors=(DuplicateEntry,),
    ),
    Operation(
        name="changeProfile",
        method="PUT",
        path="/v1/customers/{customer}/profile",
        tag="register",
        summary="Have other terms of the policy hold for a customer from now on.",
        handler=_change_profile,
        roles=_REGISTRAR,
        path_parameters=_CUSTOMER,
        body=reference("Profile"),
        answers={200: reference("CustomerProfile")},
        errors=(CustomerUnknown, InputInvalid),
    ),
    Operation(
        name="registerCertificate",
        method="POST",
        path="/v1/customers/{customer}/certificates",
        tag="register",
        summary="Take a customer's signatures by this certificate of this token; doing it again"
        " changes nothing.",
        handler=_enrol,
        roles=_REGISTRAR,
        path_parameters=_CUSTOMER,
        body=reference("NewCertificate"),
        answers={200: reference("Certificate")},
        errors=(CustomerUnknown, CertificateInvalid, DuplicateEntry),
    ),
    Operation(
        name="certificate",
        method="GET",
        path="/v1/certificates/{sha256}",
        tag="register",
        summary="How a certificate stands, by the SHA-256 of its DER.",
        handler=_certificate,
        roles=_READERS,
        path_parameters=_CERTIFICATE,
        answers={200: reference("Certificate")},
        errors=(CertificateUnknown,),
    ),
    Operation(
        name="changeCertificate",
        method="PUT",
        path="/v1/certificates/{sha256}/state",
        tag="register",
        summary="Suspend a certificate, resume it, or revoke it for good, at once.",
        handler=_change_certificate,
        roles=_REGISTRAR,
        path_parameters=_CERTIFICATE,
        body=reference("CertificateStateChange"),
        answers={200: reference("Certificate")},
        errors=(CertificateUnknown, InputInvalid),
    ),
    Operation(
        name="token",
        method="GET",
        path="/v1/tokens/{token}",
        tag="register",
        summary="How a token stands.",
        handler=_token,
        roles=_READERS,
        path_parameters=_TOKEN,
        answers={200: reference("Token")},
        errors=(TokenUnknown,),
    ),
    Operation(
        name="assignToken",
        method="PUT",
        path="/v1/tokens/{token}/person",
        tag="register",
        summary="Say who of a customer has a token, and whether they may check its payments.",
        handler=_assign,
        roles=_REGISTRAR,
        path_parameters=_TOKEN,
        body=reference("Assignment"),
        answers={200: reference("Token")},
        errors=(TokenUnknown, InputInvalid),
    ),
    Operation(
        name="due",
        method="GET",
        path="/v1/due",
        tag="register",
        summary="What somebody should see to: certificates that end, old PINs, whatever waits.",
        handler=_due,
        roles=_READERS,
        query={"within": _DAYS, "pin_age": _DAYS},
        answers={200: reference("Due")},
    ),
    Operation(
        name="reportLoss",
        method="POST",
        path="/v1/tokens/{token}/loss",
        tag="register",
        summary="Take no signature of a lost or stolen token any more, at once.",
        handler=_report_loss,
        roles=frozenset((Role.HOTLINE, Role.REGISTRAR, Role.CLERK)),
        path_parameters=_TOKEN,
        body=reference("Nothing"),
        answers={200: reference("Token")},
        errors=(TokenUnknown,),
    ),
    Operation(
        name="reportPinChange",
        method="POST",
        path="/v1/tokens/{token}/pin-changes",
        tag="register",
        summary="Note that a token's PIN was changed, as the customer's side says; it is due again"
        " when that is too long ago.",
        handler=_report_pin_change,
        roles=frozenset((Role.REGISTRAR, Role.CLERK)),
        path_parameters=_TOKEN,
        body=reference("Nothing"),
        answers={200: reference("Token")},
        errors=(TokenUnknown,),
    ),
)
