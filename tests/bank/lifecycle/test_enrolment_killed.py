"""A process that is killed at any step of an enrolment leaves it to be gone on with."""

from __future__ import annotations

from collections import Counter
from functools import partial

from sqlalchemy import Engine, func, select

from tests.bank.banking import Bench
from tests.bank.killing import MOST_STEPS, killed_at
from tests.bank.lifecycle.desk import Desk, HeldToken
from ushield.bank import EnrolledAttestation
from ushield.bank.lifecycle.codes import RegistrationCode
from ushield.bank.lifecycle.records import EnrolmentState
from ushield.bank.store.tables import attestation, audit_entry, ca_certificate, certificate


def enrol(
    code: RegistrationCode, request: bytes, attestation: EnrolledAttestation, own: Bench
) -> None:
    Desk.at(own).enrolments.enrol(code, request, attestation)


def register(customer: str, own: Bench) -> None:
    Desk.at(own).enrolments.register(customer)


def test_enrolling_goes_on_from_wherever_it_was_killed(
    url: str, bench: Bench, engine: Engine
) -> None:
    desk = Desk.at(bench)
    found = []
    for step in range(MOST_STEPS):
        customer, token = f"c{step}", HeldToken(f"US-{step}")
        bench.bank.add_customer(customer)
        registration = desk.enrolments.register(customer)
        asked = (registration.code, token.request(), token.attestation())
        was_killed = killed_at(step, url, bench, partial(enrol, *asked))
        state = desk.enrolments.find(registration.id).state
        found.append(state)
        issued = desk.enrolments.enrol(*asked)
        assert issued.state is EnrolmentState.ISSUED
        assert issued.certificate_sha256 is not None
        assert bench.bank.attestations.attestation_of(issued.certificate_sha256) == asked[2]
        if not was_killed:
            break
    # It was killed in each of the states.
    assert list(dict.fromkeys(found)) == [
        EnrolmentState.REGISTERED,
        EnrolmentState.REQUESTED,
        EnrolmentState.ISSUED,
    ]
    assert not was_killed
    enrolments = len(found)
    with engine.connect() as connection:
        for table in (ca_certificate, certificate, attestation):
            rows = connection.execute(select(func.count()).select_from(table)).scalar_one()
            assert rows == enrolments, table.name
        told = Counter(connection.execute(select(audit_entry.c.event)).scalars())
    for event in ("requested", "issued"):
        assert told[f"enrolment-{event}"] == enrolments


def test_registering_is_done_whole_or_not_at_all(url: str, bench: Bench) -> None:
    desk = Desk.at(bench)
    for step in range(MOST_STEPS):
        customer, token = f"c{step}", HeldToken(f"US-{step}")
        bench.bank.add_customer(customer)
        was_killed = killed_at(step, url, bench, partial(register, customer))
        # Nobody was told the code of one that was written: there is another.
        code = desk.enrolments.register(customer).code
        issued = desk.enrolments.enrol(code, token.request(), token.attestation())
        assert issued.state is EnrolmentState.ISSUED
        if not was_killed:
            break
    assert not was_killed
    assert step >= 8
