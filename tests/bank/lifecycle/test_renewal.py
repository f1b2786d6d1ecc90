"""A new certificate before the old one ends: the old key authorises it, on the screen."""

from __future__ import annotations

from functools import partial

import pytest
from cryptography import x509
from sqlalchemy import Engine

from tests.bank.banking import Bench, order
from tests.bank.killing import MOST_STEPS, killed_at
from tests.bank.lifecycle.desk import Desk, HeldToken, events
from ushield.bank import CertificateState, CertificateUnknown, RejectionReason
from ushield.bank.authorities import RevocationReason
from ushield.bank.lifecycle import (
    Enrolment,
    EnrolmentReason,
    EnrolmentRefused,
    EnrolmentSettled,
    EnrolmentState,
    Renewal,
)
from ushield.transaction import CertificateRenewal


def sha256_of(enrolled: Enrolment) -> bytes:
    assert enrolled.certificate_sha256 is not None
    return enrolled.certificate_sha256


def begun(desk: Desk, old: Enrolment, key: HeldToken) -> Renewal:
    return desk.enrolments.begin_renewal(sha256_of(old), key.request(), key.attestation())


def refusal(desk: Desk, old: Enrolment, key: HeldToken) -> EnrolmentReason:
    with pytest.raises(EnrolmentRefused) as caught:
        begun(desk, old, key)
    return caught.value.reason


def authorised(desk: Desk, renewal: Renewal, token: HeldToken, old: Enrolment) -> None:
    signature = token.sign(renewal.challenge.message, old.certificate)
    desk.bench.bank.accept(renewal.challenge.id, signature)


def renewed(desk: Desk, token: HeldToken, old: Enrolment, key: HeldToken) -> Enrolment:
    renewal = begun(desk, old, key)
    authorised(desk, renewal, token, old)
    return desk.enrolments.finish_renewal(renewal.id)


def test_a_key_change_is_shown_signed_issued_and_then_switched(
    desk: Desk, bench: Bench, engine: Engine
) -> None:
    token = HeldToken("US-1")
    old = desk.enrol("alice", token)
    key = token.renewed()
    renewal = begun(desk, old, key)
    shown = renewal.challenge.transaction
    assert isinstance(shown, CertificateRenewal)
    assert shown.customer == "alice"
    authorised(desk, renewal, token, old)
    new = desk.enrolments.finish_renewal(renewal.id)
    assert new.state is EnrolmentState.ISSUED
    assert new.certificate is not None
    assert x509.load_der_x509_certificate(new.certificate).public_key() == key.key.public_key()
    assert bench.bank.attestations.attestation_of(sha256_of(new)) is not None
    # Until the switch is confirmed, both are good.
    for signer, certified in ((token, old), (key, new)):
        challenge = bench.bank.issue(order(), customer="alice")
        signature = signer.sign(challenge.message, certified.certificate)
        accepted = bench.bank.accept(challenge.id, signature)
    desk.enrolments.confirm(new.id, accepted)
    challenge = bench.bank.issue(order(), customer="alice")
    late = token.sign(challenge.message, old.certificate)
    assert bench.refusal(challenge, late) is RejectionReason.CERTIFICATE_REVOKED
    bench.bank.accept(challenge.id, key.sign(challenge.message, new.certificate))
    (waiting,) = bench.bank.revocations(desk.authority).pending()
    assert waiting.certificate_sha256 == sha256_of(old)
    assert waiting.reason is RevocationReason.SUPERSEDED
    steps = [event for event, _ in events(engine) if event.startswith("enrolment")][-4:]
    assert steps == [
        "enrolment-registered",
        "enrolment-requested",
        "enrolment-issued",
        "enrolment-confirmed",
    ]


def test_the_same_key_is_renewed_likewise(desk: Desk, bench: Bench) -> None:
    token = HeldToken("US-1")
    old = desk.enrol("alice", token)
    new = renewed(desk, token, old, token)
    assert new.certificate_sha256 != old.certificate_sha256
    desk.enrolments.confirm(new.id, sha256_of(new))
    assert bench.bank.certificate(sha256_of(old)).state is CertificateState.REVOKED
    challenge = bench.bank.issue(order(), customer="alice")
    bench.bank.accept(challenge.id, token.sign(challenge.message, new.certificate))


