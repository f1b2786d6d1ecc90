"""A company's payment from end to end: maker and checker, each at a token with a screen and OK."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from ushield.bank import (
    AttestationPolicy,
    EnrolledAttestation,
    TrustStore,
    VerifiedTransaction,
    Verifier,
)
from ushield.bank.approval import ApprovedPayment, Ceremony, Endorsement, MemoryLedger, Proposal
from ushield.bank.batch import BatchMismatch, verify_rows
from ushield.bank.policy import (
    BatchFacts,
    CustomerFacts,
    PaymentFacts,
    PolicyRefused,
    SignatureFacts,
    load_policy,
)
from ushield.testing.token import VirtualTokenUnderTest
from ushield.transaction import Batch, BatchRow, Party, Transaction, Transfer, from_json

POLICY = """
version = 1
[profile.company]
kinds = ["transfer", "batch"]
attestation = "required"
virtual_tokens = [%s]
control = [{ checkers = 1 }]
[profile.company.amount]
any = { CNY = "1000000" }
"""
PAYER = {"name": "某某科技有限公司", "account": "0200001009012345678"}
_TRANSFER = from_json(
    {
        "kind": "transfer",
        "payer": PAYER,
        "payee": {"name": "供货商有限公司", "account": "4000021109200123456", "bank": "工商银行"},
        "amount": "88000.00",
        "currency": "CNY",
        "memo": "货款",
        "challenge": "9f3c5b8e21d74a06",
    }
)
assert isinstance(_TRANSFER, Transfer)
TRANSFER: Transfer = _TRANSFER


class Company:
    """A company with people at tokens, and its bank."""

    def __init__(self, make: Callable[[], VirtualTokenUnderTest]) -> None:
        self.tokens = {person: make() for person in ("maker", "checker")}
        self.owners: dict[bytes, str] = {}
        self.attestations: dict[bytes, EnrolledAttestation] = {}
        makers = []
        for person, virtual in self.tokens.items():
            with virtual.open() as token, token.session(virtual.pin) as session:
                key = session.private_keys(label="signing").one()
                enrolled = EnrolledAttestation(token.attest(key), token.device_certificate())
                certificate = session.certificates(label="signing").one().der
            digest = hashlib.sha256(certificate).digest()
            self.owners[digest] = person
            self.attestations[digest] = enrolled
            makers.append(x509.load_der_x509_certificate(enrolled.device))
        model = self.tokens["maker"].virtual.profile.model
        pem = b"".join(each.public_bytes(Encoding.PEM) for each in makers)
        trust = b"".join(each.authority.ca_pem for each in self.tokens.values())
        self.verifier = Verifier(
            TrustStore.load(trust),
            accept_virtual=True,
            attestations=AttestationPolicy.load(self, pem, [model]),
        )
        named = ", ".join(f'"{each.serial}"' for each in self.tokens.values())
        self.ceremony = Ceremony(load_policy(POLICY % named), MemoryLedger())
        self.batch: BatchFacts | None = None

    def attestation_of(self, certificate_sha256: bytes) -> EnrolledAttestation | None:
        """What was enrolled."""
        return self.attestations.get(certificate_sha256)

    def sign(self, person: str, transaction: Transaction, **shown: str) -> bytes:
        """Press OK on the person's token, if it shows what is expected."""
        virtual = self.tokens[person]
        with virtual.open() as token, token.session(virtual.pin) as session:
            pending = session.sign(transaction)
            virtual.panel.expect(**shown).press_ok()
            return pending.result(timeout=10).der

    def signature(self, signature: bytes) -> tuple[SignatureFacts, VerifiedTransaction]:
        """The facts of a signature, and by whom it is: the register says, not the sender."""
        verified = self.verifier.verify(signature)
        person = self.owners[hashlib.sha256(verified.certificate).digest()]
        token = self.tokens[person].serial
        facts = SignatureFacts.of(verified, person=person, token=token, last_counter=None)
        return facts, verified

    def payment(self, *signatures: bytes) -> PaymentFacts:
        """The facts of a payment with these signatures."""
        found = [self.signature(each) for each in signatures]
        return PaymentFacts(
            customer=CustomerFacts("F-1", "company"),
            transaction=found[0][1].transaction,
            at=datetime.now(UTC),
            signatures=tuple(facts for facts, _ in found),
            batch=self.batch,
        )

    def propose(self, signature: bytes) -> Proposal:
        """Hand in the maker's signature."""
        return self.ceremony.propose(
            self.payment(signature), signature, frozenset(("maker", "checker"))
        )

    def approve(self, challenge: str, signature: bytes) -> Proposal | ApprovedPayment:
        """Hand in a checker's signature."""
        facts, _ = self.signature(signature)
        return self.ceremony.approve(
            challenge,
            Endorsement.of(facts, signature, datetime.now(UTC)),
            lambda proposal: self.payment(*(each.signature for each in proposal.endorsements)),
        )


@pytest.fixture
def company(virtual_token_factory: Callable[[], VirtualTokenUnderTest]) -> Company:
    return Company(virtual_token_factory)


def test_maker_and_checker_confirm_the_same_message_each_on_a_screen_of_their_own(
    company: Company,
) -> None:
    shown = {"payee": "供货商有限公司", "amount": "88,000.00", "payer": "某某科技有限公司"}
    made = company.sign("maker", TRANSFER, **shown)
    with pytest.raises(PolicyRefused) as caught:
        company.ceremony.policy.approve(company.payment(made))
    assert caught.value.rules == ("approvals-missing",)
    proposal = company.propose(made)
    for signature, rule in (
        (made, "same-person"),
        (company.sign("maker", TRANSFER, **shown), "same-person"),
        (
            company.sign("checker", replace(TRANSFER, memo="货款二"), payee="供货商有限公司"),
            "message-mismatch",
        ),
    ):
        with pytest.raises(PolicyRefused) as caught:
            company.approve(TRANSFER.challenge, signature)
        assert caught.value.rule == rule
    checked = company.sign("checker", TRANSFER, **shown)
    payment = company.approve(TRANSFER.challenge, checked)
    assert isinstance(payment, ApprovedPayment)
    assert payment.proposal.message == proposal.message
    assert [each.person for each in payment.proposal.endorsements] == ["maker", "checker"]
    assert len({each.token for each in payment.proposal.endorsements}) == 2
    with pytest.raises(PolicyRefused) as caught:
        company.approve(TRANSFER.challenge, checked)
    assert caught.value.rule == "proposal-complete"


def test_a_batch_of_wages_is_checked_row_by_row_before_it_is_paid(company: Company) -> None:
    rows = [
        BatchRow(Party(f"员工{number}", f"62220200{number}", "工商银行"), TRANSFER.amount)
        for number in range(10)
    ]
    batch = Batch.of_rows(rows, payer=Party(**PAYER), challenge="c-wages")
    shown = {"count": "10", "total": "880,000.00", "digest": batch.digest.hex(" ", -2)}
    made = company.sign("maker", batch, **shown)
    with pytest.raises(PolicyRefused) as caught:
        company.propose(made)
    assert caught.value.rules == ("batch-rows-unchecked",)
    _, verified = company.signature(made)
    with pytest.raises(BatchMismatch):
        verify_rows(verified.message, rows[::-1])
    with verify_rows(verified.message, rows) as signed:
        company.batch = signed.facts
        company.propose(made)
        payment = company.approve("c-wages", company.sign("checker", batch, **shown))
        assert isinstance(payment, ApprovedPayment)
        assert [row.payee.name for row in signed] == [row.payee.name for row in rows]
