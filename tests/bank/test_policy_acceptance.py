"""A bank with a policy: what was paid counts in the transaction that accepts, once and for all."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Engine, select

from tests.bank.banking import TRUST, Bench, Holder, MovableClock, order
from tests.pki import NOW, Signer, authority, pem, receipt_for
from tests.transaction.strategies import PAYEE, PAYER, yuan
from ushield.algorithms import KeyAlgorithm
from ushield.bank import (
    AcceptedTransaction,
    BlindTransaction,
    Challenge,
    ChallengeState,
    RejectionReason,
    TransactionRejected,
    TrustStore,
    Verifier,
)
from ushield.bank.batch import verify_rows
from ushield.bank.policy import PolicyRefused, load_policy
from ushield.bank.spending import Spending
from ushield.bank.store.tables import audit_entry, spending
from ushield.bank.verifier import BlindToo
from ushield.cms import BlindStatement
from ushield.errors import TransactionInvalid
from ushield.transaction import Batch, BatchRow, Login, Transaction, parse_message

POLICY = load_policy("""
version = 1
[default]
kinds = ["login", "transfer", "batch"]
attestation = "optional"
payments_a_day = 5
[default.amount]
any = { CNY = "5000" }
[default.daily]
together = { CNY = "10000" }
[default.monthly]
together = { CNY = "15000" }
[default.blind]
kinds = ["transfer"]
amount = { CNY = "200" }
daily = { CNY = "300" }
[profile.company]
control = [{ checkers = 1 }]
proposal_hours = 100
[customer.tester]
virtual_tokens = ["US-tester"]
""")
LOGIN = Login(site="bank.example", customer="alice", challenge="draft")
SHANGHAI = ZoneInfo("Asia/Shanghai")
BLIND_CA = "Test Bank Blind CA"
VERIFIER = BlindToo(
    Verifier(
        TRUST,
        accept_virtual=True,
        accept_blind=TrustStore.load(pem(authority(BLIND_CA))),
    )
)


@pytest.fixture
def bench(url: str) -> Iterator[Bench]:
    # Ten at night in Shanghai: there the day ends before it does in UTC.
    clock = MovableClock(datetime(2026, 6, 2, 14, tzinfo=UTC))
    with Bench.open(url, clock, policy=POLICY, zone=SHANGHAI, verifier=VERIFIER) as bench:
        yield bench


def again(bench: Bench) -> Bench:
    return bench.again(policy=POLICY, zone=SHANGHAI, verifier=VERIFIER)


def pay(bench: Bench, holder: Holder, amount: str) -> AcceptedTransaction:
    challenge = bench.bank.issue(order(amount=yuan(amount)), customer=holder.customer)
    return bench.bank.accept(challenge.id, holder.sign(challenge.message))


def refused(work: Callable[[], object]) -> tuple[str, ...]:
    with pytest.raises(PolicyRefused) as caught:
        work()
    assert caught.value.reason is RejectionReason.POLICY_REFUSED
    return caught.value.rules


def rows(engine: Engine) -> list[tuple[Any, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(select(spending))]


def test_a_day_s_sum_is_over_at_the_bank_s_midnight(bench: Bench) -> None:
    alice = bench.customer()
    pay(bench, alice, "5000.00")
    pay(bench, alice, "4999.99")
    assert refused(lambda: pay(bench, alice, "0.02")) == ("daily-total-over-limit",)
    pay(bench, alice, "0.01")
    bench.clock.move(hours=2, seconds=-1)
    assert refused(lambda: pay(bench, alice, "0.01")) == ("daily-total-over-limit",)
    bench.clock.move(seconds=1)
    pay(bench, alice, "5000.00")


def test_a_month_s_sum_is_over_with_the_month(bench: Bench) -> None:
    alice = bench.customer()
    for _ in range(3):
        pay(bench, alice, "5000.00")
        bench.clock.move(days=1)
    assert refused(lambda: pay(bench, alice, "1.00")) == ("monthly-total-over-limit",)
    bench.clock.at = datetime(2026, 6, 30, 16, tzinfo=UTC)
    pay(bench, alice, "1.00")


def test_payments_are_counted_and_logins_are_none(bench: Bench) -> None:
    alice = bench.customer()
    for _ in range(5):
        pay(bench, alice, "1.00")
    assert refused(lambda: pay(bench, alice, "1.00")) == ("daily-count-over-limit",)
    login = bench.bank.issue(
        Login(site="bank.example", customer="alice", challenge="draft"), customer="alice"
    )
    bench.bank.accept(login.id, alice.sign(login.message))
    bob = bench.customer("bob")
    pay(bench, bob, "1.00")


def test_what_was_refused_is_not_counted_and_its_rules_are_in_the_log(
    bench: Bench, engine: Engine
) -> None:
    alice = bench.customer()
    challenge = bench.bank.issue(order(amount=yuan("5000.01")), customer="alice")
    signature = alice.sign(challenge.message)
    assert refused(lambda: bench.bank.accept(challenge.id, signature)) == ("amount-over-limit",)
    assert bench.bank.challenge(challenge.id).state is ChallengeState.ISSUED
    assert rows(engine) == []
    with engine.connect() as connection:
        entry = connection.execute(select(audit_entry).order_by(audit_entry.c.id.desc())).first()
    assert entry is not None
    assert (entry.event, entry.reason) == ("rejected", "policy-refused")
    body = json.loads(entry.body)
    assert (body["rules"], body["policy"]) == ("amount-over-limit", POLICY.digest)


def test_what_is_accepted_in_one_commit_counts_for_the_next_in_it(
    bench: Bench, engine: Engine
) -> None:
    alice, bob = bench.customer("alice"), bench.customer("bob")
    issued = [
        (holder, bench.bank.issue(order(amount=yuan("4000.00")), customer=holder.customer))
        for holder in (alice, bob, alice, alice)
    ]
    outcomes = bench.bank.accept_many(
        [(each.id, holder.sign(each.message)) for holder, each in issued]
    )
    told = [each.rule if isinstance(each, PolicyRefused) else None for each in outcomes]
    assert told == [None, None, None, "daily-total-over-limit"]
    assert sorted((row[0], row[5], row[6]) for row in rows(engine)) == [
        ("alice", 800000, 2),
        ("bob", 400000, 1),
    ]


@pytest.mark.parametrize("repetition", range(3))
def test_of_payments_that_race_no_more_pass_than_the_limit_allows(
    bench: Bench, engine: Engine, repetition: int
) -> None:
    # Tokens of their own: only the customer's sum is common to them.
    holders = [bench.customer(token=f"US-{number}") for number in range(6)]
    issued = [bench.bank.issue(order(amount=yuan("4000.00")), customer="alice") for _ in holders]
    banks = [again(bench) for _ in range(3)]

    def accept(number: int) -> str:
        signature = holders[number].sign(issued[number].message)
        try:
            banks[number % 3].bank.accept(issued[number].id, signature)
        except PolicyRefused as refusal:
            return refusal.rule
        return "accepted"

    with ThreadPoolExecutor(6) as threads:
        outcomes = sorted(threads.map(accept, range(6)))
    assert outcomes == ["accepted"] * 2 + ["daily-total-over-limit"] * 4
    assert [(row[5], row[6]) for row in rows(engine)] == [(800000, 2)]
    for each in banks:
        each.bank.close()


def blind_holder(bench: Bench, name: str = "alice") -> Holder:
    signer = Signer.issued(KeyAlgorithm.P256, subject=name, issuer=BLIND_CA)
    bench.bank.add_customer(name)
    bench.bank.enrol(name, signer.der, token="PIV-1")
    return Holder(name, "PIV-1", signer)


def sign_blindly(holder: Holder, challenge: Challenge, **changes: Any) -> bytes:
    statement = BlindStatement("PIV-1", "PIV card", "piv")
    return holder.signer.sign(challenge.message, dataclasses.replace(statement, **changes))


def test_what_no_screen_showed_is_paid_within_limits_of_its_own(bench: Bench) -> None:
    alice = blind_holder(bench)

    def pay_blindly(transaction: Transaction) -> AcceptedTransaction:
        challenge = bench.bank.issue(transaction, customer="alice")
        return bench.bank.accept(challenge.id, sign_blindly(alice, challenge))

    accepted = pay_blindly(order(amount=yuan("200.00")))
    assert isinstance(accepted.verified, BlindTransaction)
    assert accepted.token_serial == "PIV-1"
    over = order(amount=yuan("200.01"))
    assert refused(lambda: pay_blindly(over)) == (
        "blind-amount-over-limit",
        "blind-total-over-limit",
    )
    assert refused(lambda: pay_blindly(order(amount=yuan("100.01")))) == ("blind-total-over-limit",)
    assert refused(lambda: pay_blindly(LOGIN)) == ("press-required",)
    pay_blindly(order(amount=yuan("100.00")))


def test_a_blind_signature_is_accepted_once_and_by_no_bank_without_a_policy(bench: Bench) -> None:
    alice = blind_holder(bench)
    challenge = bench.bank.issue(order(amount=yuan("1.00")), customer="alice")
    signature = sign_blindly(alice, challenge)
    with bench.again(verifier=VERIFIER) as careless:
        assert careless.refusal(challenge, signature) is RejectionReason.BLIND_SIGNATURE
    bench.bank.accept(challenge.id, signature)
    assert bench.refusal(challenge, signature) is RejectionReason.CHALLENGE_REPLAYED
    assert bench.bank.token("PIV-1").counter == 0


def test_a_lost_card_signs_nothing_though_its_host_may_call_it_by_any_name(bench: Bench) -> None:
    alice = blind_holder(bench)
    challenge = bench.bank.issue(order(amount=yuan("1.00")), customer="alice")
    bench.bank.report_loss("PIV-1")
    signature = sign_blindly(alice, challenge, serial="another")
    assert bench.refusal(challenge, signature) is RejectionReason.TOKEN_LOST


def test_virtual_tokens_sign_only_where_the_policy_names_them(bench: Bench) -> None:
    alice, tester = bench.customer("alice"), bench.customer("tester")

    def pay_virtually(holder: Holder) -> AcceptedTransaction:
        challenge = bench.issue(holder)
        receipt = dataclasses.replace(
            receipt_for(challenge.message), serial=holder.token, counter=1, virtual=True
        )
        return bench.bank.accept(challenge.id, holder.signer.sign(challenge.message, receipt))

    assert refused(lambda: pay_virtually(alice)) == ("virtual-token",)
    assert pay_virtually(tester).token_serial == "US-tester"


def test_a_batch_is_accepted_with_the_rows_that_were_signed(bench: Bench) -> None:
    alice = bench.customer()
    wages = [BatchRow(PAYEE, yuan("1")), BatchRow(PAYEE, yuan("2.50"))]
    batch = Batch.of_rows(wages, payer=PAYER, challenge="draft")
    challenge, other = (bench.bank.issue(batch, customer="alice") for _ in range(2))
    signature = alice.sign(challenge.message)
    assert refused(lambda: bench.bank.accept(challenge.id, signature)) == ("batch-rows-unchecked",)
    with verify_rows(parse_message(other.message), wages) as wrong:
        with pytest.raises(TransactionRejected) as caught:
            bench.bank.accept(challenge.id, signature, rows=wrong)
        assert caught.value.reason is RejectionReason.BATCH_MISMATCH
    with verify_rows(parse_message(challenge.message), wages) as signed:
        bench.bank.accept(challenge.id, signature, rows=signed)


def test_a_challenge_lives_longer_than_a_day_only_where_checkers_are_waited_for(
    bench: Bench,
) -> None:
    bench.bank.add_customer("firm", profile="company")
    bench.bank.add_customer("alice")
    draft = order(amount=yuan("1.00"))
    long = bench.bank.issue(draft, customer="firm")
    assert long.expires_at - bench.clock.at == timedelta(hours=100)
    bench.bank.issue(draft, customer="firm", lifetime=timedelta(hours=99))
    for customer, hours in (("firm", 101), ("alice", 25)):
        with pytest.raises(TransactionInvalid, match="expires"):
            bench.bank.issue(draft, customer=customer, lifetime=timedelta(hours=hours))
    signature = bench.customer("bob").sign(long.message)
    assert bench.refusal(long, signature) is RejectionReason.CUSTOMER_MISMATCH


def test_one_signature_of_a_company_is_not_enough(bench: Bench) -> None:
    bench.bank.add_customer("firm", "Firm", profile="company")
    signer = Signer.issued(KeyAlgorithm.P256, subject="wang")
    bench.bank.enrol("firm", signer.der, token="US-1")
    bench.bank.assign("US-1", "wang")
    holder = Holder("firm", "US-1", signer)
    assert refused(lambda: pay(bench, holder, "1.00")) == ("approvals-missing",)
    bench.bank.change_profile("firm", "nonsense")
    assert refused(lambda: pay(bench, holder, "1.00")) == ("profile-unknown",)
    bench.bank.change_profile("firm", None)
    assert pay(bench, holder, "1.00").customer_id == "firm"


def test_sums_stay_exact_and_never_run_over_their_column(bench: Bench, engine: Engine) -> None:
    def add(count: int) -> Decimal:
        def work(connection: Any) -> Decimal:
            found = Spending.lock(connection, ["alice"], NOW.date())
            for _ in range(count):
                found.add("alice", order(amount=yuan("999999999999999.99")), is_blind=False)
            found.write(connection)
            return next(iter(found.paid("alice").today.by_kind.values()))[yuan("1").currency]

        return bench.bank.store.write(work)

    bench.bank.add_customer("alice")
    assert add(3) == Decimal("2999999999999999.97")
    assert add(90) == add(9) == Decimal(2**63 - 1) / 100