def test_nothing_is_issued_that_the_old_key_has_not_signed(desk: Desk, engine: Engine) -> None:
    token = HeldToken("US-1")
    old = desk.enrol("alice", token)
    renewal = begun(desk, old, token.renewed())
    with pytest.raises(EnrolmentRefused) as caught:
        desk.enrolments.finish_renewal(renewal.id)
    assert caught.value.reason is EnrolmentReason.NOT_AUTHORISED
    assert events(engine)[-1] == ("enrolment-refused", "not-authorised")
    # It can still be signed, and then goes on.
    authorised(desk, renewal, token, old)
    assert desk.enrolments.finish_renewal(renewal.id).state is EnrolmentState.ISSUED


def test_another_token_of_the_customer_does_not_authorise_it(desk: Desk) -> None:
    token, other = HeldToken("US-1"), HeldToken("US-2")
    old, second = desk.enrol("alice", token), desk.enrol("alice", other)
    renewal = begun(desk, old, token.renewed())
    authorised(desk, renewal, other, second)
    with pytest.raises(EnrolmentRefused) as caught:
        desk.enrolments.finish_renewal(renewal.id)
    assert caught.value.reason is EnrolmentReason.NOT_AUTHORISED


def test_a_certificate_that_is_not_good_or_a_key_elsewhere_is_not_renewed(
    desk: Desk, bench: Bench
) -> None:
    token = HeldToken("US-1")
    old = desk.enrol("alice", token)
    assert refusal(desk, old, HeldToken("US-2")) is EnrolmentReason.TOKEN_MISMATCH
    bench.bank.change_certificate(sha256_of(old), CertificateState.SUSPENDED)
    assert refusal(desk, old, token) is EnrolmentReason.CERTIFICATE_NOT_ACTIVE
    bench.bank.change_certificate(sha256_of(old), CertificateState.ACTIVE)
    with pytest.raises(CertificateUnknown):
        desk.enrolments.begin_renewal(bytes(32), token.request(), token.attestation())
    bench.clock.move(days=731)
    assert refusal(desk, old, token) is EnrolmentReason.CERTIFICATE_EXPIRED
    bench.bank.report_loss("US-1")
    assert refusal(desk, old, token) is EnrolmentReason.TOKEN_LOST


def test_a_token_that_is_lost_after_it_signed_gets_nothing(desk: Desk, bench: Bench) -> None:
    token = HeldToken("US-1")
    old = desk.enrol("alice", token)
    renewal = begun(desk, old, token.renewed())
    authorised(desk, renewal, token, old)
    bench.bank.report_loss("US-1")
    with pytest.raises(EnrolmentRefused) as caught:
        desk.enrolments.finish_renewal(renewal.id)
    assert caught.value.reason is EnrolmentReason.TOKEN_LOST


def test_a_registration_by_code_is_no_renewal(desk: Desk) -> None:
    desk.bench.bank.add_customer("alice")
    registration = desk.enrolments.register("alice")
    with pytest.raises(EnrolmentSettled):
        desk.enrolments.finish_renewal(registration.id)


def test_a_name_that_no_screen_shows_is_replaced_by_the_id(desk: Desk, bench: Bench) -> None:
    bench.bank.add_customer("alice", "A\u200bB")
    token = HeldToken("US-1")
    code = desk.enrolments.register("alice").code
    old = desk.enrolments.enrol(code, token.request(), token.attestation())
    shown = begun(desk, old, token).challenge.transaction
    assert isinstance(shown, CertificateRenewal)
    assert shown.customer == "alice"


def _finish(identifier: str, own: Bench) -> None:
    Desk.at(own).enrolments.finish_renewal(identifier)


def test_renewing_goes_on_from_wherever_it_was_killed(url: str, bench: Bench, desk: Desk) -> None:
    found = []
    for step in range(MOST_STEPS):
        token = HeldToken(f"US-{step}")
        old = desk.enrol(f"c{step}", token)
        renewal = begun(desk, old, token.renewed())
        authorised(desk, renewal, token, old)
        was_killed = killed_at(step, url, bench, partial(_finish, renewal.id))
        found.append(desk.enrolments.find(renewal.id).state)
        new = desk.enrolments.finish_renewal(renewal.id)
        assert new.state is EnrolmentState.ISSUED
        assert desk.enrolments.finish_renewal(renewal.id) == new
        if not was_killed:
            break
    assert list(dict.fromkeys(found)) == [
        EnrolmentState.REGISTERED,
        EnrolmentState.REQUESTED,
        EnrolmentState.ISSUED,
    ]
    assert not was_killed
