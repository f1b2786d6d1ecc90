"""A bank's whole story over HTTP, on both databases, and its archive verified in the end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tests.bank.banking import TRUST, Bench
from tests.bank.lifecycle.desk import MAKER, MODEL, HeldToken
from tests.bank.service.backings import backing_of
from tests.bank.service.served import Served, base64_of, clients, draft
from tests.bank.service.test_people import SECOND
from tests.pki import authority
from ushield.bank import AttestationPolicy, Verifier
from ushield.bank.lifecycle.attestations import StoredAttestations
from ushield.bank.policy import load_policy
from ushield.bank.service import Client, Role
from ushield.bank.service.clients import token_digest
from ushield.bank.store.store import Store
from ushield.transaction import BatchTally, from_json, write_message
from ushield.transaction.row_files import read_rows

PAYMENTS, REGISTRAR, CLERK, AUDITOR = Role.PAYMENTS, Role.REGISTRAR, Role.CLERK, Role.AUDITOR
ROWS = 1000
CLIENTS = clients(
    Client(name="second", roles=frozenset((CLERK,)), token_sha256=token_digest(SECOND))
)
POLICY = load_policy("""
version = 1
[default]
kinds = ["transfer"]
amount.any.CNY = "5000"
daily.together.CNY = "8000"
[profile.company]
kinds = ["transfer", "batch"]
amount.any.CNY = "9000000"
daily.together.CNY = "9000000"
control = [{ above = { CNY = "10000" }, checkers = 1 }]
batch = { rows = 5000, row_amount = { CNY = "10000" } }
""")


class Story:
    """The bank as its backends, clerks and auditors see it, and its customers' tokens."""

    def __init__(self, served: Served) -> None:
        self.ask = served.ask
        self.told = served.told
        self.refused = served.refused
        self.certificates: dict[str, bytes] = {}

    def customer(self, name: str, profile: str | None = None) -> None:
        body = {} if profile is None else {"profile": profile}
        self.told(200, "PUT", f"/v1/customers/{name}", REGISTRAR, json=body)

    def enrol(self, customer: str, token: HeldToken, **more: str) -> None:
        """By a code, a request and an attestation; and the certificate is on the token."""
        registered = {"customer": customer, "token": token.serial, **more}
        code = self.told(201, "POST", "/v1/enrolments", REGISTRAR, json=registered)["code"]
        attestation = token.attestation()
        asked = {
            "code": code,
            "request": base64_of(token.request()),
            "attestation": {
                "certificate": base64_of(attestation.certificate),
                "device": base64_of(attestation.device),
            },
        }
        found = self.told(200, "POST", "/v1/enrolments/requests", PAYMENTS, json=asked)
        loaded = x509.load_pem_x509_certificate(found["pem"].encode())
        self.certificates[token.serial] = loaded.public_bytes(Encoding.DER)
        place = f"/v1/enrolments/{found['enrolment']}/confirmation"
        read = {"certificate_sha256": found["certificate_sha256"]}
        self.told(200, "POST", place, PAYMENTS, json=read)

    def issue(self, customer: str, transaction: dict[str, Any]) -> dict[str, Any]:
        body = {"customer": customer, "transaction": transaction}
        return self.told(201, "POST", "/v1/challenges", PAYMENTS, json=body)

    def signed(self, token: HeldToken, issued: dict[str, Any], **more: str) -> dict[str, str]:
        message = write_message(from_json(issued["transaction"]))
        return {"signature": base64_of(token.sign(message, self.certificates[token.serial]))} | more

    def place(self, issued: dict[str, Any], what: str) -> tuple[str, str, Role]:
        return "POST", f"/v1/challenges/{issued['challenge']}/{what}", PAYMENTS


@pytest.fixture
def story(url: str, tmp_path: Path) -> Iterator[tuple[Story, Bench]]:
    def verifier(store: Store) -> Verifier:
        makers, models = (authority(MAKER),), frozenset({MODEL})
        return Verifier(
            TRUST, attestations=AttestationPolicy(StoredAttestations(store), makers, models)
        )

    with (
        Bench.open(url, policy=POLICY, verifier=verifier) as bench,
        Served(
            bench, tmp_path, text=CLIENTS, backing=backing_of(bench, tmp_path / "crls")
        ) as served,
    ):
        yield Story(served), bench


