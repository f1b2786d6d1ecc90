"""Proposals with real signatures, policy and ledger: once through, and never twice."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from threading import Barrier

import pytest

from tests.bank.ledgers import Ledgers
from tests.bank.payments import (
    AT,
    CHECKER,
    CNY,
    MAKER,
    POLICY,
    THIRD,
    attestation,
    later,
    receipt,
)
from tests.pki import NOW, Signer, authority, pem
from tests.transaction.strategies import EXPIRES, TRANSFER, yuan
from ushield.bank import TrustStore, verify_transaction
from ushield.bank.approval import (
    ApprovalLedger,
    ApprovedPayment,
    Ceremony,
    Endorsement,
    LedgerConflict,
    MemoryLedger,
    Proposal,
    ProposalExists,
    ProposalUnknown,
    Stage,
)
from ushield.bank.policy import (
    ControlTier,
    CustomerFacts,
    PaymentFacts,
    PolicyRefused,
    SignatureFacts,
    Sums,
    Terms,
)
from ushield.bank.store.store import Store
from ushield.errors import InputInvalid
from ushield.transaction import Kind, Transaction, write_message

TRUST = TrustStore.load(pem(authority("Test Bank CA")))
PEOPLE = {
    "li": (MAKER, "US00000001"),
    "wang": (CHECKER, "US00000002"),
    "zhao": (THIRD, "US00000003"),
    "qian": (Signer.issued(subject="钱七", issuer="Test Bank CA"), "US00000004"),
}
ENTITLED = frozenset(("li", "wang", "zhao"))


def sign(person: str, transaction: Transaction = TRANSFER, *, counter: int = 7) -> bytes:
    signer, token = PEOPLE[person]
    return signer.sign(write_message(transaction), receipt(token, transaction, counter=counter))


def facts_of_signature(person: str, signature: bytes) -> SignatureFacts:
    """What verification and the register say of it."""
    verified = verify_transaction(signature, TRUST, NOW)
    _, token = PEOPLE[person]
    return SignatureFacts.of(
        verified, person=person, token=token, attestation=attestation(token), last_counter=6
    )


def facts(
    signatures: tuple[SignatureFacts, ...],
    transaction: Transaction = TRANSFER,
    at: datetime = AT,
) -> PaymentFacts:
    return PaymentFacts(
        customer=CustomerFacts("F1", "company"),
        transaction=transaction,
        at=at,
        signatures=signatures,
        today=Sums(),
        month=Sums(),
    )


def facts_of(proposal: Proposal) -> PaymentFacts:
    """Every signature verified again."""
    signatures = tuple(
        facts_of_signature(each.person, each.signature) for each in proposal.endorsements
    )
    return facts(signatures, at=proposal.endorsements[-1].at)


def endorsed(person: str, transaction: Transaction = TRANSFER, **changes: object) -> Endorsement:
    signature = sign(person, transaction)
    found = Endorsement.of(facts_of_signature(person, signature), signature, later(hours=1))
    return replace(found, **changes)  # type: ignore[arg-type]


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def ledgers(request: pytest.FixtureRequest) -> Iterator[Ledgers]:
    """Ledgers of each kind there is."""
    if request.param == "memory":
        yield Ledgers(None)
        return
    with Store.open(request.getfixturevalue(f"{request.param}_url")) as store:
        yield Ledgers(store)


def ledger_for(ledgers: Ledgers, transaction: Transaction = TRANSFER) -> ApprovalLedger:
    return ledgers(transaction.challenge, write_message(transaction))


@pytest.fixture
def ceremony(ledgers: Ledgers) -> Ceremony:
    return Ceremony(POLICY, ledger_for(ledgers))


def propose(ceremony: Ceremony, transaction: Transaction = TRANSFER) -> Proposal:
    signature = sign("li", transaction)
    made = facts((facts_of_signature("li", signature),), transaction)
    return ceremony.propose(made, signature, ENTITLED)


def refused(ceremony: Ceremony, endorsement: Endorsement) -> str:
    with pytest.raises(PolicyRefused) as caught:
        ceremony.approve(TRANSFER.challenge, endorsement, facts_of)
    return caught.value.rule


def test_a_checker_with_a_token_of_their_own_completes_the_maker_s_payment(
    ceremony: Ceremony,
) -> None:
    proposal = propose(ceremony)
    assert (proposal.stage, proposal.needed, proposal.message) == (
        Stage.OPEN,
        1,
        write_message(TRANSFER),
    )
    payment = ceremony.approve(TRANSFER.challenge, endorsed("wang"), facts_of)
    assert isinstance(payment, ApprovedPayment)
    assert [each.person for each in payment.proposal.endorsements] == ["li", "wang"]
    assert payment.approval.facts.transaction == TRANSFER
    assert ceremony.ledger.load(TRANSFER.challenge) == payment.proposal
    assert refused(ceremony, endorsed("zhao")) == "proposal-complete"


def test_n_of_m_waits_for_all_n(ledgers: Ledgers) -> None:
    large = replace(TRANSFER, amount=yuan("2000.01"))
    ceremony = Ceremony(POLICY, ledger_for(ledgers, large))
    assert propose(ceremony, large).needed == 2

    def known(proposal: Proposal) -> PaymentFacts:
        return replace(facts_of(proposal), transaction=large)

    first = ceremony.approve(large.challenge, endorsed("zhao", large), known)
    assert isinstance(first, Proposal)
    assert first.stage is Stage.OPEN
    assert isinstance(
        ceremony.approve(large.challenge, endorsed("wang", large), known), ApprovedPayment
    )


def test_what_was_read_before_another_change_is_replaced_by_nothing(ledgers: Ledgers) -> None:
    large = replace(TRANSFER, amount=yuan("2000.01"))
    ceremony = Ceremony(POLICY, ledger_for(ledgers, large))
    before = propose(ceremony, large)

    def known(proposal: Proposal) -> PaymentFacts:
        return replace(facts_of(proposal), transaction=large)

    after = ceremony.approve(large.challenge, endorsed("zhao", large), known)
    withdrawn = replace(before, stage=Stage.WITHDRAWN, ended_by="li", version=before.version + 1)
    with pytest.raises(LedgerConflict):
        ceremony.ledger.replace(before, withdrawn)
    assert ceremony.ledger.load(large.challenge) == after


def test_who_may_not_check_is_refused_by_the_rule_and_nothing_is_written(
    ceremony: Ceremony,
) -> None:
    before = propose(ceremony)
    assert refused(ceremony, endorsed("li")) == "same-person"
    assert refused(ceremony, endorsed("qian")) == "checker-not-entitled"
    assert refused(ceremony, endorsed("wang", token="US00000001")) == "same-token"
    assert refused(ceremony, endorsed("wang", key=before.maker.key)) == "same-token"
    other = replace(TRANSFER, memo="货 款")
    assert refused(ceremony, endorsed("wang", other)) == "message-mismatch"
    assert ceremony.ledger.load(TRANSFER.challenge) == before


def test_what_the_policy_refuses_is_not_counted_and_may_come_again(ceremony: Ceremony) -> None:
    before = propose(ceremony)

    def paid_out(proposal: Proposal) -> PaymentFacts:
        return replace(facts_of(proposal), today=Sums({Kind.SHOP: {CNY: Decimal(9000)}}))

    with pytest.raises(PolicyRefused) as caught:
        ceremony.approve(TRANSFER.challenge, endorsed("wang"), paid_out)
    assert caught.value.rule == "daily-total-over-limit"
    assert ceremony.ledger.load(TRANSFER.challenge) == before
    payment = ceremony.approve(TRANSFER.challenge, endorsed("wang"), facts_of)
    assert isinstance(payment, ApprovedPayment)


def test_a_checker_s_token_is_judged_even_while_more_are_waited_for(ledgers: Ledgers) -> None:
    policy = replace(POLICY, profiles={"company": Terms(control=(ControlTier(2),), counter_gap=0)})
    ceremony = Ceremony(policy, ledger_for(ledgers))
    propose(ceremony)

    def copied(proposal: Proposal) -> PaymentFacts:
        maker, checker = facts_of(proposal).signatures
        return facts((maker, replace(checker, last_counter=9)), at=later(hours=1))

    with pytest.raises(PolicyRefused) as caught:
        ceremony.approve(TRANSFER.challenge, endorsed("wang"), copied)
    assert caught.value.is_fraud
    assert ceremony.ledger.load(TRANSFER.challenge).checkers == ()


def test_facts_about_other_signatures_are_an_error(ceremony: Ceremony) -> None:
    propose(ceremony)

    def others(proposal: Proposal) -> PaymentFacts:
        maker, checker = facts_of(proposal).signatures
        return facts((maker, replace(checker, person="zhao")), at=later(hours=1))

    with pytest.raises(InputInvalid, match="not about the signatures"):
        ceremony.approve(TRANSFER.challenge, endorsed("wang"), others)


def test_the_maker_takes_it_back_and_nobody_else(ceremony: Ceremony) -> None:
    propose(ceremony)
    with pytest.raises(PolicyRefused) as caught:
        ceremony.withdraw(TRANSFER.challenge, "wang", AT)
    assert caught.value.rule == "not-the-maker"
    assert ceremony.withdraw(TRANSFER.challenge, "li", AT).stage is Stage.WITHDRAWN
    assert refused(ceremony, endorsed("wang")) == "proposal-withdrawn"


def test_a_checker_rejects_it_for_good(ceremony: Ceremony) -> None:
    propose(ceremony)
    with pytest.raises(PolicyRefused) as caught:
        ceremony.reject(TRANSFER.challenge, "qian", AT)
    assert caught.value.rule == "checker-not-entitled"
    assert ceremony.reject(TRANSFER.challenge, "zhao", AT).ended_by == "zhao"
    assert refused(ceremony, endorsed("wang")) == "proposal-rejected"


def test_it_expires_with_what_was_signed_or_when_the_policy_says(
    ceremony: Ceremony, ledgers: Ledgers
) -> None:
    assert propose(ceremony).expires_at == EXPIRES
    assert refused(ceremony, endorsed("wang", at=EXPIRES)) == "proposal-expired"
    assert ceremony.ledger.load(TRANSFER.challenge).stage is Stage.EXPIRED
    brief = replace(POLICY, default=replace(POLICY.default, proposal_hours=1))
    proposal = propose(Ceremony(brief, ledger_for(ledgers)))
    assert proposal.expires_at == AT + timedelta(hours=1)


def test_a_challenge_has_one_proposal(ceremony: Ceremony) -> None:
    propose(ceremony)
    with pytest.raises(ProposalExists):
        propose(ceremony)
    with pytest.raises(ProposalUnknown):
        ceremony.withdraw("another", "li", AT)


def test_what_wants_no_checker_is_no_proposal(ceremony: Ceremony) -> None:
    signature = sign("li")
    alone = replace(facts((facts_of_signature("li", signature),)), customer=CustomerFacts("C1"))
    with pytest.raises(InputInvalid, match="wants no checker"):
        ceremony.propose(alone, signature, ENTITLED)
    two = facts(tuple(facts_of_signature(person, sign(person)) for person in ("li", "wang")))
    with pytest.raises(InputInvalid, match="one signature"):
        ceremony.propose(two, signature, ENTITLED)


@pytest.mark.parametrize("repetition", range(3))
def test_of_checkers_who_race_one_completes_it(ceremony: Ceremony, repetition: int) -> None:
    propose(ceremony)
    people = ("wang", "zhao")
    signatures = [endorsed(person) for person in people] * 4
    start = Barrier(len(signatures))

    def approve(endorsement: Endorsement) -> object:
        start.wait(10)
        try:
            return ceremony.approve(TRANSFER.challenge, endorsement, facts_of)
        except PolicyRefused as refusal:
            return refusal.rule

    with ThreadPoolExecutor(len(signatures)) as pool:
        results = list(pool.map(approve, signatures))
    completed = [each for each in results if isinstance(each, ApprovedPayment)]
    assert len(completed) == 1
    assert results.count("proposal-complete") == len(signatures) - 1


def test_a_change_between_reading_and_writing_is_seen_and_decided_again() -> None:
    class Restless(MemoryLedger):
        withdrawn = False

        def replace(self, before: Proposal, after: Proposal) -> None:
            if not self.withdrawn:
                self.withdrawn = True
                Ceremony(POLICY, self).withdraw(before.challenge, "li", AT)
            super().replace(before, after)

    ceremony = Ceremony(POLICY, Restless())
    propose(ceremony)
    assert refused(ceremony, endorsed("wang")) == "proposal-withdrawn"


def test_a_ledger_that_never_settles_ends_in_an_error() -> None:
    class Broken(MemoryLedger):
        def replace(self, before: Proposal, after: Proposal) -> None:
            raise LedgerConflict("changed")

    ceremony = Ceremony(POLICY, Broken())
    propose(ceremony)
    with pytest.raises(LedgerConflict):
        ceremony.approve(TRANSFER.challenge, endorsed("wang"), facts_of)
    with pytest.raises(LedgerConflict):
        ceremony.withdraw(TRANSFER.challenge, "li", AT)
    assert refused(ceremony, endorsed("wang", at=EXPIRES)) == "proposal-expired"
