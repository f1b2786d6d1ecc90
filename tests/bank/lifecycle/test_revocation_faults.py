"""A CA that hangs, refuses for ever, or numbers its certificates as another one did."""

from __future__ import annotations

from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from tests.bank.banking import Bench
from tests.bank.lifecycle.desk import Desk, HeldToken
from tests.pki import authority, authority_key, name
from ushield.bank.authorities import CaAnswerInvalid, CaOutcomeUnknown, CaRefused
from ushield.bank.lifecycle.revocations import Revocations


class Ca:
    """A CA that fails for some certificates, by number, and remembers which it was asked for."""

    def __init__(self, embedded: Any) -> None:
        self.embedded = embedded
        self.problems: dict[int, Exception] = {}
        self.asked: list[int] = []

    @property
    def chain(self) -> tuple[bytes, ...]:
        chain: tuple[bytes, ...] = self.embedded.chain
        return chain

    issue: Any = None
    renew: Any = None
    release: Any = None

    def revoke(self, number: int, reason: Any, *, transaction_id: bytes) -> None:
        self.asked.append(number)
        if number in self.problems:
            raise self.problems[number]
        self.embedded.revoke(number, reason, transaction_id=transaction_id)


def lost(desk: Desk, customer: str) -> int:
    """The number of the certificate of a token that is lost, and waits for the CA."""
    found = desk.enrol(customer)
    desk.bench.clock.move(seconds=1)
    desk.bench.bank.report_loss(f"US-{customer}")
    assert found.certificate is not None
    return x509.load_der_x509_certificate(found.certificate).serial_number


def test_a_certificate_of_another_ca_is_not_mistaken_for_one_of_the_same_number(
    bench: Bench,
) -> None:
    desk = Desk.at(bench)
    ca = Ca(desk.authority)
    victim = desk.enrol("alice")
    assert victim.certificate is not None
    number = x509.load_der_x509_certificate(victim.certificate).serial_number
    token = HeldToken("US-mallory")
    other = "Another CA"
    forged = (
        x509.CertificateBuilder()
        .subject_name(name("mallory"))
        .issuer_name(authority(other).subject)
        .public_key(token.key.public_key())
        .serial_number(number)
        .not_valid_before(authority(other).not_valid_before_utc)
        .not_valid_after(authority(other).not_valid_after_utc)
        .sign(authority_key(other), SHA256())
    )
    bench.bank.add_customer("mallory")
    bench.bank.enrol("mallory", forged.public_bytes(Encoding.DER), token=token.serial)
    bench.bank.report_loss(token.serial)
    run = Revocations(bench.bank.store, ca, clock=bench.clock).run()
    assert (len(run.done), run.left, ca.asked) == (1, (), [])
    assert desk.authority.certificate(number).revocation is None


def test_a_ca_that_does_not_answer_is_waited_for_once(bench: Bench) -> None:
    desk = Desk.at(bench)
    ca = Ca(desk.authority)
    numbers = [lost(desk, name) for name in ("alice", "bob", "carol")]
    ca.problems = dict.fromkeys(numbers, CaOutcomeUnknown("no answer came"))
    revocations = Revocations(bench.bank.store, ca, clock=bench.clock)
    assert len(revocations.run().left) == 3
    assert ca.asked == numbers[:1]


def test_one_certificate_that_the_ca_cannot_do_keeps_no_other_waiting(bench: Bench) -> None:
    desk = Desk.at(bench)
    ca = Ca(desk.authority)
    alice, bob, carol = [lost(desk, name) for name in ("alice", "bob", "carol")]
    ca.problems = {
        alice: CaOutcomeUnknown("no answer came"),
        bob: CaAnswerInvalid("not to be read", fault="encoding"),
    }
    revocations = Revocations(bench.bank.store, ca, clock=bench.clock)
    revocations.run()
    run = revocations.run()
    assert ca.asked == [alice, bob, carol, alice]
    assert len(run.left) == 2


def test_a_thousand_that_the_ca_refuses_keep_no_other_waiting(
    bench: Bench, monkeypatch: Any
) -> None:
    monkeypatch.setattr("ushield.bank.lifecycle.revocations._MOST_AT_ONCE", 2)
    desk = Desk.at(bench)
    ca = Ca(desk.authority)
    numbers = [lost(desk, name) for name in ("alice", "bob", "carol")]
    ca.problems = dict.fromkeys(numbers[:2], CaRefused("no"))
    revocations = Revocations(bench.bank.store, ca, clock=bench.clock)
    revocations.run()
    assert [each.token for each in revocations.run().done] == ["US-carol"]