def test_from_the_first_enrolment_to_the_archive(
    story: tuple[Story, Bench], tmp_path: Path
) -> None:
    told, bench = story
    crls = tmp_path / "crls"
    crls.mkdir()
    (crls / "first.crl").write_bytes(backing_of(bench)["crl"]())
    alices, lis, wangs = (HeldToken(f"US-{name}") for name in ("alice", "li", "wang"))

    told.customer("alice")
    told.customer("firm", "company")
    told.enrol("alice", alices)
    for person, token in (("li", lis), ("wang", wangs)):
        told.enrol("firm", token)
        assigned = {"person": person, "checks": person == "wang"}
        told.told(200, "PUT", f"/v1/tokens/{token.serial}/person", REGISTRAR, json=assigned)

    # A payment, once; and one that the bank's policy forbids.
    paid = told.issue("alice", draft("A1"))
    signature = told.signed(alices, paid)
    told.told(200, *told.place(paid, "acceptance"), json=signature)
    replayed = told.refused(
        409, "transaction-rejected", *told.place(paid, "acceptance"), json=signature
    )
    assert (replayed["reason"], replayed["repeated"]) == ("challenge-replayed", True)
    dear = told.issue("alice", draft("A2") | {"amount": "5000.01"})
    by_alice = told.signed(alices, dear)
    refusal = told.refused(422, "policy-refused", *told.place(dear, "acceptance"), json=by_alice)
    assert refusal["rule"] == "amount-over-limit"

    # A company's payment, by maker and checker.
    big = told.issue("firm", draft("F1") | {"amount": "250000.00"})
    alone = told.refused(
        422, "policy-refused", *told.place(big, "acceptance"), json=told.signed(lis, big)
    )
    assert alone["rule"] == "approvals-missing"
    told.told(201, *told.place(big, "proposal"), json=told.signed(lis, big))
    done = told.told(200, *told.place(big, "approval"), json=told.signed(wangs, big))
    assert done["payment"] == big["transaction"]

    # Wages: a thousand rows, of which the digest is signed.
    rows, batch = wages(tmp_path)
    issued = told.issue("firm", batch)
    unseen = told.refused(
        422, "policy-refused", *told.place(issued, "proposal"), json=told.signed(lis, issued)
    )
    assert unseen["rule"] == "batch-rows-unchecked"
    changed = base64_of(rows.replace(b"5007.00", b"5008.00"))
    other = told.refused(
        *(422, "batch-mismatch", *told.place(issued, "proposal")),
        json=told.signed(lis, issued, rows=changed),
    )
    assert other["rule"] == "batch-total"
    given = {"rows": base64_of(rows)}
    told.told(201, *told.place(issued, "proposal"), json=told.signed(lis, issued, **given))
    done = told.told(200, *told.place(issued, "approval"), json=told.signed(wangs, issued, **given))
    assert done["payment"]["count"] == ROWS

    # A PIN is forgotten: one clerk asks, another one answers.
    asked = {"customer": "alice", "challenge": base64_of(alices.challenge())}
    unblock = told.told(201, "POST", "/v1/unblocks", CLERK, json=asked)
    approval = f"/v1/unblocks/{unblock['request']}/approval"
    told.refused(422, "unblock-refused", "POST", approval, CLERK, json={})
    second = {"Authorization": f"Bearer {SECOND}"}
    assert told.told(200, "POST", approval, json={}, headers=second)["signature"]

    # A token is lost, at once, and another one takes its place.
    late = told.issue("alice", draft("A3"))
    signature = told.signed(alices, late)
    told.told(200, "POST", f"/v1/tokens/{alices.serial}/loss", Role.HOTLINE, json={})
    lost = told.refused(
        422, "transaction-rejected", *told.place(late, "acceptance"), json=signature
    )
    assert lost["reason"] in {"token-lost", "certificate-revoked"}
    ran = told.told(200, "POST", "/v1/revocations", REGISTRAR, json={})
    assert ran == {"done": 1, "left": 0}
    again = HeldToken("US-alice-2")
    told.enrol("alice", again, replaces=alices.serial)
    told.told(200, *told.place(late, "acceptance"), json=told.signed(again, late))

    # The log holds, and so does, at its time, every signature that was accepted by itself.
    told.told(200, "POST", "/v1/audit/seals", AUDITOR, json={})
    heads = told.told(200, "GET", "/v1/audit/heads?after=0", AUDITOR)["heads"]
    checked = told.told(200, "POST", "/v1/audit/verifications", AUDITOR, json={"anchors": heads})
    assert checked["entries"] > 20
    archived(told)


def wages(folder: Path) -> tuple[bytes, dict[str, Any]]:
    """A file of rows, and the batch that a backend makes of it."""
    lines = ["payee,account,bank,amount,currency"]
    lines += [
        f"员工{number},6222021001{number:08},中国工商银行北京分行,5{number:03}.00,CNY"
        for number in range(ROWS)
    ]
    file = folder / "wages.csv"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    tally = BatchTally()
    with file.open("rb") as stream:
        for row in read_rows(stream):
            tally.add(row)
    return file.read_bytes(), {
        "kind": "batch",
        "payer": {"name": "某某有限公司", "account": "0200001009012345678"},
        "count": tally.count,
        "total": tally.total.text,
        "currency": "CNY",
        "digest": tally.digest.hex(),
        "order": "W1",
    }


def archived(told: Story) -> None:
    """The lost token's payment holds: it was signed, and accepted, before the loss."""
    shard = told.ask("GET", "/v1/archive", AUDITOR)
    assert (shard.status_code, shard.headers["ushield-rows"]) == (200, "4")
    kind = {"Content-Type": "application/vnd.apache.parquet"}
    report = told.told(
        *(200, "POST", "/v1/archive/verifications", AUDITOR), content=shard.content, headers=kind
    )
    assert report["outcomes"] == {"holds": 4}
    assert report["revocation"] == {"lists": 1, "responses": 0, "ignored": 0}
