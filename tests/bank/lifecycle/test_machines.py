"""Whatever people do in whatever order: what must never happen does not."""

from __future__ import annotations

import os
from dataclasses import dataclass
from itertools import count
from typing import ClassVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from tests.bank.banking import Bench
from tests.bank.lifecycle.desk import Desk, HeldToken
from tests.bank.lifecycle.test_unblocking import SIGNER
from ushield.bank import TokenState, TokenUnknown
from ushield.bank.lifecycle import (
    Enrolment,
    EnrolmentRefused,
    EnrolmentSettled,
    EnrolmentState,
    Registration,
    RegistrationCode,
    RegistrationCodeRefused,
    UnblockRefused,
    UnblockSettled,
    UnblockState,
)
from ushield.shield.requests import UnblockChallenge

EXAMPLE = count()
CLERKS = ("wang", "zhao", "li")
FEW = settings(max_examples=15, stateful_step_count=16, deadline=None, database=None)


@dataclass(frozen=True)
class Answer:
    counter: int
    challenge: bytes
    asked_by: str
    decided_by: str


class UnblockingMachine(RuleBasedStateMachine):
    """Clerks, who forget and err; a token, which may be a copy; and a thief."""

    bench: ClassVar[Bench]
    requests = Bundle("requests")

    @initialize()
    def begin(self) -> None:
        self.customer = f"u{next(EXAMPLE)}"
        self.bench.customer(self.customer)
        self.serial = f"US-{self.customer}"
        self.unblocking = self.bench.bank.unblocking(SIGNER)
        self.challenges: dict[str, bytes] = {}
        self.answers: list[Answer] = []
        self.lost = False

    @rule(target=requests, counter=st.integers(0, 1), clerk=st.sampled_from(CLERKS))
    def ask(self, counter: int, clerk: str) -> object:
        challenge = UnblockChallenge(self.serial, os.urandom(16), counter).encode()
        highest = max((each.counter for each in self.answers), default=-1)
        try:
            found = self.unblocking.request(self.customer, challenge, by=clerk)
        except UnblockRefused:
            assert self.lost or counter < highest
            return multiple()
        assert not self.lost
        assert counter >= highest
        assert found.answers == sum(each.counter == counter for each in self.answers)
        self.challenges[found.id] = challenge
        return found.id

    @rule(identifier=requests, clerk=st.sampled_from(CLERKS))
    def approve(self, identifier: str, clerk: str) -> None:
        before = self.unblocking.find(identifier)
        try:
            found = self.unblocking.approve(identifier, by=clerk)
        except UnblockRefused:
            assert self.lost or clerk == before.requested_by or before.state == "expired"
            return
        except UnblockSettled:
            assert before.state is not UnblockState.WAITING
            return
        assert not self.lost
        if before.state is UnblockState.WAITING:
            challenge = self.challenges[identifier]
            self.answers.append(Answer(found.counter, challenge, found.requested_by, clerk))
        else:
            assert found == before

    @rule(identifier=requests, clerk=st.sampled_from(CLERKS))
    def deny(self, identifier: str, clerk: str) -> None:
        before = self.unblocking.find(identifier)
        try:
            self.unblocking.deny(identifier, by=clerk)
        except UnblockSettled:
            assert before.state is not UnblockState.WAITING

    @rule()
    def wait(self) -> None:
        self.bench.clock.move(minutes=20)

    @rule()
    def lose(self) -> None:
        self.bench.bank.report_loss(self.serial)
        self.lost = True

    @invariant()
    def counters_are_never_answered_back(self) -> None:
        counters = [each.counter for each in getattr(self, "answers", ())]
        assert counters == sorted(counters)

    @invariant()
    def one_answer_to_each_counter_is_given_out(self) -> None:
        last = {each.counter: each.challenge for each in getattr(self, "answers", ())}
        for identifier, challenge in getattr(self, "challenges", {}).items():
            found = self.unblocking.find(identifier)
            is_last = last.get(found.counter) == challenge
            assert (found.signature is not None) is is_last
            assert (found.state is UnblockState.APPROVED) is is_last

    @invariant()
    def nobody_decided_alone(self) -> None:
        for each in getattr(self, "answers", ()):
            assert each.asked_by != each.decided_by


