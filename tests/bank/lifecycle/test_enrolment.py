"""From a registration code to a certificate in use, and what stands in the way."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable
from typing import Any

import pytest
from cryptography import x509
from sqlalchemy import Engine, inspect, select

from tests.bank.banking import TRUST, Bench, order
from tests.bank.lifecycle.desk import Desk, HeldToken, events
from tests.pki import authority, der
from ushield.algorithms import KeyAlgorithm
from ushield.bank import (
    CertificateState,
    CustomerUnknown,
    EnrolledAttestation,
    TokenState,
    TokenUnknown,
    Verifier,
    confirm_restored,
)
from ushield.bank.authorities import (
    CaOutcomeUnknown,
    CaRefused,
    CaUnavailable,
    CertificateRequestInvalid,
)
from ushield.bank.lifecycle.codes import RegistrationCode
from ushield.bank.lifecycle.enrolments import Registration
from ushield.bank.lifecycle.records import EnrolmentState
from ushield.bank.lifecycle.refusals import (
    CodeReason,
    EnrolmentReason,
    EnrolmentRefused,
    EnrolmentSettled,
    EnrolmentUnknown,
    RegistrationCodeRefused,
)
from ushield.bank.store.tables import attestation, enrolment, metadata
from ushield.errors import InputInvalid


def registered(desk: Desk, customer: str = "alice", **settings: Any) -> Registration:
    desk.bench.bank.add_customer(customer)
    return desk.enrolments.register(customer, **settings)


def code_reason(
    desk: Desk, code: RegistrationCode | str, token: HeldToken | None = None
) -> CodeReason:
    token = token or HeldToken("US-1")
    with pytest.raises(RegistrationCodeRefused) as caught:
        desk.enrolments.enrol(code, token.request(), token.attestation())
    return caught.value.reason


def refusal(
    desk: Desk, code: RegistrationCode, request: bytes, attestation: EnrolledAttestation
) -> EnrolmentReason:
    with pytest.raises(EnrolmentRefused) as caught:
        desk.enrolments.enrol(code, request, attestation)
    assert caught.value.remedy
    return caught.value.reason


def wrong(code: RegistrationCode) -> RegistrationCode:
    """The right place, and another secret."""
    last = code.text[-1]
    return RegistrationCode.parse(code.text[:-1] + ("0" if last != "0" else "1"))


def test_a_code_a_request_and_an_attestation_become_a_certificate_that_signs(
    desk: Desk, bench: Bench
) -> None:
    token = HeldToken("US-1")
    registration = registered(desk)
    issued = desk.enrolments.enrol(
        registration.code.text.lower(), token.request(), token.attestation()
    )
    assert (issued.id, issued.state) == (registration.id, EnrolmentState.ISSUED)
    assert (issued.customer_id, issued.token) == ("alice", "US-1")
    leaf, ca = x509.load_pem_x509_certificates(issued.pem)
    assert ca.public_key() == authority().public_key()
    leaf.verify_directly_issued_by(ca)
    assert leaf.public_key() == token.key.public_key()
    challenge = bench.bank.issue(order(), customer="alice")
    accepted = bench.bank.accept(challenge.id, token.sign(challenge.message, issued.certificate))
    confirmed = desk.enrolments.confirm(issued.id, accepted)
    assert confirmed.state is EnrolmentState.CONFIRMED
    assert desk.enrolments.confirm(issued.id, accepted) == confirmed


def test_the_subject_is_the_bank_s_choice_and_not_the_request_s(desk: Desk) -> None:
    desk.bench.bank.add_customer("alice", "李四")
    token = HeldToken("US-1")
    code = desk.enrolments.register("alice").code
    issued = desk.enrolments.enrol(code, token.request("CN=victim"), token.attestation())
    assert issued.certificate is not None
    subject = x509.load_der_x509_certificate(issued.certificate).subject
    assert subject.rfc4514_string() == "2.5.4.5=alice,CN=李四"


@pytest.mark.parametrize("name", ["x" * 65, "A\u200bB", "two  spaces"])
def test_a_name_that_no_certificate_should_have_is_left_out(sqlite_url: str, name: str) -> None:
    with Bench.open(sqlite_url) as bench:
        bench.bank.add_customer("alice", name)
        enrolments = Desk.at(bench).enrolments
        code = enrolments.register("alice").code
        issued = enrolments.enrol(code, TOKEN.request(), TOKEN.attestation())
    assert issued.certificate is not None
    subject = x509.load_der_x509_certificate(issued.certificate).subject
    assert subject.rfc4514_string() == "2.5.4.5=alice,CN=alice"


def test_the_attestation_is_kept_for_whoever_verifies(desk: Desk, bench: Bench) -> None:
    token = HeldToken("US-1")
    attestation = token.attestation()
    code = registered(desk).code
    issued = desk.enrolments.enrol(code, token.request(), attestation)
    assert issued.certificate_sha256 is not None
    assert bench.bank.attestations.attestation_of(issued.certificate_sha256) == attestation
    assert bench.bank.attestations.attestation_of(bytes(32)) is None
    verifier = Verifier(TRUST, attestations=desk.policy.attestations)
    challenge = bench.bank.issue(order(), customer="alice")
    signature = token.sign(challenge.message, issued.certificate)
    verified = verifier.verify(signature, bench.clock())
    assert verified.attestation is not None
    assert verified.attestation.serial == "US-1"


def test_the_same_key_again_gets_the_same_certificate(desk: Desk) -> None:
    token = HeldToken("US-1")
    code = registered(desk).code
    first = desk.enrolments.enrol(code, token.request(), token.attestation())
    again = desk.enrolments.enrol(code, token.request("another name"), token.attestation())
    assert again == first


def test_a_code_is_used_up_by_the_first_key(desk: Desk) -> None:
    token = HeldToken("US-1")
    code = registered(desk).code
    desk.enrolments.enrol(code, token.request(), token.attestation())
    assert code_reason(desk, code, token.renewed()) is CodeReason.USED
    assert code_reason(desk, code, HeldToken("US-2")) is CodeReason.USED


def test_wrong_codes_void_a_registration_and_unknown_ones_look_the_same(
    desk: Desk, engine: Engine
) -> None:
    code = registered(desk).code
    unknown = RegistrationCode.generate()
    assert code_reason(desk, unknown) is CodeReason.WRONG
    assert code_reason(desk, "no code") is CodeReason.WRONG
    for _ in range(desk.policy.tries):
        assert code_reason(desk, wrong(code)) is CodeReason.WRONG
    assert code_reason(desk, code) is CodeReason.VOID
    assert code_reason(desk, wrong(code)) is CodeReason.WRONG
    refused = events(engine)[2:]
    assert refused == [
        *[("enrolment-refused", "wrong")] * (1 + desk.policy.tries),
        ("enrolment-void", "wrong-codes"),
        ("enrolment-refused", "void"),
        ("enrolment-refused", "wrong"),
    ]


def test_a_try_less_than_too_many_leaves_the_code_good(desk: Desk) -> None:
    token = HeldToken("US-1")
    code = registered(desk).code
    for _ in range(desk.policy.tries - 1):
        code_reason(desk, wrong(code))
    desk.enrolments.enrol(code, token.request(), token.attestation())


def test_a_code_expires(desk: Desk, bench: Bench) -> None:
    registration = registered(desk)
    bench.clock.at = registration.expires_at
    assert desk.enrolments.find(registration.id).state is EnrolmentState.EXPIRED
    assert code_reason(desk, registration.code) is CodeReason.EXPIRED


def test_a_registration_can_be_withdrawn_until_it_is_used(desk: Desk) -> None:
    registration = registered(desk)
    assert desk.enrolments.withdraw(registration.id).state is EnrolmentState.VOID
    assert code_reason(desk, registration.code) is CodeReason.VOID
    with pytest.raises(EnrolmentSettled) as caught:
        desk.enrolments.withdraw(registration.id)
    assert caught.value.state == "void"
    used = desk.enrol("bob")
    with pytest.raises(EnrolmentSettled):
        desk.enrolments.withdraw(used.id)
    with pytest.raises(EnrolmentUnknown):
        desk.enrolments.withdraw("00" * 16)


def test_nobody_unknown_is_registered(desk: Desk) -> None:
    with pytest.raises(CustomerUnknown):
        desk.enrolments.register("nobody")
    desk.bench.bank.add_customer("alice")
    with pytest.raises(TokenUnknown):
        desk.enrolments.register("alice", replaces="US-9")
    desk.enrol("bob")
    with pytest.raises(InputInvalid):
        desk.enrolments.register("alice", replaces="US-bob")


TOKEN = HeldToken("US-1")
OTHER = HeldToken("US-1")
REFUSED: dict[str, tuple[Callable[[], tuple[bytes, EnrolledAttestation]], EnrolmentReason]] = {
    "of another key": (
        lambda: (TOKEN.request(), OTHER.attestation()),
        EnrolmentReason.ATTESTATION_INVALID,
    ),
    "of an imported key": (
        lambda: (TOKEN.request(), TOKEN.attestation(generated=False)),
        EnrolmentReason.ATTESTATION_INVALID,
    ),
    "of a key that signs unseen": (
        lambda: (TOKEN.request(), TOKEN.attestation(usage=2)),
        EnrolmentReason.ATTESTATION_INVALID,
    ),
    "by another model": (
        lambda: (TOKEN.request(), TOKEN.attestation(model="S1")),
        EnrolmentReason.ATTESTATION_INVALID,
    ),
    "by a virtual token": (
        lambda: (TOKEN.request(), TOKEN.attestation(virtual=True)),
        EnrolmentReason.VIRTUAL_TOKEN,
    ),
    "by nobody known": (
        lambda: (
            TOKEN.request(),
            dataclasses.replace(TOKEN.attestation(), device=der(authority("Device US-1"))),
        ),
        EnrolmentReason.ATTESTATION_INVALID,
    ),
    "of endless length": (
        lambda: (TOKEN.request(), EnrolledAttestation(bytes(1 << 15), b"")),
        EnrolmentReason.ATTESTATION_INVALID,
    ),
}


@pytest.mark.parametrize(("made", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_an_attestation_that_does_not_do_costs_no_code(
    sqlite_url: str,
    made: Callable[[], tuple[bytes, EnrolledAttestation]],
    reason: EnrolmentReason,
) -> None:
    with Bench.open(sqlite_url) as bench:
        desk = Desk.at(bench)
        code = registered(desk).code
        assert refusal(desk, code, *made()) is reason
        desk.enrolments.enrol(code, TOKEN.request(), TOKEN.attestation())


def test_a_request_that_its_key_did_not_sign_costs_no_code(sqlite_url: str) -> None:
    with Bench.open(sqlite_url) as bench:
        desk = Desk.at(bench)
        code = registered(desk).code
        request = TOKEN.request()
        for broken in (b"", b"garbage", request + b"\0", request[:-1], bytes(1 << 15)):
            with pytest.raises(CertificateRequestInvalid):
                desk.enrolments.enrol(code, broken, TOKEN.attestation())
        # Another key under the same signature: no proof of possession.
        stolen = request.replace(point(TOKEN), point(OTHER))
        assert stolen != request
        with pytest.raises(CertificateRequestInvalid):
            desk.enrolments.enrol(code, stolen, OTHER.attestation())
        desk.enrolments.enrol(code, request, TOKEN.attestation())


def point(token: HeldToken) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return token.key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def test_a_kind_of_key_that_the_bank_does_not_want_is_refused(sqlite_url: str) -> None:
    with Bench.open(sqlite_url) as bench:
        desk = Desk.at(bench, algorithms=frozenset({KeyAlgorithm.RSA_2048}))
        code = registered(desk).code
        reason = refusal(desk, code, TOKEN.request(), TOKEN.attestation())
        assert reason is EnrolmentReason.ALGORITHM_REFUSED


def test_a_virtual_token_is_enrolled_where_the_bank_says_so(sqlite_url: str) -> None:
    with Bench.open(sqlite_url) as bench:
        desk = Desk.at(bench, accept_virtual=True)
        code = registered(desk).code
        desk.enrolments.enrol(code, TOKEN.request(), TOKEN.attestation(virtual=True))


def test_the_token_is_the_one_that_was_handed_out(desk: Desk) -> None:
    code = registered(desk, token="US-1").code
    other = HeldToken("US-2")
    reason = refusal(desk, code, other.request(), other.attestation())
    assert reason is EnrolmentReason.TOKEN_MISMATCH
    with pytest.raises(TokenUnknown):
        desk.bench.bank.token("US-2")
    desk.enrolments.enrol(code, TOKEN.request(), TOKEN.attestation())


def test_another_customer_s_token_and_a_lost_one_are_refused(desk: Desk, engine: Engine) -> None:
    bob = HeldToken("US-bob")
    desk.enrol("bob", bob)
    code = registered(desk).code
    key = bob.renewed()
    reason = refusal(desk, code, key.request(), key.attestation())
    assert reason is EnrolmentReason.TOKEN_FOREIGN
    desk.bench.bank.report_loss("US-bob")
    again = desk.enrolments.register("bob").code
    reason = refusal(desk, again, key.request(), key.attestation())
    assert reason is EnrolmentReason.TOKEN_LOST
    assert ("enrolment-refused", "token-foreign") in events(engine)
    assert ("enrolment-refused", "token-lost") in events(engine)
    # Neither code was used up.
    desk.enrolments.enrol(code, TOKEN.request(), TOKEN.attestation())


class Away:
    """The CA, while it fails as it is told to."""

    def __init__(self, embedded: Any) -> None:
        self.embedded = embedded
        self.before: Exception | None = None
        self.after: Exception | None = None
        self.meanwhile: Callable[[], object] = lambda: None

    @property
    def chain(self) -> tuple[bytes, ...]:
        chain: tuple[bytes, ...] = self.embedded.chain
        return chain

    def issue(self, *arguments: Any, **named: Any) -> bytes:
        if self.before is not None:
            raise self.before
        issued: bytes = self.embedded.issue(*arguments, **named)
        self.meanwhile()
        if self.after is not None:
            raise self.after
        return issued


def away(bench: Bench) -> tuple[Desk, Away]:
    found: list[Away] = []

    def wrap(embedded: Any) -> Away:
        found.append(Away(embedded))
        return found[0]

    return Desk.at(bench, wrap), found[0]


def test_a_ca_that_is_away_loses_nothing(bench: Bench) -> None:
    desk, ca = away(bench)
    code = registered(desk).code
    ca.before = CaUnavailable("away")
    with pytest.raises(CaUnavailable):
        desk.enrolments.enrol(code, TOKEN.request(), TOKEN.attestation())
    (waiting,) = desk.enrolments.waiting()
    ca.before, ca.after = None, CaOutcomeUnknown("the answer was lost")
    with pytest.raises(CaOutcomeUnknown):
        desk.enrolments.resume(waiting)
    ca.after = None
    issued = desk.enrolments.resume(waiting)
    assert issued.state is EnrolmentState.ISSUED
    assert desk.enrolments.waiting() == []
    assert desk.enrolments.resume(waiting) == issued
    assert desk.enrolments.enrol(code, TOKEN.request(), TOKEN.attestation()) == issued


def test_an_answer_that_is_lost_for_good_is_ordered_anew(bench: Bench) -> None:
    desk, ca = away(bench)
    code = registered(desk).code
    ca.after = CaOutcomeUnknown("transactionIdInUse")
    with pytest.raises(CaOutcomeUnknown):
        desk.enrolments.enrol(code, TOKEN.request(), TOKEN.attestation())
    ca.after = None
    (waiting,) = desk.enrolments.waiting()
    issued = desk.enrolments.resume(waiting, anew=True)
    assert issued.state is EnrolmentState.ISSUED
    with pytest.raises(EnrolmentSettled):
        desk.enrolments.resume(waiting, anew=True)


@pytest.mark.parametrize("problem", [CaRefused("no"), InputInvalid("a subject nobody reads")])
def test_a_ca_that_refuses_ends_the_enrolment(bench: Bench, problem: Exception) -> None:
    desk, ca = away(bench)
    registration = registered(desk)
    ca.before = problem
    with pytest.raises(type(problem)):
        desk.enrolments.enrol(registration.code, TOKEN.request(), TOKEN.attestation())
    assert desk.enrolments.find(registration.id).state is EnrolmentState.REFUSED
    assert code_reason(desk, registration.code, TOKEN) is CodeReason.VOID


def test_a_token_that_is_lost_while_the_ca_works_gets_no_certificate(bench: Bench) -> None:
    desk, ca = away(bench)
    code = registered(desk).code
    ca.meanwhile = lambda: bench.bank.report_loss("US-1")
    assert refusal(desk, code, TOKEN.request(), TOKEN.attestation()) is EnrolmentReason.TOKEN_LOST
    assert bench.bank.token("US-1").state is TokenState.LOST
    assert desk.enrolments.waiting() == []


def test_only_the_certificate_that_was_issued_is_confirmed(desk: Desk) -> None:
    registration = registered(desk)
    with pytest.raises(EnrolmentSettled):
        desk.enrolments.confirm(registration.id, bytes(32))
    issued = desk.enrolments.enrol(registration.code, TOKEN.request(), TOKEN.attestation())
    with pytest.raises(InputInvalid):
        desk.enrolments.confirm(issued.id, bytes(32))
    assert issued.certificate_sha256 is not None
    desk.enrolments.confirm(issued.id, issued.certificate_sha256)


def test_a_replacement_takes_the_old_one_s_place_when_it_is_confirmed(
    desk: Desk, bench: Bench
) -> None:
    old = desk.enrol("alice")
    token = HeldToken("US-new")
    code = desk.enrolments.register("alice", replaces="US-alice").code
    new = desk.enrolments.enrol(code, token.request(), token.attestation())
    assert old.certificate_sha256 is not None
    assert new.certificate_sha256 is not None
    assert bench.bank.certificate(old.certificate_sha256).state is CertificateState.ACTIVE
    desk.enrolments.confirm(new.id, new.certificate_sha256)
    assert bench.bank.certificate(old.certificate_sha256).state is CertificateState.REVOKED
    assert bench.bank.certificate(new.certificate_sha256).state is CertificateState.ACTIVE


def test_the_code_is_neither_in_the_database_nor_in_a_log(
    desk: Desk, engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    registration = registered(desk)
    code_reason(desk, wrong(registration.code))
    desk.enrolments.enrol(registration.code, TOKEN.request(), TOKEN.attestation())
    secret = registration.code.text.replace("-", "")[8:]
    with engine.connect() as connection:
        kept = [
            str(connection.execute(select(metadata.tables[table])).all())
            for table in inspect(engine).get_table_names()
            if table in metadata.tables
        ]
    for text in (*kept, caplog.text, repr(registration)):
        assert secret not in text.replace("-", "")


def test_erasing_a_customer_takes_what_was_asked_and_attested_along(
    desk: Desk, engine: Engine
) -> None:
    issued = desk.enrol("alice")
    registration = desk.enrolments.register("alice")
    desk.bench.bank.erase("alice")
    assert desk.enrolments.find(registration.id).state is EnrolmentState.VOID
    assert desk.enrolments.find(issued.id).certificate is None
    with engine.connect() as connection:
        kept = connection.execute(select(enrolment)).all()
        assert connection.execute(select(attestation)).all() == []
    for row in kept:
        values = (row.request, row.attestation, row.device, row.subject, row.code_digest)
        assert set(values) == {None}
    assert code_reason(desk, registration.code) is CodeReason.WRONG


def test_a_restored_database_takes_no_code_that_may_have_been_used_since(
    desk: Desk, bench: Bench
) -> None:
    registration = registered(desk)
    confirm_restored(bench.url, bench.clock(), nothing_lost=True)
    assert desk.enrolments.find(registration.id).state is EnrolmentState.REGISTERED
    confirm_restored(bench.url, bench.clock())
    assert code_reason(desk, registration.code) is CodeReason.VOID


def test_any_customers_id_can_stand_in_a_certificate(desk: Desk) -> None:
    for customer in ("a_b", "_", "-", ".", "A" * 64):
        enrolled = desk.enrol(customer, HeldToken(f"US-{len(customer)}{customer[:1]}"))
        assert enrolled.state is EnrolmentState.ISSUED
        assert enrolled.certificate is not None
        subject = x509.load_der_x509_certificate(enrolled.certificate).subject
        assert customer in [each.value for each in subject][1:]


def test_a_subject_that_no_certificate_can_have_uses_no_code_up(bench: Bench) -> None:
    desk = Desk.at(bench, subject=lambda customer, name: x509.Name.from_rfc4514_string("C=C_"))
    token = HeldToken("US-1")
    code = registered(desk).code
    with pytest.raises(InputInvalid):
        desk.enrolments.enrol(code, token.request(), token.attestation())
    desk = Desk.at(bench)
    assert desk.enrolments.enrol(code, token.request(), token.attestation()).certificate
