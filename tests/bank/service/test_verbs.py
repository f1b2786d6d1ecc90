"""The bank's verbs over HTTP, as a backend in another language uses them."""

from __future__ import annotations

import hashlib

import pytest

from tests.bank.banking import Holder
from tests.bank.service.served import Served, base64_of, draft, signed
from tests.pki import Signer
from ushield.algorithms import KeyAlgorithm
from ushield.bank.service import Role

PAYMENTS, REGISTRAR, AUDITOR = Role.PAYMENTS, Role.REGISTRAR, Role.AUDITOR


def registered(served: Served, customer: str = "alice") -> Holder:
    """A customer whom the service has registered."""
    holder = Holder(customer, f"US-{customer}", Signer.issued(KeyAlgorithm.P256, subject=customer))
    place = f"/v1/customers/{customer}"
    name = {"name": customer.title()}
    added = served.told(200, "PUT", place, REGISTRAR, json=name)
    assert added == {"customer": customer, "profile": None, **name}
    told = served.told(
        *(200, "POST", f"{place}/certificates", REGISTRAR),
        json={"token": holder.token, "certificate": base64_of(holder.signer.der)},
    )
    assert told["sha256"] == hashlib.sha256(holder.signer.der).hexdigest()
    assert (told["token"], told["customer"], told["state"]) == (holder.token, customer, "active")
    return holder


def test_a_payment_goes_from_its_draft_to_its_acceptance(served: Served) -> None:
    alice = registered(served)
    issued = served.issue(alice)
    assert issued["transaction"] == draft() | {
        "challenge": issued["challenge"],
        "expires": issued["expires"].replace("+00:00", "Z"),
    }
    place = f"/v1/challenges/{issued['challenge']}"
    assert served.told(200, "GET", place, PAYMENTS)["state"] == "issued"
    body = {"signature": base64_of(signed(alice, issued))}
    accepted = served.told(200, "POST", f"{place}/acceptance", PAYMENTS, json=body)
    assert (accepted["customer"], accepted["token"]) == ("alice", "US-alice")
    assert accepted["transaction"] == issued["transaction"]
    assert accepted["shown"]["收款人"] == issued["transaction"]["payee"]["name"]
    assert set(accepted["hidden"]) == {"银行订单号", "挑战码", "有效期"}
    state = served.told(200, "GET", place, AUDITOR)
    assert (state["state"], state["acceptance"]) == ("consumed", accepted)


def test_a_signature_may_come_as_it_is(served: Served) -> None:
    alice = registered(served)
    issued = served.issue(alice)
    accepted = served.told(
        *(200, "POST", f"/v1/challenges/{issued['challenge']}/acceptance", PAYMENTS),
        headers={"Content-Type": "application/pkcs7-signature"},
        content=signed(alice, issued),
    )
    assert accepted["challenge"] == issued["challenge"]


def test_whoever_lost_an_answer_gets_it_again_but_never_a_second_acceptance(
    served: Served,
) -> None:
    alice = registered(served)
    body = {"customer": "alice", "transaction": draft(), "repeat": True}
    ask = ("POST", "/v1/challenges", PAYMENTS)
    issued = served.told(201, *ask, json=body)
    assert served.told(200, *ask, json=body) == issued
    place = f"/v1/challenges/{issued['challenge']}/acceptance"
    first, second = signed(alice, issued), signed(alice, issued)
    accepted = served.told(200, "POST", place, PAYMENTS, json={"signature": base64_of(first)})
    replay = (409, "transaction-rejected", "POST", place, PAYMENTS)
    again = served.refused(*replay, json={"signature": base64_of(first)})
    assert (again["reason"], again["repeated"]) == ("challenge-replayed", True)
    assert again["acceptance"] == accepted
    other = served.refused(*replay, json={"signature": base64_of(second)})
    assert (other["reason"], other["repeated"]) == ("challenge-replayed", False)
    assert "acceptance" not in other


def test_an_order_stands_in_one_live_challenge(served: Served) -> None:
    alice = registered(served)
    issued = served.issue(alice)
    body = {"customer": "alice", "transaction": draft()}
    error = served.refused(409, "duplicate-order", "POST", "/v1/challenges", PAYMENTS, json=body)
    assert (error["challenge"], error["state"]) == (issued["challenge"], "issued")
    place = f"/v1/challenges/{issued['challenge']}/withdrawal"
    assert served.told(200, "POST", place, PAYMENTS, json={})["state"] == "void"
    error = served.refused(409, "challenge-settled", "POST", place, PAYMENTS, json={})
    assert error["state"] == "void"
    assert served.issue(alice)["challenge"] != issued["challenge"]


def test_many_are_accepted_at_once_each_with_its_outcome(served: Served) -> None:
    alice = registered(served)
    issued = [served.issue(alice, f"A{number}") for number in range(3)]
    signatures = [signed(alice, each) for each in issued]
    pairs = [
        {"challenge": each["challenge"], "signature": base64_of(signature)}
        for each, signature in zip(issued, [*signatures[:2], signatures[0]], strict=True)
    ]
    ask = ("POST", "/v1/acceptances", PAYMENTS)
    outcomes = served.told(200, *ask, json={"signatures": pairs})["outcomes"]
    assert [list(each) for each in outcomes] == [["acceptance"], ["acceptance"], ["problem"]]
    assert outcomes[2]["problem"]["reason"] == "challenge-mismatch"
    again = served.told(200, *ask, json={"signatures": pairs[:1]})["outcomes"]
    assert again[0]["problem"]["repeated"] is True
    assert again[0]["problem"]["acceptance"] == outcomes[0]["acceptance"]


