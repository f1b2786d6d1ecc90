"""Several people over HTTP: makers and checkers, clerks, and a customer with a new token."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from tests.bank.banking import Bench, Holder
from tests.bank.lifecycle.desk import HeldToken
from tests.bank.service.backings import UNBLOCK_KEY, backing_of
from tests.bank.service.served import TOKENS, Served, base64_of, clients, draft, signed
from tests.bank.test_company_acceptance import PEOPLE, POLICY
from tests.pki import Signer, authority
from ushield.bank.service import Client, Role
from ushield.bank.service.clients import token_digest
from ushield.transaction import from_json, write_message

PAYMENTS, REGISTRAR, CLERK = Role.PAYMENTS, Role.REGISTRAR, Role.CLERK
SECOND = "ushield_second"
BOTH = clients(Client(name="second", roles=frozenset((CLERK,)), token_sha256=token_digest(SECOND)))


@pytest.fixture
def firm(url: str, tmp_path: Path) -> Iterator[tuple[Served, dict[str, Holder]]]:
    """A company that li makes payments for, and whose other people may check them."""
    with Bench.open(url, policy=POLICY) as bench, Served(bench, tmp_path) as served:
        people = {}
        company = {"name": "A Firm", "profile": "company"}
        served.told(200, "PUT", "/v1/customers/firm", REGISTRAR, json=company)
        for person, algorithm in PEOPLE.items():
            holder = Holder("firm", f"US-{person}", Signer.issued(algorithm, subject=person))
            body = {"token": holder.token, "certificate": base64_of(holder.signer.der)}
            served.told(200, "POST", "/v1/customers/firm/certificates", REGISTRAR, json=body)
            assigned = served.told(
                *(200, "PUT", f"/v1/tokens/{holder.token}/person", REGISTRAR),
                json={"person": person, "checks": person != "li"},
            )
            assert (assigned["person"], assigned["checks"]) == (person, person != "li")
            people[person] = holder
        yield served, people


def test_a_company_s_payment_is_carried_out_when_its_checkers_have_signed(
    firm: tuple[Served, dict[str, Holder]],
) -> None:
    served, people = firm
    body = {"customer": "firm", "transaction": draft() | {"amount": "4500.00"}}
    issued = served.told(201, "POST", "/v1/challenges", PAYMENTS, json=body)
    place = f"/v1/challenges/{issued['challenge']}"

    def by(person: str) -> dict[str, str]:
        return {"signature": base64_of(signed(people[person], issued))}

    error = served.refused(
        422, "policy-refused", "POST", f"{place}/acceptance", PAYMENTS, json=by("li")
    )
    assert error["rule"] == "approvals-missing"
    served.refused(404, "proposal-unknown", "GET", f"{place}/proposal", PAYMENTS)
    proposal = served.told(201, "POST", f"{place}/proposal", PAYMENTS, json=by("li"))
    assert (proposal["stage"], proposal["needed"]) == ("open", 2)
    assert proposal["entitled"] == ["wang", "zhao"]
    assert proposal["transaction"] == issued["transaction"]
    waiting = served.told(200, "GET", "/v1/proposals?customer=firm", PAYMENTS)
    assert waiting == {"proposals": [proposal]}
    approve = ("POST", f"{place}/approval", PAYMENTS)
    first = served.told(200, *approve, json=by("wang"))
    assert (first["payment"], first["proposal"]["stage"]) == (None, "open")
    again = served.refused(422, "policy-refused", *approve, json=by("wang"))
    assert again["rule"] == "same-person"
    last = served.told(200, *approve, json=by("zhao"))
    assert last["payment"] == issued["transaction"]
    found = served.told(200, "GET", f"{place}/proposal", Role.AUDITOR)
    assert found == last["proposal"]
    assert [each["person"] for each in found["endorsements"]] == ["li", "wang", "zhao"]
    end = served.refused(
        422,
        "policy-refused",
        "POST",
        f"{place}/proposal/rejection",
        PAYMENTS,
        json={"person": "wang"},
    )
    assert end["rule"] == "proposal-complete"


def test_a_proposal_is_withdrawn_by_its_maker_and_rejected_by_a_checker(
    firm: tuple[Served, dict[str, Holder]],
) -> None:
    served, people = firm
    for number, (verb, person, stage) in enumerate(
        (("withdrawal", "li", "withdrawn"), ("rejection", "zhao", "rejected"))
    ):
        body = {"customer": "firm", "transaction": draft(f"A{number}") | {"amount": "10.00"}}
        issued = served.told(201, "POST", "/v1/challenges", PAYMENTS, json=body)
        place = f"/v1/challenges/{issued['challenge']}/proposal"
        given = {"signature": base64_of(signed(people["li"], issued))}
        served.told(201, "POST", place, PAYMENTS, json=given)
        ended = served.told(200, "POST", f"{place}/{verb}", PAYMENTS, json={"person": person})
        assert (ended["stage"], ended["ended_by"]) == (stage, person)


def test_a_bank_without_a_policy_has_no_proposals(shared: Served) -> None:
    shared.refused(422, "input-invalid", "GET", "/v1/proposals", PAYMENTS)


@pytest.fixture
def desk(url: str, tmp_path: Path) -> Iterator[Served]:
    """A bank with a CA of its own, and a key to unblock tokens with."""
    with (
        Bench.open(url) as bench,
        Served(bench, tmp_path, text=BOTH, backing=backing_of(bench)) as served,
    ):
        bench.bank.add_customer("alice")
        yield served


def enrolled(served: Served, token: HeldToken) -> dict[str, str]:
    """Register alice and enrol her token, all going well."""
    registration = served.told(201, "POST", "/v1/enrolments", REGISTRAR, json={"customer": "alice"})
    attestation = token.attestation()
    request = {
        "code": registration["code"].lower(),
        "request": base64_of(token.request()),
        "attestation": {
            "certificate": base64_of(attestation.certificate),
            "device": base64_of(attestation.device),
        },
    }
    found = served.told(200, "POST", "/v1/enrolments/requests", PAYMENTS, json=request)
    assert (found["enrolment"], found["state"]) == (registration["enrolment"], "issued")
    return found


def test_a_token_is_enrolled_used_and_revoked_at_the_ca(desk: Served) -> None:
    token = HeldToken("US-alice")
    found = enrolled(desk, token)
    place = f"/v1/enrolments/{found['enrolment']}"
    assert desk.told(200, "GET", place, REGISTRAR) == found
    certificate = x509.load_pem_x509_certificate(found["pem"].encode())
    der = certificate.public_bytes(Encoding.DER)
    assert hashlib.sha256(der).hexdigest() == found["certificate_sha256"]
    proof = {"certificate_sha256": found["certificate_sha256"]}
    confirmed = desk.told(200, "POST", f"{place}/confirmation", PAYMENTS, json=proof)
    assert confirmed["state"] == "confirmed"
    desk.refused(409, "enrolment-settled", "POST", f"{place}/withdrawal", REGISTRAR, json={})
    body = {"customer": "alice", "transaction": draft()}
    issued = desk.told(201, "POST", "/v1/challenges", PAYMENTS, json=body)
    message = desk.bench.bank.challenge(issued["challenge"]).message
    assert message is not None
    signature = {"signature": base64_of(token.sign(message, der))}
    accept = f"/v1/challenges/{issued['challenge']}/acceptance"
    desk.told(200, "POST", accept, PAYMENTS, json=signature)

    assert status(desk, certificate) is ocsp.OCSPCertStatus.GOOD
    (due,) = desk.told(200, "GET", "/v1/due?within=3650", REGISTRAR)["due"]
    assert (due["kind"], due["customer"]) == ("certificate-expiring", "alice")
    assert due["certificate_sha256"] == found["certificate_sha256"]
    desk.told(200, "POST", "/v1/tokens/US-alice/loss", Role.HOTLINE, json={})
    run = desk.told(200, "POST", "/v1/revocations", REGISTRAR, json={})
    assert run == {"done": 1, "left": 0}
    assert status(desk, certificate) is ocsp.OCSPCertStatus.REVOKED
    answer = desk.ask("GET", "/pki/crl")
    assert answer.headers["content-type"] == "application/pkix-crl"
    crl = x509.load_der_x509_crl(answer.content)
    assert crl.get_revoked_certificate_by_serial_number(certificate.serial_number) is not None


def test_a_certificate_is_renewed_by_what_its_own_key_signs(desk: Served) -> None:
    old, new = HeldToken("US-alice"), HeldToken("US-alice")
    found = enrolled(desk, old)
    der = x509.load_pem_x509_certificate(found["pem"].encode()).public_bytes(Encoding.DER)
    attestation = new.attestation()
    request = {
        "request": base64_of(new.request()),
        "attestation": {
            "certificate": base64_of(attestation.certificate),
            "device": base64_of(attestation.device),
        },
    }
    place = f"/v1/certificates/{found['certificate_sha256']}/renewals"
    renewal = desk.told(201, "POST", place, PAYMENTS, json=request)
    finish = ("POST", f"/v1/enrolments/{renewal['enrolment']}/renewal", PAYMENTS)
    error = desk.refused(422, "enrolment-refused", *finish, json={})
    assert error["reason"] == "not-authorised"
    message = write_message(from_json(renewal["transaction"]))
    signature = {"signature": base64_of(old.sign(message, der))}
    accept = f"/v1/challenges/{renewal['challenge']}/acceptance"
    desk.told(200, "POST", accept, PAYMENTS, json=signature)
    renewed = desk.told(200, *finish, json={})
    assert renewed["state"] == "issued"
    assert renewed["certificate_sha256"] != found["certificate_sha256"]
    assert desk.told(200, *finish, json={}) == renewed


def status(served: Served, certificate: x509.Certificate) -> ocsp.OCSPCertStatus:
    """What the CA answers a stranger."""
    asked = ocsp.OCSPRequestBuilder().add_certificate(certificate, authority(), SHA256()).build()
    answer = served.ask(
        *("POST", "/pki/ocsp"),
        headers={"Content-Type": "application/ocsp-request"},
        content=asked.public_bytes(Encoding.DER),
    )
    assert answer.headers["content-type"] == "application/ocsp-response"
    return ocsp.load_der_ocsp_response(answer.content).certificate_status


def test_a_wrong_code_and_a_foreign_token_are_refused_with_their_reasons(desk: Served) -> None:
    token = HeldToken("US-alice")
    attestation = token.attestation(model="other")
    registration = desk.told(201, "POST", "/v1/enrolments", REGISTRAR, json={"customer": "alice"})
    request = {
        "code": registration["code"],
        "request": base64_of(token.request()),
        "attestation": {
            "certificate": base64_of(attestation.certificate),
            "device": base64_of(attestation.device),
        },
    }
    ask = ("POST", "/v1/enrolments/requests", PAYMENTS)
    error = desk.refused(422, "enrolment-refused", *ask, json=request)
    assert error["reason"] == "attestation-invalid"
    error = desk.refused(422, "registration-code-refused", *ask, json=request | {"code": "no code"})
    assert (error["reason"], "no code" in str(error)) == ("wrong", False)
    desk.refused(403, "not-permitted", "POST", "/v1/enrolments", PAYMENTS, json={"customer": "a"})
    place = f"/v1/enrolments/{registration['enrolment']}"
    assert desk.told(200, "POST", f"{place}/withdrawal", REGISTRAR, json={})["state"] == "void"
    desk.refused(404, "enrolment-unknown", "GET", f"/v1/enrolments/{'0' * 32}", REGISTRAR)


def test_a_token_is_unblocked_by_two_clerks_who_are_who_they_proved_to_be(desk: Served) -> None:
    token = HeldToken("US-alice")
    enrolled(desk, token)
    challenge = token.challenge()
    body = {"customer": "alice", "challenge": base64_of(challenge)}
    asked = desk.told(201, "POST", "/v1/unblocks", CLERK, json=body)
    assert (asked["state"], asked["requested_by"]) == ("waiting", "clerk")
    place = f"/v1/unblocks/{asked['request']}"
    error = desk.refused(422, "unblock-refused", "POST", f"{place}/approval", CLERK, json={})
    assert error["reason"] == "same-clerk"
    named = {"by": "second"}
    desk.refused(400, "request-invalid", "POST", f"{place}/approval", CLERK, json=named)
    second = {"Authorization": f"Bearer {SECOND}"}
    approved = desk.told(200, "POST", f"{place}/approval", json={}, headers=second)
    assert (approved["state"], approved["decided_by"]) == ("approved", "second")
    answer = base64.b64decode(approved["signature"])
    UNBLOCK_KEY.public_key().verify(answer, challenge, ec.ECDSA(SHA256()))
    assert desk.told(200, "GET", place, CLERK) == approved
    late = desk.refused(409, "unblock-settled", "POST", f"{place}/denial", CLERK, json={})
    assert late["state"] == "approved"


def test_what_this_service_lacks_is_told(shared: Served) -> None:
    for method, path, role, body in (
        ("GET", "/v1/enrolments", REGISTRAR, None),
        ("GET", f"/v1/unblocks/{'0' * 32}", CLERK, None),
        ("POST", "/v1/revocations", REGISTRAR, {}),
        ("GET", "/pki/crl", None, None),
    ):
        more: dict[str, Any] = {} if body is None else {"json": body}
        shared.refused(501, "not-served", method, path, role, **more)
    assert TOKENS[CLERK] not in shared.ask("GET", "/pki/crl").text
