"""What is due: each for its reason, the earliest first, and nothing that was seen to."""

from __future__ import annotations

import os
from datetime import timedelta

import pytest

from tests.bank.banking import Bench
from tests.bank.lifecycle.desk import Desk, HeldToken
from tests.bank.lifecycle.test_enrolment import TOKEN, away, registered
from tests.bank.lifecycle.test_renewal import renewed, sha256_of
from tests.bank.lifecycle.test_unblocking import SIGNER
from ushield.bank import TokenUnknown
from ushield.bank.authorities import CaUnavailable
from ushield.bank.lifecycle import (
    CertificateExpiring,
    CertificateUnconfirmed,
    IssuanceWaiting,
    PinUnchanged,
    RegistrationUnanswered,
    RevocationWaiting,
    UnblockWaiting,
)
from ushield.errors import InputInvalid
from ushield.shield.requests import UnblockChallenge


def kinds(bench: Bench, within: int = 30) -> list[str]:
    return [each.kind for each in bench.bank.due(within=timedelta(days=within))]


def test_a_certificate_is_due_before_it_ends_until_one_follows_it(desk: Desk, bench: Bench) -> None:
    token = HeldToken("US-1")
    enrolled = desk.enrol("alice", token)
    desk.enrolments.confirm(enrolled.id, sha256_of(enrolled))
    assert bench.bank.due() == []
    bench.clock.move(days=720)
    bench.bank.report_pin_change("US-1")
    (due,) = bench.bank.due()
    assert isinstance(due, CertificateExpiring)
    assert (due.customer_id, due.token) == ("alice", "US-1")
    assert due.certificate_sha256 == sha256_of(enrolled)
    assert kinds(bench, within=5) == []
    new = renewed(desk, token, enrolled, token.renewed())
    desk.enrolments.confirm(new.id, sha256_of(new))
    assert kinds(bench) == ["revocation-waiting"]


def test_the_certificate_of_a_lost_token_is_due_no_more(desk: Desk, bench: Bench) -> None:
    desk.enrol("alice")
    bench.clock.move(days=720)
    assert "certificate-expiring" in kinds(bench)
    bench.bank.report_loss("US-alice")
    bench.bank.revocations(desk.authority).run()
    assert kinds(bench) == ["certificate-unconfirmed"]


def test_a_pin_grows_old_until_a_change_is_reported(desk: Desk, bench: Bench) -> None:
    bench.customer()
    bench.clock.move(days=364)
    assert bench.bank.due(within=timedelta()) == []
    bench.clock.move(days=1)
    (due,) = bench.bank.due(within=timedelta())
    assert due == PinUnchanged(customer_id="alice", due=bench.clock.at, token="US-alice")
    bench.bank.report_pin_change("US-alice")
    assert bench.bank.due(within=timedelta()) == []
    with pytest.raises(TokenUnknown):
        bench.bank.report_pin_change("US-9")


def test_an_unblocked_pin_is_new(desk: Desk, bench: Bench) -> None:
    bench.customer()
    bench.clock.move(days=366)
    unblocking = bench.bank.unblocking(SIGNER)
    challenge = UnblockChallenge("US-alice", os.urandom(16), 0).encode()
    waiting = unblocking.request("alice", challenge, by="wang")
    found = bench.bank.due(within=timedelta())
    assert [type(each) for each in found] == [PinUnchanged, UnblockWaiting]
    unblocking.approve(waiting.id, by="zhao")
    assert bench.bank.due(within=timedelta()) == []


def test_what_waits_for_somebody_is_due_until_it_is_done(bench: Bench) -> None:
    desk, ca = away(bench)
    registration = registered(desk)
    (due,) = bench.bank.due()
    assert due == RegistrationUnanswered(
        customer_id="alice", due=registration.expires_at, enrolment=registration.id
    )
    ca.before = CaUnavailable("away")
    with pytest.raises(CaUnavailable):
        desk.enrolments.enrol(registration.code, TOKEN.request(), TOKEN.attestation())
    assert [type(each) for each in bench.bank.due()] == [IssuanceWaiting]
    ca.before = None
    issued = desk.enrolments.resume(registration.id)
    assert [type(each) for each in bench.bank.due()] == [CertificateUnconfirmed]
    desk.enrolments.confirm(issued.id, sha256_of(issued))
    assert bench.bank.due() == []
    bench.bank.report_loss("US-1")
    assert [type(each) for each in bench.bank.due()] == [RevocationWaiting]
    bench.bank.revocations(desk.authority).run()
    assert bench.bank.due() == []


def test_what_has_ended_is_due_no_more(desk: Desk, bench: Bench) -> None:
    registration = registered(desk)
    bench.clock.at = registration.expires_at
    assert bench.bank.due() == []


def test_the_earliest_comes_first(desk: Desk, bench: Bench) -> None:
    for name in ("bob", "alice"):
        registered(desk, name)
        bench.clock.move(hours=1)
    bench.customer("carol")
    bench.bank.report_loss("US-carol")
    due = bench.bank.due()
    assert [each.due for each in due] == sorted(each.due for each in due)
    assert [each.customer_id for each in due] == ["carol", "bob", "alice"]


def test_a_time_that_goes_back_is_refused(bench: Bench) -> None:
    for settings in ({"within": timedelta(days=-1)}, {"pin_age": timedelta(days=-1)}):
        with pytest.raises(InputInvalid):
            bench.bank.due(**settings)
