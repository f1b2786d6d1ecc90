"""A policy as the guard of a bank on its database: what it refuses uses nothing up."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from sqlalchemy import Connection

from tests.bank.banking import Bench
from tests.bank.payments import POLICY, attestation
from ushield.bank import Acceptance, AcceptedTransaction, ChallengeState
from ushield.bank.policy import (
    CustomerFacts,
    PaymentFacts,
    Policy,
    PolicyRefused,
    SignatureFacts,
    load_policy,
)

LAX = replace(POLICY, default=replace(POLICY.default, daily={}, monthly={}))
STRICT = load_policy('version = 1\n[default]\nkinds = ["transfer"]\namount.any.CNY = "1000"')


class Counter:
    """A guard by a policy that can be replaced, which counts how often it was asked."""

    def __init__(self) -> None:
        self.policy: Policy = LAX
        self.profile: str | None = None

    def __call__(self, acceptance: Acceptance, connection: Connection) -> None:
        signature = SignatureFacts.of(
            acceptance.verified,
            person=acceptance.customer_id,
            token=acceptance.token_serial,
            attestation=attestation(acceptance.token_serial),
            last_counter=acceptance.last_counter,
        )
        self.policy.approve(
            PaymentFacts(
                customer=CustomerFacts(acceptance.customer_id, self.profile),
                transaction=acceptance.verified.transaction,
                at=acceptance.at,
                signatures=(signature,),
            )
        )


@pytest.fixture
def guard() -> Counter:
    return Counter()


@pytest.fixture
def guarded(sqlite_url: str, guard: Counter) -> Iterator[Bench]:
    with Bench.open(sqlite_url, guards=[guard]) as bench:
        yield bench


def test_what_the_policy_refuses_may_be_accepted_later_by_the_same_signature(
    guarded: Bench, guard: Counter
) -> None:
    alice = guarded.customer()
    challenge = guarded.issue(alice)
    signature = alice.sign(challenge.message)
    guard.policy = STRICT
    with pytest.raises(PolicyRefused) as caught:
        guarded.bank.accept(challenge.id, signature)
    assert caught.value.rules == ("amount-over-limit",)
    assert guarded.bank.challenge(challenge.id).state is ChallengeState.ISSUED
    guard.policy = LAX
    assert isinstance(guarded.bank.accept(challenge.id, signature), AcceptedTransaction)


def test_one_signature_alone_never_passes_where_checkers_are_wanted(
    guarded: Bench, guard: Counter
) -> None:
    alice = guarded.customer()
    guard.profile = "company"
    challenge = guarded.issue(alice)
    with pytest.raises(PolicyRefused) as caught:
        guarded.bank.accept(challenge.id, alice.sign(challenge.message))
    assert caught.value.rule == "approvals-missing"
    assert guarded.bank.challenge(challenge.id).state is ChallengeState.ISSUED
