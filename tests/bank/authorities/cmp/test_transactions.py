"""One order is one certificate, whatever is lost between the bank and its CA, or killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from sqlalchemy import select

from tests.bank.authorities.cmp.serving import (
    CA,
    ScriptedCa,
    check_after,
    client,
    confirmed,
    granted,
    issued,
    status,
)
from tests.bank.authorities.issuing import profile, request
from tests.bank.banking import Bench
from ushield.bank import CertificateUnknown, DuplicateEntry
from ushield.bank.authorities import (
    CaOutcomeUnknown,
    CaPending,
    CaRefused,
    CaUnavailable,
    RevocationReason,
    new_transaction_id,
)
from ushield.bank.authorities.cmp.message import Message
from ushield.bank.store.store import Store
from ushield.bank.store.tables import ca_transaction
from ushield.errors import InputInvalid

CERTIFICATE = issued()
GOOD = granted(CERTIFICATE)
DER = CERTIFICATE.public_bytes(Encoding.DER)
LOST = b""


def lost(_: Message) -> bytes:
    """No answer that can be read: as good as none."""
    return LOST


def states(store: Store) -> list[str]:
    return store.read(lambda connection: list(connection.scalars(select(ca_transaction.c.state))))


class Order:
    """An order that is repeated until it is through."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.request = request()
        self.id = new_transaction_id()

    def give(self, ca: ScriptedCa) -> bytes:
        return client(self.store, ca.url).issue(self.request, profile(), transaction_id=self.id)


def bodies(ca: ScriptedCa) -> list[str]:
    return [each.body for each in ca.received]


def test_the_ca_is_told_which_certificate_is_taken(store: Store) -> None:
    order = Order(store)
    with ScriptedCa([GOOD, confirmed]).serve() as ca:
        assert order.give(ca) == DER
        assert bodies(ca) == ["cr", "cert_conf"]
        assert {each.transaction_id for each in ca.received} == {order.id}
        assert ca.received[0].recip_nonce is None
        assert ca.received[1].recip_nonce is not None
        # It is through: nothing more is asked.
        assert order.give(ca) == DER
    assert len(ca.received) == 2
    assert states(store) == ["done"]


def test_a_confirmation_that_was_lost_is_repeated(store: Store) -> None:
    for again in (confirmed, status("rejection", "certConfirmed", kind="error")):
        order = Order(store)
        with ScriptedCa([GOOD, lost, again]).serve() as ca:
            with pytest.raises(CaOutcomeUnknown):
                order.give(ca)
            assert order.give(ca) == DER
            assert bodies(ca) == ["cr", "cert_conf", "cert_conf"]
            assert ca.received[1].recip_nonce == ca.received[2].recip_nonce
    assert states(store) == ["done", "done"]


def test_a_confirmation_that_is_refused_is_told_with_the_certificate_s_number(
    sqlite_store: Store,
) -> None:
    order = Order(sqlite_store)
    with (
        ScriptedCa([GOOD, status("rejection", "badRequest", kind="error")]).serve() as ca,
        pytest.raises(CaRefused) as caught,
    ):
        order.give(ca)
    assert f"{CERTIFICATE.serial_number:x}" in str(caught.value)
    assert states(sqlite_store) == ["received"]


def test_a_request_whose_answer_was_lost_is_repeated(store: Store) -> None:
    order = Order(store)
    with ScriptedCa([lost, GOOD, confirmed]).serve() as ca:
        with pytest.raises(CaOutcomeUnknown):
            order.give(ca)
        assert order.give(ca) == DER
    assert bodies(ca) == ["cr", "cr", "cert_conf"]


def test_a_ca_that_does_not_answer_twice_leaves_it_open(store: Store) -> None:
    order = Order(store)
    in_use = status("rejection", "transactionIdInUse", kind="error")
    with ScriptedCa([lost, in_use]).serve() as ca:
        for _ in range(2):
            with pytest.raises(CaOutcomeUnknown) as caught:
                order.give(ca)
    assert "new transaction" in caught.value.remedy
    assert states(store) == ["sent"]


def test_after_a_refusal_the_same_order_is_a_new_one(store: Store) -> None:
    order = Order(store)
    no, away = status("rejection", "badPOP"), status("rejection", "systemUnavail")
    with ScriptedCa([no, away, GOOD, confirmed]).serve() as ca:
        with pytest.raises(CaRefused):
            order.give(ca)
        with pytest.raises(CaUnavailable):
            order.give(ca)
        assert states(store) == []
        assert order.give(ca) == DER


def test_an_order_that_is_pending_is_asked_for_by_polling(store: Store) -> None:
    order = Order(store)
    script = [status("waiting"), check_after(3600), check_after(3600), GOOD, confirmed]
    with ScriptedCa(script).serve() as ca:
        for _ in range(2):
            with pytest.raises(CaPending) as caught:
                order.give(ca)
            assert caught.value.check_after == 3600
            assert states(store) == ["waiting"]
        assert order.give(ca) == DER
    assert bodies(ca) == ["cr", "poll_req", "poll_req", "poll_req", "cert_conf"]