class EnrolmentMachine(RuleBasedStateMachine):
    """Two customers, two tokens with two keys each, codes that are right and wrong."""

    bench: ClassVar[Bench]
    registrations = Bundle("registrations")

    @initialize()
    def begin(self) -> None:
        number = next(EXAMPLE)
        self.desk = Desk.at(self.bench, tries=2)
        self.customers = [f"e{number}-{name}" for name in ("alice", "bob")]
        for customer in self.customers:
            self.bench.bank.add_customer(customer)
        self.keys = []
        for name in ("one", "two"):
            token = HeldToken(f"US-{number}-{name}")
            self.keys += [token, token.renewed()]
        self.issued: dict[str, tuple[HeldToken, Enrolment]] = {}
        self.wrong: dict[str, int] = {}
        self.owner: dict[str, str] = {}
        self.lost: set[str] = set()

    @rule(target=registrations, customer=st.integers(0, 1))
    def register(self, customer: int) -> Registration:
        return self.desk.enrolments.register(self.customers[customer])

    @rule(registration=registrations, key=st.integers(0, 3), is_right=st.booleans())
    def enrol(self, registration: Registration, key: int, is_right: bool) -> None:
        token = self.keys[key]
        before = self.desk.enrolments.find(registration.id)
        code = registration.code
        if not is_right:
            code = RegistrationCode(code.locator, "0" * 12)
        try:
            found = self.desk.enrolments.enrol(code, token.request(), token.attestation())
        except RegistrationCodeRefused:
            assert not is_right or before.state is not EnrolmentState.REGISTERED
            self.wrong[registration.id] = self.wrong.get(registration.id, 0) + (not is_right)
            return
        except EnrolmentRefused:
            mine = self.owner.get(token.serial, registration.customer_id)
            assert token.serial in self.lost or mine != registration.customer_id
            return
        assert is_right
        first, enrolled = self.issued.setdefault(registration.id, (token, found))
        # One code, one key, one certificate.
        assert first.key is token.key
        assert found.certificate == enrolled.certificate
        if before.state is EnrolmentState.REGISTERED:
            assert self.wrong.get(registration.id, 0) < 2
            assert token.serial not in self.lost
        assert self.owner.setdefault(token.serial, registration.customer_id) == found.customer_id

    @rule(registration=registrations)
    def withdraw(self, registration: Registration) -> None:
        try:
            self.desk.enrolments.withdraw(registration.id)
        except EnrolmentSettled:
            assert self.desk.enrolments.find(registration.id).state != EnrolmentState.REGISTERED

    @rule(registration=registrations)
    def confirm(self, registration: Registration) -> None:
        if registration.id in self.issued:
            _, enrolled = self.issued[registration.id]
            assert enrolled.certificate_sha256 is not None
            self.desk.enrolments.confirm(registration.id, enrolled.certificate_sha256)

    @rule(key=st.sampled_from((0, 2)))
    def lose(self, key: int) -> None:
        serial = self.keys[key].serial
        try:
            self.bench.bank.report_loss(serial)
        except TokenUnknown:
            return
        self.lost.add(serial)

    @rule()
    def wait(self) -> None:
        self.bench.clock.move(days=5)

    @invariant()
    def every_token_is_its_first_customer_s(self) -> None:
        for serial, customer in getattr(self, "owner", {}).items():
            token = self.bench.bank.token(serial)
            assert token.customer_id == customer
            assert (token.state is TokenState.LOST) is (serial in self.lost)


@pytest.mark.parametrize("machine", [UnblockingMachine, EnrolmentMachine])
def test_no_order_of_steps_breaks_what_is_promised(
    sqlite_url: str, machine: type[RuleBasedStateMachine]
) -> None:
    with Bench.open(sqlite_url) as bench:
        machine.bench = bench
        run_state_machine_as_test(machine, settings=FEW)
