"""Lost, stolen, revoked: at once at the bank, and at the CA as soon as that can be reached."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from sqlalchemy import Engine

from tests.bank.banking import TRUST, Bench, order
from tests.bank.killing import MOST_STEPS, killed_at
from tests.bank.lifecycle.desk import Desk, HeldToken, events
from ushield.bank import CertificateState, RejectionReason, TransactionRejected, Verifier
from ushield.bank.authorities import (
    CaOutcomeUnknown,
    CaRefused,
    CaUnavailable,
    RevocationReason,
)
from ushield.bank.lifecycle import Enrolment
from ushield.bank.lifecycle.revocations import RevocationRun, Revocations


class Ca:
    """The CA in the bank's database, while it fails as it is told to."""

    def __init__(self, embedded: Any) -> None:
        self.embedded = embedded
        self.problem: Exception | None = None
        self.asked = 0

    @property
    def chain(self) -> tuple[bytes, ...]:
        return ()

    issue: Any = None
    renew: Any = None
    release: Any = None

    def revoke(self, *arguments: Any, **named: Any) -> None:
        self.asked += 1
        if self.problem is not None:
            raise self.problem
        self.embedded.revoke(*arguments, **named)


def revocation_at_ca(desk: Desk, enrolled: Enrolment) -> Any:
    from cryptography import x509

    assert enrolled.certificate is not None
    number = x509.load_der_x509_certificate(enrolled.certificate).serial_number
    return desk.authority.certificate(number).revocation


def sha256_of(enrolled: Enrolment) -> bytes:
    assert enrolled.certificate_sha256 is not None
    return enrolled.certificate_sha256


def test_a_loss_counts_at_once_and_reaches_the_ca_when_it_is_there(
    desk: Desk, bench: Bench, engine: Engine
) -> None:
    token = HeldToken("US-1")
    enrolled = desk.enrol("alice", token)
    challenge = bench.bank.issue(order(), customer="alice")
    bench.bank.report_loss("US-1")
    signature = token.sign(challenge.message, enrolled.certificate)
    assert bench.refusal(challenge, signature) is RejectionReason.TOKEN_LOST
    ca = Ca(desk.authority)
    revocations = bench.bank.revocations(ca)
    (waiting,) = revocations.pending()
    assert (waiting.token, waiting.customer_id) == ("US-1", "alice")
    assert waiting.reason is RevocationReason.KEY_COMPROMISE
    for problem in (CaUnavailable("away"), CaOutcomeUnknown("no answer"), CaRefused("no")):
        ca.problem = problem
        run = revocations.run()
        assert run.done == ()
        assert [each.last_error for each in run.left] == [problem.code]
    assert run.left[0].attempts == 3
    ca.problem = None
    assert [each.token for each in revocations.run().done] == ["US-1"]
    assert revocations.pending() == []
    assert revocations.run() == RevocationRun((), ())
    assert revocation_at_ca(desk, enrolled).reason is RevocationReason.KEY_COMPROMISE
    assert events(engine)[-1] == ("certificate-revoked-at-ca", None)


def test_what_was_signed_before_a_loss_still_holds(desk: Desk, bench: Bench) -> None:
    token = HeldToken("US-1")
    enrolled = desk.enrol("alice", token)
    challenge = bench.bank.issue(order(), customer="alice")
    signature = token.sign(challenge.message, enrolled.certificate)
    accepted = bench.bank.accept(challenge.id, signature)
    bench.clock.move(hours=1)
    bench.bank.report_loss("US-1")
    bench.clock.move(hours=1)
    verifier = Verifier(TRUST, losses=bench.bank.losses)
    verifier.verify(signature, accepted.accepted_at)
    with pytest.raises(TransactionRejected) as caught:
        verifier.verify(signature, bench.clock())
    assert caught.value.reason is RejectionReason.TOKEN_LOST
    assert bench.bank.losses.lost_since("US-2") is None


def test_a_revoked_certificate_is_queued_with_its_reason_and_once(desk: Desk, bench: Bench) -> None:
    enrolled = desk.enrol("alice")
    revocations = bench.bank.revocations(desk.authority)
    bench.bank.change_certificate(sha256_of(enrolled), CertificateState.SUSPENDED)
    assert revocations.pending() == []
    bench.bank.change_certificate(
        sha256_of(enrolled), CertificateState.REVOKED, RevocationReason.AFFILIATION_CHANGED
    )
    bench.bank.report_loss("US-alice")
    (waiting,) = revocations.pending()
    assert waiting.reason is RevocationReason.AFFILIATION_CHANGED


