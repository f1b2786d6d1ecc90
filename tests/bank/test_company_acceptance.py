"""Payments of several people on a bank's database: once, whole, and written down."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path

import pytest
from sqlalchemy import Engine, select

from tests.bank.banking import VERIFIER, Bench, Holder, order
from tests.bank.killing import MOST_STEPS, killed_at
from tests.pki import Signer
from tests.transaction.strategies import yuan
from ushield.algorithms import KeyAlgorithm
from ushield.bank import (
    Bank,
    CertificateState,
    Challenge,
    ChallengeState,
    RejectionReason,
    TransactionRejected,
    confirm_restored,
)
from ushield.bank.approval import ApprovedPayment, Proposal, ProposalUnknown, Stage
from ushield.bank.approval.desk import ApprovalDesk
from ushield.bank.audit.keys import FileAuditSigner
from ushield.bank.policy import PolicyRefused, load_policy
from ushield.bank.store.tables import audit_entry, endorsement, spending
from ushield.errors import InputInvalid

POLICY = load_policy("""
version = 1
[default]
kinds = ["transfer"]
attestation = "optional"
amount.any.CNY = "5000"
daily.together.CNY = "8000"
[profile.company]
proposal_hours = 48
control = [{ checkers = 1 }, { checkers = 2, above = { CNY = "4000" } }]
""")
PEOPLE = {
    # One key each: nobody signs by another's.
    "li": KeyAlgorithm.P256,
    "wang": KeyAlgorithm.P384,
    "zhao": KeyAlgorithm.RSA_2048,
}


@dataclass
class Firm:
    """A company with three people, and its bank: li makes payments, the others may check them."""

    bench: Bench
    people: dict[str, Holder]

    @property
    def desk(self) -> ApprovalDesk:
        return self.bench.bank.approvals

    def issue(self, amount: str = "1000.00", number: str | None = None) -> Challenge:
        return self.bench.bank.issue(order(number, amount=yuan(amount)), customer="firm")

    def sign(self, person: str, challenge: Challenge) -> bytes:
        return self.people[person].sign(challenge.message)

    def propose(self, challenge: Challenge, person: str = "li") -> Proposal:
        return self.desk.propose(challenge.id, self.sign(person, challenge))

    def approve(self, challenge: Challenge, person: str) -> Proposal | ApprovedPayment:
        return self.desk.approve(challenge.id, self.sign(person, challenge))

    def state(self, challenge: Challenge) -> ChallengeState:
        return self.bench.bank.challenge(challenge.id).state


@pytest.fixture
def bench(url: str) -> Iterator[Bench]:
    with Bench.open(url, policy=POLICY) as bench:
        yield bench


@pytest.fixture
def firm(bench: Bench) -> Firm:
    bench.bank.add_customer("firm", "A Firm", profile="company")
    people = {}
    for person, algorithm in PEOPLE.items():
        signer = Signer.issued(algorithm, subject=person)
        bench.bank.enrol("firm", signer.der, token=f"US-{person}")
        bench.bank.assign(f"US-{person}", person, checks=person != "li")
        people[person] = Holder("firm", f"US-{person}", signer)
    return Firm(bench, people)


def refused(work: Callable[[], object]) -> str:
    with pytest.raises(TransactionRejected) as caught:
        work()
    error = caught.value
    return error.rule if isinstance(error, PolicyRefused) else error.reason.value


def outcome(desk: ApprovalDesk, challenge: str, signature: bytes) -> str:
    """What a completing signature comes to."""
    try:
        payment = desk.approve(challenge, signature)
    except TransactionRejected as rejected:
        return rejected.rule if isinstance(rejected, PolicyRefused) else rejected.reason.value
    assert isinstance(payment, ApprovedPayment)
    return "paid"


def events(engine: Engine, challenge: Challenge) -> list[str]:
    with engine.connect() as connection:
        return list(
            connection.execute(
                select(audit_entry.c.event)
                .where(audit_entry.c.challenge_id == challenge.id)
                .order_by(audit_entry.c.id)
            ).scalars()
        )


def test_a_payment_waits_for_its_checker_and_then_is_paid_once(firm: Firm, engine: Engine) -> None:
    challenge = firm.issue(number="A1")
    proposal = firm.propose(challenge)
    assert (proposal.needed, proposal.entitled) == (1, frozenset(("wang", "zhao")))
    assert (proposal.stage, firm.state(challenge)) == (Stage.OPEN, ChallengeState.ISSUED)
    assert [each.challenge for each in firm.desk.waiting("firm")] == [challenge.id]
    assert firm.desk.waiting("other") == []
    payment = firm.approve(challenge, "wang")
    assert isinstance(payment, ApprovedPayment)
    assert payment.approval.facts.transaction == challenge.transaction
    assert payment.proposal == firm.desk.find(challenge.id)
    assert [each.person for each in payment.proposal.endorsements] == ["li", "wang"]
    assert firm.state(challenge) is ChallengeState.CONSUMED
    assert firm.desk.waiting() == []
    assert [firm.bench.bank.token(f"US-{name}").counter for name in PEOPLE] == [1, 1, 0]
    with engine.connect() as connection:
        (paid,) = connection.execute(select(spending)).all()
    assert (paid.customer_id, paid.amount, paid.payments) == ("firm", 100000, 1)
    assert events(engine, challenge) == ["issued", "proposed", "endorsed", "accepted"]


def test_a_large_one_waits_for_two(firm: Firm) -> None:
    challenge = firm.issue("4000.01")
    firm.propose(challenge)
    first = firm.approve(challenge, "zhao")
    assert isinstance(first, Proposal)
    assert [each.person for each in first.checkers] == ["zhao"]
    assert isinstance(firm.approve(challenge, "wang"), ApprovedPayment)


def test_whoever_signs_twice_or_may_not_check_is_refused_and_no_token_is_suspected(
    firm: Firm, engine: Engine
) -> None:
    challenge = firm.issue("4000.01")
    made = firm.sign("li", challenge)
    firm.desk.propose(challenge.id, made)
    assert refused(lambda: firm.desk.approve(challenge.id, made)) == "same-person"
    checked = firm.sign("wang", challenge)
    firm.desk.approve(challenge.id, checked)
    assert refused(lambda: firm.desk.approve(challenge.id, checked)) == "same-person"
    firm.bench.bank.assign("US-zhao", "zhao", checks=True)
    firm.bench.bank.assign("US-wang", "qian", checks=True)
    assert refused(lambda: firm.approve(challenge, "wang")) == "checker-not-entitled"
    assert [firm.bench.bank.token(f"US-{name}").alarms for name in PEOPLE] == [0, 0, 0]
    assert events(engine, challenge)[-2:] == ["rejected", "rejected"]
    with engine.connect() as connection:
        body = connection.execute(
            select(audit_entry.c.body).order_by(audit_entry.c.id.desc()).limit(1)
        ).scalar_one()
    assert json.loads(body)["rules"] == "checker-not-entitled"


def test_one_person_s_second_token_is_no_second_person(firm: Firm) -> None:
    challenge = firm.issue()
    firm.bench.bank.assign("US-wang", "li", checks=True)
    firm.propose(challenge)
    assert refused(lambda: firm.approve(challenge, "wang")) == "same-person"


def test_a_copied_token_is_noticed_at_the_desk_too(firm: Firm) -> None:
    first, second = firm.issue(), firm.issue()
    firm.propose(first)
    firm.approve(first, "wang")
    copied = firm.people["li"].sign(second.message, counter=1)
    assert refused(lambda: firm.desk.propose(second.id, copied)) == "counter-repeated"
    firm.propose(second)
    copied = firm.people["wang"].sign(second.message, counter=1)
    assert refused(lambda: firm.desk.approve(second.id, copied)) == "counter-repeated"
    assert [firm.bench.bank.token(f"US-{name}").alarms for name in PEOPLE] == [1, 1, 0]


def test_one_signature_and_a_proposal_do_not_answer_one_challenge(firm: Firm) -> None:
    challenge = firm.issue()
    with pytest.raises(ProposalUnknown):
        firm.approve(challenge, "wang")
    assert (
        refused(lambda: firm.bench.bank.accept(challenge.id, firm.sign("li", challenge)))
        == "approvals-missing"
    )
    firm.propose(challenge)
    with firm.bench.again() as careless:
        # No policy there would want a checker.
        signature = firm.sign("zhao", challenge)
        assert careless.refusal(challenge, signature) is RejectionReason.CHALLENGE_PROPOSED
    assert refused(lambda: firm.propose(challenge, "zhao")) == "challenge-proposed"
    firm.approve(challenge, "wang")
    assert refused(lambda: firm.approve(challenge, "zhao")) == "proposal-complete"


def test_another_message_is_refused(firm: Firm) -> None:
    one, other = firm.issue(), firm.issue()
    firm.propose(one)
    signature = firm.sign("wang", other)
    assert refused(lambda: firm.desk.approve(one.id, signature)) == "challenge-mismatch"
    assert refused(lambda: firm.desk.approve("0" * 32, signature)) == "challenge-unknown"
    assert refused(lambda: firm.desk.approve(one.id, b"")) == "not-der"


def test_the_maker_takes_it_back_and_the_order_is_free_again(firm: Firm, engine: Engine) -> None:
    challenge = firm.issue(number="A1")
    firm.propose(challenge)
    assert refused(lambda: firm.desk.withdraw(challenge.id, "wang")) == "not-the-maker"
    assert firm.desk.withdraw(challenge.id, "li").stage is Stage.WITHDRAWN
    assert firm.state(challenge) is ChallengeState.VOID
    assert refused(lambda: firm.approve(challenge, "wang")) == "proposal-withdrawn"
    assert events(engine, challenge) == [
        "issued",
        "proposed",
        "rejected",
        "proposal-withdrawn",
        "rejected",
    ]
    firm.propose(firm.issue(number="A1"))


def test_a_checker_says_no(firm: Firm) -> None:
    challenge = firm.issue("4000.01")
    firm.propose(challenge)
    firm.approve(challenge, "wang")
    assert firm.desk.reject(challenge.id, "wang").ended_by == "wang"
    assert refused(lambda: firm.approve(challenge, "zhao")) == "proposal-rejected"
    assert firm.state(challenge) is ChallengeState.VOID


def test_a_proposal_outlives_a_day_but_not_its_time(firm: Firm, engine: Engine) -> None:
    kept, late = firm.issue(), firm.issue(number="A1")
    for each in (kept, late):
        firm.propose(each)
    firm.bench.clock.move(hours=48, seconds=-1)
    assert isinstance(firm.approve(kept, "wang"), ApprovedPayment)
    firm.bench.clock.move(seconds=1)
    assert refused(lambda: firm.approve(late, "zhao")) == "proposal-expired"
    assert firm.desk.find(late.id).stage is Stage.EXPIRED
    assert firm.state(late) is ChallengeState.EXPIRED
    assert events(engine, late) == ["issued", "proposed", "proposal-expired", "rejected"]
    firm.propose(firm.issue(number="A1"))


def test_what_the_maker_may_no_longer_sign_is_not_completed(firm: Firm) -> None:
    lost, suspended = firm.issue(), firm.issue()
    for each in (lost, suspended):
        firm.propose(each)
    digest = sha256(firm.people["li"].signer.der).digest()
    firm.bench.bank.change_certificate(digest, CertificateState.SUSPENDED)
    assert refused(lambda: firm.approve(suspended, "wang")) == "certificate-suspended"
    firm.bench.bank.report_loss("US-li")
    assert refused(lambda: firm.approve(lost, "wang")) == "token-lost"
    assert firm.desk.find(lost.id).checkers == ()


def test_sums_are_asked_when_the_last_one_signs(firm: Firm) -> None:
    challenges = [firm.issue("3000.00") for _ in range(3)]
    for each in challenges:
        firm.propose(each)
    for each in challenges[:2]:
        assert isinstance(firm.approve(each, "wang"), ApprovedPayment)
    assert refused(lambda: firm.approve(challenges[2], "wang")) == "daily-total-over-limit"
    firm.bench.clock.move(days=1)
    assert isinstance(firm.approve(challenges[2], "wang"), ApprovedPayment)


def test_what_the_bank_withdraws_or_restores_waits_no_more(firm: Firm, bench: Bench) -> None:
    withdrawn, restored = firm.issue(), firm.issue()
    for each in (withdrawn, restored):
        firm.propose(each)
    bench.bank.withdraw(withdrawn.id)
    assert refused(lambda: firm.approve(withdrawn, "wang")) == "proposal-withdrawn"
    assert confirm_restored(bench.url, bench.clock.at) == 1
    assert refused(lambda: firm.approve(restored, "wang")) == "proposal-withdrawn"
    assert firm.desk.waiting() == []


def test_an_erased_customer_leaves_no_proposals_and_the_log_holds(
    firm: Firm, engine: Engine, tmp_path: Path
) -> None:
    signer = FileAuditSigner.create(tmp_path / "key.pem")
    challenge, live = firm.issue(), firm.issue()
    firm.propose(challenge)
    firm.approve(challenge, "wang")
    firm.propose(live)
    firm.bench.bank.sequencer(signer).seal_all()
    with pytest.raises(InputInvalid, match="live"):
        firm.bench.bank.erase("firm")
    firm.desk.withdraw(live.id, "li")
    firm.bench.bank.erase("firm")
    with engine.connect() as connection:
        assert connection.execute(select(endorsement)).all() == []
        assert connection.execute(select(spending)).all() == []
    with pytest.raises(ProposalUnknown):
        firm.desk.find(challenge.id)
    assert firm.bench.bank.token("US-wang").person is None
    firm.bench.bank.sequencer(signer).seal_all()
    firm.bench.bank.verify_audit(signer.public_key)


def test_more_checkers_than_there_are_is_an_error(firm: Firm) -> None:
    challenge = firm.issue("4000.01")
    firm.bench.bank.report_loss("US-wang")
    with pytest.raises(InputInvalid, match="2 checkers must sign"):
        firm.propose(challenge)
    alone = firm.bench.customer("alice")
    single = firm.bench.issue(alone)
    with pytest.raises(InputInvalid, match="wants no checker"):
        firm.desk.propose(single.id, alone.sign(single.message))
    with firm.bench.again() as bare, pytest.raises(InputInvalid, match="policy"):
        assert bare.bank.approvals


@pytest.mark.parametrize("repetition", range(2))
def test_of_processes_that_race_to_complete_it_one_does(
    firm: Firm, engine: Engine, tmp_path: Path, repetition: int
) -> None:
    challenge = firm.issue("4000.01")
    firm.propose(challenge)
    firm.approve(challenge, "zhao")
    signatures = [firm.sign("wang", challenge) for _ in range(4)]

    def race(signature: bytes) -> None:
        with Bench.open(firm.bench.url, firm.bench.clock, policy=POLICY, timeout=20) as own:
            told = outcome(own.bank.approvals, challenge.id, signature)
            assert told in ("paid", "proposal-complete")
            if told == "paid":
                (tmp_path / f"won-{os.getpid()}").touch()

    children = [_fork(partial(race, each)) for each in signatures]
    for child in children:
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert len(list(tmp_path.glob("won-*"))) == 1
    assert events(engine, challenge).count("accepted") == 1


def test_of_payments_completed_at_once_no_more_pass_than_the_limit_allows(firm: Firm) -> None:
    challenges = [firm.issue("3000.00") for _ in range(4)]
    for each in challenges:
        firm.propose(each)
    signed = [(each.id, firm.sign("wang", each)) for each in challenges]

    with ThreadPoolExecutor(4) as threads:
        outcomes = list(threads.map(lambda pair: outcome(firm.desk, *pair), signed))
    # A later signature of the one token may have come first.
    assert 1 <= outcomes.count("paid") <= 2
    assert set(outcomes) <= {"paid", "daily-total-over-limit", "counter-went-back"}


def _fork(work: Callable[[], object]) -> int:
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        finally:
            os._exit(1)
    return child


def test_a_process_that_is_killed_leaves_a_whole_step_or_none(
    firm: Firm, url: str, engine: Engine
) -> None:
    def hand_in(own: Bench, challenge: str, made: bytes, checked: bytes) -> None:
        bank = Bank(own.bank.store, VERIFIER, clock=own.clock, policy=POLICY)
        bank.approvals.propose(challenge, made)
        bank.approvals.approve(challenge, checked)

    seen: set[Stage | None] = set()
    for step in range(MOST_STEPS):
        firm.bench.clock.move(days=1)
        challenge = firm.issue()
        made, checked = firm.sign("li", challenge), firm.sign("wang", challenge)
        both = partial(hand_in, challenge=challenge.id, made=made, checked=checked)
        was_killed = killed_at(step, url, firm.bench, both)
        told = events(engine, challenge)
        try:
            kept = firm.desk.find(challenge.id)
        except ProposalUnknown:
            assert told == ["issued"]
            seen.add(None)
            firm.desk.propose(challenge.id, made)
        else:
            complete = kept.stage is Stage.COMPLETE
            seen.add(kept.stage)
            assert len(kept.endorsements) == (2 if complete else 1)
            assert (firm.state(challenge) is ChallengeState.CONSUMED) == complete
            assert ("accepted" in told) == complete
            counter = firm.bench.bank.token("US-wang").counter
            assert (kept.endorsements[-1].counter == counter) == complete
        if firm.desk.find(challenge.id).stage is Stage.OPEN:
            assert isinstance(firm.desk.approve(challenge.id, checked), ApprovedPayment)
        if not was_killed:
            break
    assert seen == {None, Stage.OPEN, Stage.COMPLETE}
    assert not was_killed