def test_a_lost_token_signs_nothing_any_more(served: Served) -> None:
    alice = registered(served)
    issued = served.issue(alice)
    lost = served.told(200, "POST", "/v1/tokens/US-alice/loss", Role.HOTLINE, json={})
    assert (lost["customer"], lost["state"]) == ("alice", "lost")
    assert served.told(200, "GET", "/v1/tokens/US-alice", REGISTRAR) == lost
    place = f"/v1/challenges/{issued['challenge']}/acceptance"
    error = served.refused(
        *(422, "transaction-rejected", "POST", place, PAYMENTS),
        json={"signature": base64_of(signed(alice, issued))},
    )
    assert error["reason"] == "token-lost"


def test_a_customer_gets_other_terms_and_a_token_another_pin(served: Served) -> None:
    registered(served)
    place = "/v1/customers/alice/profile"
    for profile in ("company", None):
        told = served.told(200, "PUT", place, REGISTRAR, json={"profile": profile})
        assert told == {"customer": "alice", "profile": profile}
    served.refused(403, "not-permitted", "PUT", place, PAYMENTS, json={"profile": None})
    ask = ("GET", "/v1/due?pin_age=30", Role.CLERK)
    served.bench.clock.move(days=31)
    (old,) = served.told(200, *ask)["due"]
    assert (old["kind"], old["token"]) == ("pin-unchanged", "US-alice")
    noted = ("POST", "/v1/tokens/US-alice/pin-changes", Role.CLERK)
    assert served.told(200, *noted, json={})["token"] == "US-alice"
    assert served.told(200, *ask)["due"] == []


def test_a_certificate_is_suspended_resumed_and_revoked_for_good(served: Served) -> None:
    alice = registered(served)
    place = f"/v1/certificates/{hashlib.sha256(alice.signer.der).hexdigest()}"
    for state in ("suspended", "active", "revoked"):
        change = served.told(200, "PUT", f"{place}/state", REGISTRAR, json={"state": state})
        assert change["state"] == state
    back = {"state": "active"}
    served.refused(422, "input-invalid", "PUT", f"{place}/state", REGISTRAR, json=back)
    assert served.told(200, "GET", place, REGISTRAR)["state"] == "revoked"


@pytest.mark.parametrize(
    ("method", "path", "code", "body"),
    [
        ("GET", f"/v1/challenges/{'0' * 32}", "challenge-not-found", None),
        ("POST", f"/v1/challenges/{'0' * 32}/withdrawal", "challenge-not-found", {}),
        ("GET", f"/v1/certificates/{'0' * 64}", "certificate-unknown", None),
        ("GET", "/v1/tokens/none", "token-unknown", None),
        ("POST", "/v1/tokens/none/loss", "token-unknown", {}),
        ("POST", "/v1/tokens/none/pin-changes", "token-unknown", {}),
        ("PUT", "/v1/customers/none/profile", "customer-unknown", {"profile": None}),
        ("POST", "/v1/challenges", "customer-unknown", {"customer": "x", "transaction": draft()}),
        ("GET", "/v1/nothing", "route-unknown", None),
        ("GET", "/v1/challenges/", "route-unknown", None),
    ],
)
def test_what_is_not_there_is_told_by_its_kind(
    local: Served, method: str, path: str, code: str, body: object
) -> None:
    text = local.file.read_text()
    every = ", ".join(f'"{role}"' for role in Role)
    local.file.write_text(text.replace('roles = ["payments"]', f"roles = [{every}]"))
    local.refused(404, code, method, path, PAYMENTS, **({} if body is None else {"json": body}))


def test_the_log_is_sealed_handed_out_and_verified(served: Served) -> None:
    alice = registered(served)
    served.issue(alice)
    assert served.told(200, "GET", "/v1/audit/head", AUDITOR) == {"head": None}
    sealed = served.told(200, "POST", "/v1/audit/seals", AUDITOR, json={})
    (head,) = sealed["heads"]
    assert sealed["sealed"] == head["count"] == 3
    assert served.told(200, "GET", "/v1/audit/head", AUDITOR) == {"head": head}
    served.issue(alice, "A2")
    served.told(200, "POST", "/v1/audit/seals", AUDITOR, json={})
    assert served.told(200, "GET", "/v1/audit/heads?limit=1", AUDITOR) == {"heads": [head]}
    (second,) = served.told(200, "GET", "/v1/audit/heads?after=1", AUDITOR)["heads"]
    verify = ("POST", "/v1/audit/verifications", AUDITOR)
    report = served.told(200, *verify, json={"anchors": [head, second]})
    assert (report["entries"], report["heads"], report["anchored"]) == (4, 2, 2)
    forged = head | {"root": "0" * 64}
    error = served.refused(409, "audit-broken", *verify, json={"anchors": [forged]})
    assert error["fault"] == "head-invalid"


def test_it_says_that_it_lives_and_can_work(served: Served) -> None:
    assert served.told(200, "GET", "/health/live") == {"status": "live"}
    assert served.told(200, "GET", "/health/ready") == {"status": "ready"}
