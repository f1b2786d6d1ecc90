"""Whose token it is, whose certificate, and how they stand."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256

import pytest
from sqlalchemy import Connection

from tests.bank.banking import Bench
from tests.pki import NOW, Signer
from ushield.bank import (
    CertificateState,
    CertificateUnknown,
    CustomerUnknown,
    DuplicateEntry,
    TokenState,
    TokenUnknown,
)
from ushield.bank.customers import add_customer, enrol_certificate
from ushield.bank.moments import microseconds
from ushield.errors import CertificateInvalid, InputInvalid

DER = Signer.issued().der


def test_registering_twice_with_the_same_facts_is_registering_once(bench: Bench) -> None:
    for _ in range(2):
        bench.bank.add_customer("alice", "Alice")
        enrolled = bench.bank.enrol("alice", DER, token="US-1")
    assert enrolled == bench.bank.certificate(sha256(DER).digest())
    assert (enrolled.customer_id, enrolled.token_serial) == ("alice", "US-1")
    assert (enrolled.state, enrolled.changed_at) == (CertificateState.ACTIVE, NOW)
    token = bench.bank.token("US-1")
    assert (token.customer_id, token.state, token.counter) == ("alice", TokenState.ACTIVE, 0)


def test_what_is_one_customer_s_is_no_other_s(bench: Bench) -> None:
    bench.bank.add_customer("alice", "Alice")
    bench.bank.add_customer("bob")
    bench.bank.enrol("alice", DER, token="US-1")
    with pytest.raises(DuplicateEntry):
        bench.bank.add_customer("alice", "Someone else")
    with pytest.raises(DuplicateEntry):
        bench.bank.enrol("bob", Signer.issued().der, token="US-1")
    with pytest.raises(DuplicateEntry):
        bench.bank.enrol("bob", DER, token="US-2")
    # The token of the refused enrolment was not left behind.
    with pytest.raises(TokenUnknown):
        bench.bank.token("US-2")


def test_what_is_malformed_is_refused(bench: Bench) -> None:
    for customer in ("", "a b", "x" * 65, "张三", "a\n"):
        with pytest.raises(InputInvalid):
            bench.bank.add_customer(customer)
    bench.bank.add_customer("alice")
    with pytest.raises(CertificateInvalid):
        bench.bank.enrol("alice", DER[:-1], token="US-1")
    with pytest.raises(InputInvalid):
        bench.bank.enrol("alice", DER, token="")
    with pytest.raises(CustomerUnknown):
        bench.bank.enrol("bob", DER, token="US-1")


def test_a_lost_token_stays_lost_and_gets_no_certificate(bench: Bench) -> None:
    bench.bank.add_customer("alice")
    bench.bank.enrol("alice", DER, token="US-1")
    bench.clock.move(hours=1)
    lost = bench.bank.report_loss("US-1")
    assert (lost.state, lost.changed_at) == (TokenState.LOST, bench.clock.at)
    bench.clock.move(hours=1)
    assert bench.bank.report_loss("US-1") == lost
    with pytest.raises(DuplicateEntry):
        bench.bank.enrol("alice", Signer.issued().der, token="US-1")


def test_a_revoked_certificate_stays_revoked(bench: Bench) -> None:
    bench.bank.add_customer("alice")
    digest = bench.bank.enrol("alice", DER, token="US-1").sha256
    revoked = bench.bank.change_certificate(digest, CertificateState.REVOKED)
    assert bench.bank.change_certificate(digest, CertificateState.REVOKED) == revoked
    for state in (CertificateState.ACTIVE, CertificateState.SUSPENDED):
        with pytest.raises(InputInvalid):
            bench.bank.change_certificate(digest, state)


def test_what_is_not_there_cannot_be_changed(bench: Bench) -> None:
    with pytest.raises(TokenUnknown):
        bench.bank.report_loss("US-1")
    with pytest.raises(CertificateUnknown):
        bench.bank.change_certificate(bytes(32), CertificateState.REVOKED)


def test_two_that_register_the_same_at_once_register_it_once(bench: Bench) -> None:
    other = bench.again().bank
    begun = threading.Event()

    def first(connection: Connection) -> None:
        at = microseconds(NOW)
        add_customer(connection, "alice", "Alice", at)
        enrol_certificate(connection, "alice", DER, "US-1", at)
        begun.set()
        # As long as the other one needs to find nothing there.
        time.sleep(0.3)

    with ThreadPoolExecutor(1) as threads:
        writing = threads.submit(bench.bank.store.write, first)
        assert begun.wait(10)
        other.add_customer("alice", "Alice")
        other.enrol("alice", DER, token="US-1")
        writing.result()
    assert bench.bank.token("US-1").customer_id == "alice"


def test_two_that_register_one_token_at_once_do_so_once(bench: Bench) -> None:
    bench.bank.add_customer("alice")
    other = bench.again().bank
    begun = threading.Event()

    def first(connection: Connection) -> None:
        enrol_certificate(connection, "alice", DER, "US-1", microseconds(NOW))
        begun.set()
        time.sleep(0.3)

    with ThreadPoolExecutor(1) as threads:
        writing = threads.submit(bench.bank.store.write, first)
        assert begun.wait(10)
        assert other.enrol("alice", DER, token="US-1").token_serial == "US-1"
        writing.result()
