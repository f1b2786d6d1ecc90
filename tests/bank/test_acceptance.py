"""A signature is accepted once, against its own challenge, or refused with a reason of its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from hashlib import sha256

import pytest
from sqlalchemy import Connection, Engine, select

from tests.bank.banking import Bench, order
from tests.pki import NOW
from ushield.bank import (
    Acceptance,
    AcceptedTransaction,
    CertificateState,
    ChallengeState,
    RejectionReason,
    TransactionRejected,
)
from ushield.bank.store.tables import audit_entry, customer
from ushield.transaction import Transfer, write_message


def test_what_was_issued_and_signed_is_accepted_and_kept(bench: Bench) -> None:
    alice = bench.customer()
    challenge = bench.issue(alice, "A1")
    signature = alice.sign(challenge.message)
    accepted = bench.bank.accept(challenge.id, signature)
    assert accepted.transaction == challenge.transaction
    assert (accepted.customer_id, accepted.token_serial) == ("alice", "US-alice")
    assert (accepted.challenge_id, accepted.accepted_at) == (challenge.id, NOW)
    kept = bench.bank.challenge(challenge.id)
    assert kept.state is ChallengeState.CONSUMED
    assert (kept.message, kept.signature) == (challenge.message, signature)
    assert kept.certificate_sha256 == sha256(alice.signer.der).digest()
    assert (kept.counter, kept.decided_at) == (1, NOW)
    assert bench.bank.token("US-alice").counter == 1


def test_a_replay_is_refused_even_of_the_very_bytes(bench: Bench) -> None:
    alice = bench.customer()
    challenge = bench.issue(alice)
    signature = alice.sign(challenge.message)
    bench.bank.accept(challenge.id, signature)
    assert bench.refusal(challenge, signature) is RejectionReason.CHALLENGE_REPLAYED
    again = alice.sign(challenge.message)
    assert bench.refusal(challenge, again) is RejectionReason.CHALLENGE_REPLAYED
    assert bench.bank.challenge(challenge.id).signature == signature


def test_a_signature_in_time_is_accepted_and_a_late_one_is_not(bench: Bench) -> None:
    alice = bench.customer()
    early = bench.issue(alice, lifetime=timedelta(seconds=60))
    late = bench.issue(alice, lifetime=timedelta(seconds=60))
    signatures = [alice.sign(each.message) for each in (early, late)]
    bench.clock.move(seconds=60, microseconds=-1)
    bench.bank.accept(early.id, signatures[0])
    bench.clock.move(microseconds=1)
    assert bench.refusal(late, signatures[1]) is RejectionReason.CHALLENGE_EXPIRED
    assert bench.bank.challenge(late.id).state is ChallengeState.EXPIRED


def test_a_signature_for_another_challenge_and_for_other_bytes_are_told_apart(bench: Bench) -> None:
    alice = bench.customer()
    one, other = bench.issue(alice), bench.issue(alice)
    assert bench.refusal(one, alice.sign(other.message)) is RejectionReason.CHALLENGE_MISMATCH
    assert isinstance(one.transaction, Transfer)
    changed = write_message(dataclasses.replace(one.transaction, memo="别的"))
    assert bench.refusal(one, alice.sign(changed)) is RejectionReason.CONTENT_MISMATCH
    longer = write_message(
        dataclasses.replace(one.transaction, expires=one.expires_at + timedelta(hours=1))
    )
    assert bench.refusal(one, alice.sign(longer)) is RejectionReason.CONTENT_MISMATCH
    # None of it used anything up.
    bench.bank.accept(one.id, alice.sign(one.message))
    bench.bank.accept(other.id, alice.sign(other.message))


@pytest.mark.parametrize("identifier", ["0" * 32, "", "nonsense", "x" * 1000, "0' OR '1'='1"])
def test_a_challenge_that_was_never_issued_is_unknown(bench: Bench, identifier: str) -> None:
    alice = bench.customer()
    challenge = bench.issue(alice)
    signature = alice.sign(challenge.message)
    assert bench.refusal(identifier, signature) is RejectionReason.CHALLENGE_UNKNOWN


def test_one_customer_cannot_sign_what_another_was_asked(bench: Bench) -> None:
    alice, bob = bench.customer("alice"), bench.customer("bob")
    challenge = bench.issue(alice)
    assert (
        bench.refusal(challenge, bob.sign(challenge.message)) is RejectionReason.CUSTOMER_MISMATCH
    )
    bench.bank.accept(challenge.id, alice.sign(challenge.message))


def test_a_certificate_that_is_not_enrolled_signs_nothing_though_its_issuer_is_trusted(
    bench: Bench,
) -> None:
    alice = bench.customer()
    challenge = bench.issue(alice)
    stranger = dataclasses.replace(alice, signer=type(alice.signer).issued(subject="mallory"))
    reason = bench.refusal(challenge, stranger.sign(challenge.message))
    assert reason is RejectionReason.CERTIFICATE_NOT_ENROLLED


def test_a_receipt_of_another_token_than_the_certificate_s_is_refused(bench: Bench) -> None:
    alice = bench.customer()
    challenge = bench.issue(alice)
    elsewhere = dataclasses.replace(alice, token="US-other")
    reason = bench.refusal(challenge, elsewhere.sign(challenge.message))
    assert reason is RejectionReason.TOKEN_MISMATCH


def test_a_signature_that_does_not_hold_uses_nothing_up(bench: Bench) -> None:
    alice = bench.customer()
    challenge = bench.issue(alice)
    good = alice.sign(challenge.message)
    bad = good[:-1] + bytes([good[-1] ^ 1])
    assert bench.refusal(challenge, bad) is RejectionReason.SIGNATURE_INVALID
    assert bench.refusal(challenge, b"") is RejectionReason.NOT_DER
    bench.bank.accept(challenge.id, good)


def test_a_withdrawn_challenge_takes_no_signature(bench: Bench) -> None:
    alice = bench.customer()
    challenge = bench.issue(alice)
    assert bench.bank.withdraw(challenge.id).state is ChallengeState.VOID
    assert bench.refusal(challenge, alice.sign(challenge.message)) is RejectionReason.CHALLENGE_VOID


def test_a_lost_token_signs_nothing_from_the_report_on(bench: Bench) -> None:
    alice = bench.customer()
    challenge = bench.issue(alice)
    signature = alice.sign(challenge.message)
    with bench.again() as other:
        other.bank.report_loss("US-alice")
    assert bench.refusal(challenge, signature) is RejectionReason.TOKEN_LOST
    assert RejectionReason.TOKEN_LOST.is_trust


def test_a_suspended_certificate_signs_nothing_until_it_is_resumed(bench: Bench) -> None:
    alice = bench.customer()
    challenge = bench.issue(alice)
    signature = alice.sign(challenge.message)
    digest = sha256(alice.signer.der).digest()
    bench.bank.change_certificate(digest, CertificateState.SUSPENDED)
    assert bench.refusal(challenge, signature) is RejectionReason.CERTIFICATE_SUSPENDED
    bench.bank.change_certificate(digest, CertificateState.ACTIVE)
    bench.bank.accept(challenge.id, signature)


def test_a_revoked_certificate_signs_nothing_for_good(bench: Bench) -> None:
    alice = bench.customer()
    challenge = bench.issue(alice)
    digest = sha256(alice.signer.der).digest()
    bench.bank.change_certificate(digest, CertificateState.REVOKED)
    assert (
        bench.refusal(challenge, alice.sign(challenge.message))
        is RejectionReason.CERTIFICATE_REVOKED
    )


def test_a_counter_that_repeats_or_goes_back_is_refused_and_remembered(bench: Bench) -> None:
    alice = bench.customer()
    first, second = bench.issue(alice), bench.issue(alice)
    bench.bank.accept(first.id, alice.sign(first.message, counter=5))
    copied = alice.sign(second.message, counter=5)
    assert bench.refusal(second, copied) is RejectionReason.COUNTER_REPEATED
    bench.clock.move(seconds=1)
    older = alice.sign(second.message, counter=4)
    assert bench.refusal(second, older) is RejectionReason.COUNTER_WENT_BACK
    token = bench.bank.token("US-alice")
    assert (token.counter, token.alarms, token.alarmed_at) == (5, 2, bench.clock.at)
    bench.bank.accept(second.id, alice.sign(second.message, counter=9))
    assert bench.bank.token("US-alice").counter == 9


def test_a_replay_is_no_alarm(bench: Bench) -> None:
    alice = bench.customer()
    challenge = bench.issue(alice)
    signature = alice.sign(challenge.message)
    bench.bank.accept(challenge.id, signature)
    bench.refusal(challenge, signature)
    assert bench.bank.token("US-alice").alarms == 0


def test_a_rule_of_the_bank_s_own_refuses_and_uses_nothing_up(bench: Bench) -> None:
    alice = bench.customer()
    challenge = bench.issue(alice)
    asked: list[Acceptance] = []

    def refuse(acceptance: Acceptance, connection: Connection) -> None:
        asked.append(acceptance)
        assert connection.scalar(select(customer.c.name)) == "Alice"
        raise TransactionRejected("not today", reason=RejectionReason.ALGORITHM_REFUSED)

    signature = alice.sign(challenge.message)
    with bench.again(guards=[refuse]) as strict:
        assert strict.refusal(challenge, signature) is RejectionReason.ALGORITHM_REFUSED
    assert (asked[0].customer_id, asked[0].token_serial) == ("alice", "US-alice")
    bench.bank.accept(challenge.id, signature)


def test_many_are_accepted_in_one_commit_each_with_its_outcome(bench: Bench) -> None:
    alice, bob = bench.customer("alice"), bench.customer("bob")
    ours = [bench.issue(alice) for _ in range(3)]
    theirs = bench.issue(bob)
    good = [alice.sign(each.message) for each in ours]
    presented = [
        (ours[1].id, good[1]),
        (ours[0].id, good[0]),
        (ours[0].id, good[0]),
        (theirs.id, alice.sign(theirs.message)),
        (theirs.id, bob.sign(theirs.message)),
        ("0" * 32, good[2]),
        (ours[2].id, b"rubbish"),
    ]
    outcomes = bench.bank.accept_many(presented)
    told = [each.reason if isinstance(each, TransactionRejected) else None for each in outcomes]
    assert told == [
        None,
        None,
        RejectionReason.CHALLENGE_REPLAYED,
        RejectionReason.CUSTOMER_MISMATCH,
        None,
        RejectionReason.CHALLENGE_UNKNOWN,
        RejectionReason.NOT_DER,
    ]
    assert bench.bank.challenge(ours[2].id).state is ChallengeState.ISSUED
    assert bench.bank.token("US-alice").counter == 2
    assert bench.bank.accept_many([]) == []


def test_of_many_at_once_one_wins(bench: Bench) -> None:
    alice = bench.customer()
    challenge = bench.issue(alice)
    signatures = [alice.sign(challenge.message) for _ in range(16)]
    banks = [bench.again() for _ in range(4)]

    def present(number: int) -> RejectionReason | None:
        try:
            banks[number % 4].bank.accept(challenge.id, signatures[number])
        except TransactionRejected as rejected:
            return rejected.reason
        return None

    with ThreadPoolExecutor(16) as threads:
        reasons = list(threads.map(present, range(16)))
    assert sorted(map(str, reasons)) == ["None"] + ["challenge-replayed"] * 15
    for each in banks:
        each.bank.close()


def test_overlapping_batches_of_shared_tokens_take_each_challenge_once(bench: Bench) -> None:
    holders = [bench.customer(f"c{number}") for number in range(4)]
    issued = [(holder, bench.issue(holder)) for holder in holders for _ in range(6)]
    pairs = [(each.id, holder.sign(each.message)) for holder, each in issued]
    orders = [pairs, pairs[::-1], pairs[12:] + pairs[:12], pairs[::2] + pairs[1::2]]
    banks = [bench.again() for _ in orders]

    def present(number: int) -> list[str]:
        outcomes = banks[number].bank.accept_many(orders[number])
        return [each.challenge_id for each in outcomes if isinstance(each, AcceptedTransaction)]

    with ThreadPoolExecutor(len(orders)) as threads:
        won = [each for batch in threads.map(present, range(len(orders))) for each in batch]
    assert sorted(won) == sorted(each.id for _, each in issued)
    for each in banks:
        each.bank.close()


def test_what_happens_between_reading_and_writing_is_noticed(postgresql_url: str) -> None:
    # SQLite lets nobody in between.
    with Bench.open(postgresql_url) as bench:
        alice = bench.customer()
        taken, lost = bench.issue(alice), bench.issue(alice)
        first, second, third = (alice.sign(each.message) for each in (taken, taken, lost))
        between: list[Callable[[], object]] = [
            lambda: bench.bank.accept(taken.id, first),
            lambda: bench.bank.report_loss("US-alice"),
        ]

        def interfere(acceptance: Acceptance, connection: Connection) -> None:
            if between:
                between.pop(0)()

        with bench.again(guards=[interfere]) as late:
            assert late.refusal(taken, second) is RejectionReason.CHALLENGE_REPLAYED
            assert late.refusal(lost, third) is RejectionReason.TOKEN_LOST
        assert bench.bank.challenge(taken.id).signature == first


def test_a_challenge_alone_is_guarded_too(postgresql_url: str) -> None:
    with Bench.open(postgresql_url) as bench:
        alice = bench.customer()
        challenge = bench.issue(alice)
        signature = alice.sign(challenge.message)

        def interfere(acceptance: Acceptance, connection: Connection) -> None:
            if bench.bank.challenge(challenge.id).state is ChallengeState.ISSUED:
                bench.bank.withdraw(challenge.id)

        with bench.again(guards=[interfere]) as late:
            assert late.refusal(challenge, signature) is RejectionReason.CHALLENGE_VOID


def test_every_decision_is_in_the_log_and_in_the_order_it_was_made(
    bench: Bench, engine: Engine
) -> None:
    alice = bench.customer()
    challenge = bench.issue(alice, "A1")
    bench.refusal(challenge, b"")
    bench.bank.accept(challenge.id, alice.sign(challenge.message))
    spare = bench.bank.issue(order("A2"), customer="alice")
    bench.bank.withdraw(spare.id)
    bench.bank.report_loss("US-alice")
    with engine.connect() as connection:
        entries = connection.execute(select(audit_entry).order_by(audit_entry.c.id)).all()
    assert [(each.event, each.reason, each.challenge_id) for each in entries] == [
        ("customer-added", None, None),
        ("certificate-enrolled", None, None),
        ("issued", None, challenge.id),
        ("rejected", "not-der", challenge.id),
        ("accepted", None, challenge.id),
        ("issued", None, spare.id),
        ("withdrawn", None, spare.id),
        ("token-lost", None, None),
    ]
    assert {each.customer_id for each in entries} == {"alice"}
    for each in entries:
        assert sha256(each.salt + each.body.encode()).digest() == each.digest