def test_a_certificate_of_another_ca_does_not_wait_for_ever(
    desk: Desk, bench: Bench, engine: Engine
) -> None:
    bench.customer("bob")
    bench.bank.report_loss("US-bob")
    run = bench.bank.revocations(desk.authority).run()
    assert [each.token for each in run.done] == ["US-bob"]
    assert events(engine)[-1] == ("certificate-revoked-at-ca", "certificate-unknown")


def test_a_ca_that_is_away_is_asked_once_and_one_that_refuses_for_each(
    desk: Desk, bench: Bench
) -> None:
    for customer in ("alice", "bob", "carol"):
        desk.enrol(customer)
        bench.bank.report_loss(f"US-{customer}")
    ca = Ca(desk.authority)
    revocations = bench.bank.revocations(ca)
    ca.problem = CaUnavailable("away")
    assert len(revocations.run().left) == 3
    assert ca.asked == 1
    ca.problem = CaRefused("no")
    assert len(revocations.run().left) == 3
    assert ca.asked == 4


def test_a_token_that_is_lost_while_the_ca_works_has_its_certificate_revoked(
    bench: Bench,
) -> None:
    from tests.bank.lifecycle.test_enrolment import TOKEN, away, refusal, registered

    desk, ca = away(bench)
    ca.meanwhile = lambda: bench.bank.report_loss("US-1")
    refusal(desk, registered(desk).code, TOKEN.request(), TOKEN.attestation())
    (waiting,) = bench.bank.revocations(desk.authority).pending()
    assert bench.bank.certificate(waiting.certificate_sha256).state is CertificateState.REVOKED
    assert len(bench.bank.revocations(desk.authority).run().done) == 1


def test_a_replacement_keeps_the_customer_s_history(desk: Desk, bench: Bench) -> None:
    old, new = HeldToken("US-1"), HeldToken("US-2")
    lost = desk.enrol("alice", old)
    challenge = bench.bank.issue(order("A1"), customer="alice")
    bench.bank.accept(challenge.id, old.sign(challenge.message, lost.certificate))
    bench.bank.report_loss("US-1")
    code = desk.enrolments.register("alice", replaces="US-1").code
    enrolled = desk.enrolments.enrol(code, new.request(), new.attestation())
    desk.enrolments.confirm(enrolled.id, sha256_of(enrolled))
    # The lost one's reason stays the loss.
    reasons = {each.reason for each in bench.bank.revocations(desk.authority).pending()}
    assert reasons == {RevocationReason.KEY_COMPROMISE}
    assert [(each.serial, each.state) for each in bench.bank.tokens("alice")] == [
        ("US-1", "lost"),
        ("US-2", "active"),
    ]
    again = bench.bank.issue(order("A2"), customer="alice")
    signature = old.sign(again.message, lost.certificate)
    assert bench.refusal(again, signature) is RejectionReason.TOKEN_LOST
    bench.bank.accept(again.id, new.sign(again.message, enrolled.certificate))
    assert bench.bank.challenge(challenge.id).certificate_sha256 == sha256_of(lost)


def _run(own: Bench) -> None:
    own.bank.revocations(Desk.at(own).authority).run()


def test_telling_the_ca_goes_on_from_wherever_it_was_killed(
    url: str, bench: Bench, desk: Desk, engine: Engine
) -> None:
    revocations: Revocations = bench.bank.revocations(desk.authority)
    for step in range(MOST_STEPS):
        customer = f"c{step}"
        enrolled = desk.enrol(customer)
        bench.bank.report_loss(f"US-{customer}")
        was_killed = killed_at(step, url, bench, partial(_run))
        revocations.run()
        assert revocations.pending() == []
        assert revocation_at_ca(desk, enrolled).reason is RevocationReason.KEY_COMPROMISE
        if not was_killed:
            break
    assert not was_killed
    told = [event for event, _ in events(engine)]
    assert told.count("certificate-revoked-at-ca") == told.count("enrolment-issued")
