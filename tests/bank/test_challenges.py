"""A challenge asks one customer for one transaction, and one order is asked for once."""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from tests.bank.banking import Bench, order
from tests.pki import NOW
from tests.transaction.strategies import EXAMPLES
from ushield.bank import (
    ChallengeSettled,
    ChallengeState,
    ChallengeUnknown,
    CustomerUnknown,
    DuplicateOrder,
)
from ushield.errors import TransactionInvalid
from ushield.transaction import ShopPayment, Transaction, parse_message


@pytest.mark.parametrize("draft", EXAMPLES, ids=lambda draft: type(draft).__name__)
def test_a_challenge_is_the_draft_with_an_id_and_an_expiry_of_the_bank_s(
    bench: Bench, draft: Transaction
) -> None:
    bench.customer()
    draft = dataclasses.replace(draft, expires=None)
    challenge = bench.bank.issue(draft, customer="alice", lifetime=timedelta(seconds=90))
    assert challenge.transaction == dataclasses.replace(
        draft, challenge=challenge.id, expires=challenge.expires_at
    )
    assert parse_message(challenge.message).transaction == challenge.transaction
    assert len(bytes.fromhex(challenge.id)) == 16
    assert (challenge.issued_at, challenge.expires_at) == (NOW, NOW + timedelta(seconds=90))
    kept = bench.bank.challenge(challenge.id)
    assert (kept.state, kept.message, kept.customer_id) == (
        ChallengeState.ISSUED,
        challenge.message,
        "alice",
    )


def test_ids_are_never_the_same(bench: Bench) -> None:
    alice = bench.customer()
    assert len({bench.issue(alice).id for _ in range(20)}) == 20


def test_a_lifetime_ends_on_a_whole_second_and_is_not_cut_short(bench: Bench) -> None:
    alice = bench.customer()
    bench.clock.move(microseconds=1)
    challenge = bench.issue(alice, lifetime=timedelta(seconds=10))
    assert challenge.expires_at == NOW + timedelta(seconds=11)


def test_a_draft_s_own_expiry_is_kept_if_it_lies_in_the_near_future(bench: Bench) -> None:
    bench.customer()
    soon = dataclasses.replace(order(), expires=NOW + timedelta(hours=2))
    assert bench.bank.issue(soon, customer="alice").expires_at == NOW + timedelta(hours=2)
    for wrong in (NOW, NOW - timedelta(1), NOW + timedelta(days=1, seconds=1)):
        with pytest.raises(TransactionInvalid) as caught:
            bench.bank.issue(dataclasses.replace(order(), expires=wrong), customer="alice")
        assert caught.value.field == "expires"
    for lifetime in (timedelta(0), timedelta(days=2)):
        with pytest.raises(TransactionInvalid):
            bench.bank.issue(order(), customer="alice", lifetime=lifetime)


def test_who_is_no_customer_is_asked_nothing(bench: Bench) -> None:
    with pytest.raises(CustomerUnknown):
        bench.bank.issue(order(), customer="nobody")


def test_an_order_stands_in_one_live_challenge(bench: Bench) -> None:
    alice, bob = bench.customer("alice"), bench.customer("bob")
    first = bench.issue(alice, "A1")
    with pytest.raises(DuplicateOrder) as caught:
        bench.issue(alice, "A1")
    assert (caught.value.challenge, caught.value.state) == (first.id, "issued")
    bench.issue(alice, "A2")
    bench.issue(bob, "A1")


def test_an_order_that_was_accepted_is_never_asked_for_again(bench: Bench) -> None:
    alice = bench.customer()
    first = bench.issue(alice, "A1")
    bench.bank.accept(first.id, alice.sign(first.message))
    bench.clock.move(days=400)
    for repeat in (False, True):
        with pytest.raises(DuplicateOrder) as caught:
            bench.issue(alice, "A1", repeat=repeat)
        assert (caught.value.challenge, caught.value.state) == (first.id, "consumed")


def test_an_order_is_free_again_once_its_challenge_expired_or_was_withdrawn(bench: Bench) -> None:
    alice = bench.customer()
    first = bench.issue(alice, "A1", lifetime=timedelta(seconds=10))
    bench.clock.move(seconds=10)
    second = bench.issue(alice, "A1")
    assert bench.bank.challenge(first.id).state is ChallengeState.EXPIRED
    bench.bank.withdraw(second.id)
    bench.issue(alice, "A1")


def test_a_challenge_replaced_after_its_time_is_dead_for_a_process_whose_clock_is_behind(
    bench: Bench,
) -> None:
    alice = bench.customer()
    first = bench.issue(alice, "A1", lifetime=timedelta(seconds=10))
    bench.clock.move(seconds=10)
    bench.issue(alice, "A1")
    bench.clock.move(seconds=-5)
    assert bench.refusal(first, alice.sign(first.message)).value == "challenge-expired"


def test_the_same_draft_may_be_asked_for_again_by_choice(bench: Bench) -> None:
    alice = bench.customer()
    first = bench.issue(alice, "A1", repeat=True)
    bench.clock.move(seconds=5)
    again = bench.issue(alice, "A1", repeat=True)
    assert again == dataclasses.replace(first, repeated=True)
    with pytest.raises(DuplicateOrder):
        bench.bank.issue(order("A1", memo="别的"), customer="alice", repeat=True)


def test_the_numbers_of_two_shops_do_not_collide(bench: Bench) -> None:
    bench.customer()
    (shop,) = (each for each in EXAMPLES if isinstance(each, ShopPayment))
    shop = dataclasses.replace(shop, expires=None)
    bench.bank.issue(shop, customer="alice")
    bench.bank.issue(dataclasses.replace(shop, merchant="另一家店"), customer="alice")
    with pytest.raises(DuplicateOrder):
        bench.bank.issue(shop, customer="alice")


def test_of_many_that_ask_for_an_order_at_once_one_gets_a_challenge(bench: Bench) -> None:
    alice = bench.customer()
    banks = [bench.again() for _ in range(4)]

    def ask(number: int) -> str | None:
        try:
            return banks[number % 4].issue(alice, "A1").id
        except DuplicateOrder:
            return None

    with ThreadPoolExecutor(12) as threads:
        issued = [each for each in threads.map(ask, range(12)) if each]
    assert len(issued) == 1
    for each in banks:
        each.bank.close()


def test_what_has_ended_cannot_be_withdrawn(bench: Bench) -> None:
    alice = bench.customer()
    used, late = bench.issue(alice), bench.issue(alice, lifetime=timedelta(seconds=10))
    bench.bank.accept(used.id, alice.sign(used.message))
    bench.clock.move(seconds=10)
    for challenge, state in ((used, "consumed"), (late, "expired")):
        with pytest.raises(ChallengeSettled) as caught:
            bench.bank.withdraw(challenge.id)
        assert caught.value.state == state
    for look in (bench.bank.withdraw, bench.bank.challenge):
        with pytest.raises(ChallengeUnknown):
            look("0" * 32)