def test_a_request_with_the_bank_s_own_subject_goes_as_it_came(sqlite_store: Store) -> None:
    asked = request(subject="李四")
    # OpenSSL numbers such a request 0, RFC 9810 says -1.
    for number in (0, -1):
        script = [granted(CERTIFICATE, cert_req_id=number), confirmed]
        with ScriptedCa(script).serve() as ca:
            client(sqlite_store, ca.url).issue(
                asked, profile(), transaction_id=new_transaction_id()
            )
        assert ca.received[0].body == "p10cr"
        assert ca.received[0].content.untag().dump() == asked
        (told,) = ca.received[1].content
        assert told["cert_req_id"].native == number


def test_a_renewal_names_the_old_certificate(sqlite_store: Store) -> None:
    with ScriptedCa([granted(CERTIFICATE, "kup"), confirmed]).serve() as ca:
        authority = client(sqlite_store, ca.url)
        authority.renew(request(), profile(), certificate=DER, transaction_id=new_transaction_id())
        with pytest.raises(CertificateUnknown):
            authority.renew(
                request(), profile(), certificate=b"none", transaction_id=new_transaction_id()
            )
    (asked,) = ca.received[0].content
    (control,) = asked["cert_req"]["controls"]
    assert control["value"].native["serial_number"] == CERTIFICATE.serial_number
    assert asked["popo"].name == "ra_verified"


def test_an_order_id_is_for_one_order(sqlite_store: Store) -> None:
    order = Order(sqlite_store)
    with ScriptedCa([GOOD, confirmed]).serve() as ca:
        order.give(ca)
        order.request = request()
        with pytest.raises(DuplicateEntry):
            order.give(ca)
        authority = client(sqlite_store, ca.url)
        with pytest.raises(DuplicateEntry):
            authority.revoke(7, RevocationReason.SUPERSEDED, transaction_id=order.id)
        with pytest.raises(InputInvalid):
            authority.revoke(7, RevocationReason.SUPERSEDED, transaction_id=b"short")
    assert len(ca.received) == 2


def test_a_revocation_is_repeated_until_it_is_known_to_be_done(store: Store) -> None:
    def revoke() -> None:
        client(store, ca.url).revoke(
            CERTIFICATE.serial_number, RevocationReason.KEY_COMPROMISE, transaction_id=order
        )

    for done in (status("accepted", kind="rp"), status("rejection", "certRevoked", kind="rp")):
        order = new_transaction_id()
        with ScriptedCa([lost, done]).serve() as ca:
            with pytest.raises(CaOutcomeUnknown):
                revoke()
            revoke()
            revoke()
        assert bodies(ca) == ["rr", "rr"]
        (asked,) = ca.received[0].content
        assert asked["cert_details"]["serial_number"].native == CERTIFICATE.serial_number
        (why,) = asked["crl_entry_details"]
        assert why["extn_value"].parsed.native == "key_compromise"


def test_what_the_ca_will_not_revoke_or_release_is_told(sqlite_store: Store) -> None:
    script = [
        status("rejection", "badCertId", kind="rp"),
        status("waiting", kind="rp"),
        status("rejection", "certRevoked", kind="error"),
    ]
    with ScriptedCa(script).serve() as ca:
        authority = client(sqlite_store, ca.url)
        with pytest.raises(CertificateUnknown):
            authority.revoke(7, RevocationReason.SUPERSEDED, transaction_id=new_transaction_id())
        with pytest.raises(CaPending):
            authority.revoke(7, RevocationReason.SUPERSEDED, transaction_id=new_transaction_id())
        with pytest.raises(CaRefused):
            authority.release(7, transaction_id=new_transaction_id())


KILLED = """
import sys
from cryptography import x509
from tests.bank.authorities.cmp import serving
from tests.bank.authorities.issuing import profile
from tests.bank.banking import MovableClock
from ushield.bank.authorities.cmp.client import CmpAuthority
from ushield.bank.authorities.cmp.http import CmpEndpoint
from ushield.bank.store.store import Store
store, url, chain, request, order = sys.argv[1:]
CmpAuthority(
    Store.open(store),
    CmpEndpoint(url),
    serving.MAC,
    tuple(x509.load_pem_x509_certificates(chain.encode())),
    clock=MovableClock(),
).issue(bytes.fromhex(request), profile(), transaction_id=bytes.fromhex(order))
"""


def test_a_process_that_is_killed_before_it_confirmed_leaves_the_certificate_it_got(
    sqlite_store: Store, sqlite_url: str
) -> None:
    order = Order(sqlite_store)
    process: list[subprocess.Popen[bytes]] = []

    def kill(asked: Message) -> bytes:
        os.kill(process[0].pid, signal.SIGKILL)
        return LOST

    with ScriptedCa([GOOD, kill, confirmed]).serve() as ca:
        arguments = [sqlite_url, ca.url, CA.pem.decode(), order.request.hex(), order.id.hex()]
        process.append(subprocess.Popen([sys.executable, "-c", KILLED, *arguments], cwd=Path.cwd()))
        assert process[0].wait(60) == -signal.SIGKILL
        assert states(sqlite_store) == ["received"]
        assert order.give(ca) == DER
    assert bodies(ca) == ["cr", "cert_conf", "cert_conf"]


def test_a_certificate_is_erased_with_its_customer(url: str) -> None:
    with Bench.open(url) as bench, ScriptedCa([GOOD, confirmed]).serve() as ca:
        order = Order(bench.bank.store)
        bench.bank.add_customer("alice")
        bench.bank.enrol("alice", order.give(ca), token="US-1")
        bench.bank.erase("alice")
        with pytest.raises(CertificateUnknown):
            order.give(ca)
