"""What a decision in between, or another process, makes of a certificate that is on its way."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import Any

import pytest
from cryptography import x509

from tests.bank.banking import Bench
from tests.bank.lifecycle.desk import Desk, HeldToken
from ushield.bank import CertificateState
from ushield.bank.authorities import (
    CaAnswerInvalid,
    CaOutcomeUnknown,
    CaUnavailable,
    RevocationReason,
)
from ushield.bank.lifecycle import Enrolment, EnrolmentRefused, EnrolmentSettled, EnrolmentState


class Ca:
    """The CA in the bank's database; ``then`` happens once it has issued, before it says so."""

    def __init__(self, embedded: Any) -> None:
        self.embedded = embedded
        self.then: Callable[[], object] = lambda: None
        self.issued: list[bytes] = []
        self.problems: list[Exception] = []

    @property
    def chain(self) -> tuple[bytes, ...]:
        chain: tuple[bytes, ...] = self.embedded.chain
        return chain

    def issue(self, *arguments: Any, **named: Any) -> bytes:
        if self.problems:
            raise self.problems.pop(0)
        return self._told(self.embedded.issue(*arguments, **named))

    def renew(self, *arguments: Any, **named: Any) -> bytes:
        return self._told(self.embedded.renew(*arguments, **named))

    def _told(self, issued: bytes) -> bytes:
        self.issued.append(issued)
        then, self.then = self.then, lambda: None
        then()
        return issued

    revoke: Any = None
    release: Any = None


@pytest.fixture
def ca() -> list[Ca]:
    return []


@pytest.fixture
def at(bench: Bench, ca: list[Ca]) -> Desk:
    def wrap(embedded: Any) -> Ca:
        ca.append(Ca(embedded))
        return ca[0]

    return Desk.at(bench, wrap)


def revoked_at_ca(desk: Desk, der: bytes) -> bool:
    desk.bench.bank.revocations(desk.authority).run()
    number = x509.load_der_x509_certificate(der).serial_number
    return desk.authority.certificate(number).revocation is not None


def signed_renewal(desk: Desk, token: HeldToken, enrolled: Enrolment) -> str:
    """A renewal that the old key has signed, and that is not finished."""
    assert enrolled.certificate_sha256 is not None
    new = token.renewed()
    renewal = desk.enrolments.begin_renewal(
        enrolled.certificate_sha256, new.request(), new.attestation()
    )
    message = renewal.challenge.message
    desk.bench.bank.accept(renewal.challenge.id, token.sign(message, enrolled.certificate))
    return renewal.id


@pytest.mark.parametrize("state", [CertificateState.REVOKED, CertificateState.SUSPENDED])
def test_a_renewal_that_a_revoked_key_had_signed_is_not_finished(
    at: Desk, state: CertificateState
) -> None:
    token = HeldToken("US-alice")
    enrolled = at.enrol(token=token)
    renewal = signed_renewal(at, token, enrolled)
    assert enrolled.certificate_sha256 is not None
    at.bench.bank.change_certificate(
        enrolled.certificate_sha256, state, RevocationReason.KEY_COMPROMISE
    )
    with pytest.raises(EnrolmentRefused) as caught:
        at.enrolments.finish_renewal(renewal)
    assert caught.value.reason == "certificate-not-active"


def test_nor_is_one_whose_key_is_revoked_while_the_ca_is_asked(at: Desk, ca: list[Ca]) -> None:
    token = HeldToken("US-alice")
    enrolled = at.enrol(token=token)
    renewal = signed_renewal(at, token, enrolled)
    old = enrolled.certificate_sha256
    assert old is not None
    ca[0].then = lambda: at.bench.bank.change_certificate(
        old, CertificateState.REVOKED, RevocationReason.KEY_COMPROMISE
    )
    with pytest.raises(EnrolmentRefused) as caught:
        at.enrolments.finish_renewal(renewal)
    assert caught.value.reason == "certificate-not-active"
    assert at.enrolments.find(renewal).state is EnrolmentState.VOID
    assert revoked_at_ca(at, ca[0].issued[-1])


def test_a_certificate_that_comes_second_is_revoked(at: Desk, ca: list[Ca]) -> None:
    token = HeldToken("US-alice")
    at.bench.bank.add_customer("alice")
    registration = at.enrolments.register("alice")
    identifier = registration.id
    ca[0].then = lambda: at.enrolments.resume(identifier, anew=True)
    found = at.enrolments.enrol(registration.code, token.request(), token.attestation())
    first, second = ca[0].issued
    assert found.certificate == second
    assert not revoked_at_ca(at, second)
    assert revoked_at_ca(at, first)


def test_so_is_one_whose_enrolment_was_closed_meanwhile(at: Desk, ca: list[Ca]) -> None:
    token = HeldToken("US-alice")
    at.bench.bank.add_customer("alice")
    registration = at.enrolments.register("alice")
    ca[0].then = lambda: at.bench.bank.erase("alice")
    with pytest.raises(EnrolmentSettled):
        at.enrolments.enrol(registration.code, token.request(), token.attestation())
    (orphan,) = ca[0].issued
    assert revoked_at_ca(at, orphan)
    # Nor does it tell of the customer any more.
    number = x509.load_der_x509_certificate(orphan).serial_number
    assert at.authority.certificate(number).der == b""
    assert at.bench.bank.certificate(sha256(orphan).digest()).der == b""


def test_what_the_ca_issued_before_a_crash_is_erased_with_its_customer(
    at: Desk, ca: list[Ca]
) -> None:
    token = HeldToken("US-alice")
    at.bench.bank.add_customer("alice")
    registration = at.enrolments.register("alice")

    def crash() -> None:
        raise KeyboardInterrupt

    ca[0].then = crash
    with pytest.raises(KeyboardInterrupt):
        at.enrolments.enrol(registration.code, token.request(), token.attestation())
    (orphan,) = ca[0].issued
    at.bench.bank.erase("alice")
    number = x509.load_der_x509_certificate(orphan).serial_number
    known = at.authority.certificate(number)
    assert known.der == b""
    assert known.revocation is not None


@pytest.mark.parametrize(
    ("problem", "left"),
    [
        (CaAnswerInvalid("not to be read", fault="encoding"), 1),
        (CaOutcomeUnknown("no answer came"), 1),
        (CaUnavailable("away"), 3),
    ],
)
def test_one_enrolment_that_the_ca_cannot_do_keeps_no_other_waiting(
    at: Desk, ca: list[Ca], problem: Exception, left: int
) -> None:
    ca[0].problems = [CaUnavailable("away")] * 3 + [problem]
    for customer in ("alice", "bob", "carol"):
        with pytest.raises(CaUnavailable):
            at.enrol(customer)
    with pytest.raises(type(problem)):
        at.enrolments.resume_all()
    assert len(at.enrolments.waiting()) == left
    at.enrolments.resume_all()
    assert at.enrolments.waiting() == []
