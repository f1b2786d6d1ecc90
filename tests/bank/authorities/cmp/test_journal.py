"""Two processes at one order: neither takes away what the other one has obtained."""

from __future__ import annotations

import pytest

from tests.bank.banking import Bench
from ushield.bank import DuplicateEntry
from ushield.bank.authorities.cmp.journal import Journal, Step

ASKED = bytes(32)


@pytest.fixture
def journal(bench: Bench) -> Journal:
    return Journal(bench.bank.store, bench.clock)


def test_a_refusal_to_one_process_forgets_no_certificate_of_the_other(journal: Journal) -> None:
    assert not journal.begin("a", ASKED).is_repeated
    assert journal.begin("a", ASKED).is_repeated
    assert journal.receive("a", b"nonce", 0, b"certificate")
    journal.forget("a")
    order = journal.begin("a", ASKED)
    assert (order.step, order.certificate) == (Step.RECEIVED, b"certificate")
    journal.finish("a")
    journal.forget("a")
    assert journal.begin("a", ASKED).step is Step.DONE


def test_only_the_first_certificate_is_received(journal: Journal) -> None:
    journal.begin("a", ASKED)
    assert journal.receive("a", b"nonce", 0, b"first")
    assert not journal.receive("a", b"nonce", 0, b"second")
    assert journal.begin("a", ASKED).certificate == b"first"


def test_an_order_that_was_refused_may_be_given_anew_and_its_id_to_nothing_else(
    journal: Journal,
) -> None:
    journal.begin("a", ASKED)
    with pytest.raises(DuplicateEntry):
        journal.begin("a", bytes([1]) * 32)
    journal.forget("a")
    assert not journal.begin("a", bytes([1]) * 32).is_repeated
