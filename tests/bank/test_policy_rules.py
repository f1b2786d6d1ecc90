"""Each rule refuses what it is for, by its name; nothing else does; and what is right passes."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Context, Decimal, Inexact, localcontext
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bank.payments import (
    BATCH,
    CHECKER,
    CNY,
    POLICY,
    attestation,
    blind,
    checker,
    company_payment,
    later,
    payment,
    receipt,
    signature,
    third,
)
from tests.pki import NOW, Signer, authority, pem
from tests.transaction.strategies import EXAMPLES, EXPIRES, TRANSFER, yuan
from ushield.algorithms import KeyAlgorithm
from ushield.bank import RejectionReason, TransactionRejected, TrustStore, verify_transaction
from ushield.bank.policy import (
    NOT_LIMITED,
    RULES,
    AttestationNeed,
    BatchFacts,
    Blind,
    ControlTier,
    CustomerFacts,
    Hours,
    PaymentFacts,
    Policy,
    PolicyRefused,
    Rule,
    SignatureFacts,
    Sums,
    Terms,
    rule,
)
from ushield.cli.exit_codes import ExitCode, exit_code
from ushield.cms import BlindStatement
from ushield.errors import CertificateInvalid, InputInvalid
from ushield.transaction import Currency, Kind, Money, write_message


def with_terms(**changes: Any) -> Policy:
    return replace(POLICY, default=replace(POLICY.default, **changes))


def signed(**changes: Any) -> PaymentFacts:
    return payment(signatures=(signature(**changes),))


def paid(amount: str, kind: Kind = Kind.SHOP) -> Sums:
    return Sums({kind: {CNY: Decimal(amount)}})


BLIND = Blind(frozenset((Kind.TRANSFER,)), {CNY: Decimal(2000)}, {CNY: Decimal(2000)})

# For each rule, payments that it refuses and no other rule does, beside the policy.
CASES: dict[str, list[tuple[Policy, PaymentFacts]]] = {
    "profile-unknown": [(POLICY, payment(customer=CustomerFacts("C1", "compnay")))],
    "kind-not-allowed": [
        (with_terms(kinds=frozenset((Kind.SHOP,))), payment()),
        (with_terms(kinds=frozenset()), payment(EXAMPLES[3])),
        (with_terms(kinds=None), payment()),
    ],
    "currency-not-allowed": [
        (with_terms(amount={}), payment()),
        (with_terms(amount={Kind.SHOP: {CNY: Decimal(5000)}}), payment()),
        (POLICY, payment(replace(TRANSFER, amount=Money(Decimal(1), Currency.USD)))),
    ],
    "amount-over-limit": [
        (with_terms(amount={None: {CNY: Decimal("1234.55")}}), payment()),
        (
            with_terms(
                amount={None: {CNY: Decimal(5000)}, Kind.TRANSFER: {CNY: Decimal("1234.55")}}
            ),
            payment(),
        ),
    ],
    "sums-unknown": [
        (POLICY, payment(today=None)),
        (POLICY, payment(month=None)),
        (with_terms(daily={Kind.TRANSFER: {CNY: Decimal(5000)}}), payment(today=None)),
        (with_terms(payments_a_day=3), payment(payments_today=None)),
        (with_terms(blind=BLIND), payment(signatures=(blind(),), blind_today=None)),
    ],
    "daily-total-over-limit": [
        (POLICY, payment(today=paid("8765.45"))),
        (
            with_terms(daily={Kind.TRANSFER: {CNY: Decimal(1300)}}),
            payment(today=paid("65.45", Kind.TRANSFER)),
        ),
    ],
    "monthly-total-over-limit": [
        (POLICY, payment(month=paid("48765.45"))),
        (
            with_terms(monthly={Kind.TRANSFER: {CNY: Decimal(1300)}}),
            payment(month=paid("65.45", Kind.TRANSFER)),
        ),
    ],
    "daily-count-over-limit": [
        (with_terms(payments_a_day=3), payment(payments_today=3)),
        (with_terms(payments_a_day=0), payment()),
    ],
    "outside-hours": [
        (with_terms(hours=Hours(12 * 60, 20 * 60, timedelta(hours=8))), payment()),
        (with_terms(hours=Hours(8 * 60, 11 * 60, timedelta(hours=8))), payment()),
        (with_terms(hours=Hours(20 * 60, 11 * 60, timedelta(hours=8))), payment()),
    ],
    "transaction-expired": [(POLICY, payment(at=EXPIRES))],
    "message-mismatch": [
        (POLICY, signed(message=write_message(replace(TRANSFER, amount=yuan("1234.57"))))),
        (
            POLICY,
            company_payment(checker(message=write_message(replace(TRANSFER, memo="货 款")))),
        ),
    ],
    "press-required": [
        (POLICY, payment(signatures=(blind(),))),
        (POLICY, company_payment(blind(person="wang", signer=CHECKER))),
        (with_terms(blind=replace(BLIND, kinds=frozenset((Kind.SHOP,)), amount={
            CNY: Decimal(2000)})), payment(EXAMPLES[3], signatures=(blind(EXAMPLES[3]),))),
    ],
    "blind-amount-over-limit": [
        (with_terms(blind=replace(BLIND, amount={CNY: Decimal("1234.55")})),
         payment(signatures=(blind(),))),
        (with_terms(blind=replace(BLIND, amount={})), payment(signatures=(blind(),))),
    ],
    "blind-total-over-limit": [
        (with_terms(blind=BLIND), payment(signatures=(blind(),), blind_today=paid("765.45"))),
        (with_terms(blind=replace(BLIND, daily={})), payment(signatures=(blind(),))),
    ],
    "virtual-token": [
        (POLICY, signed(evidence=receipt("US00000001", virtual=True),
                        attestation=attestation("US00000001", virtual=True))),
        (with_terms(virtual_tokens=frozenset(("US00000002",)),
                    attestation=AttestationNeed.OPTIONAL),
         signed(evidence=receipt("US00000001", virtual=True), attestation=None)),
        (with_terms(blind=BLIND),
         payment(signatures=(blind(attestation=attestation("1234", virtual=True)),))),
        (with_terms(blind=BLIND), payment(signatures=(
            blind(evidence=BlindStatement("1234", "PIV card", "piv", virtual=True)),))),
    ],
    "token-mismatch": [
        (POLICY, signed(evidence=receipt("US00000009"), attestation=attestation("US00000009"))),
    ],
    "counter-repeated": [(POLICY, signed(last_counter=7))],
    "counter-went-back": [
        (POLICY, signed(last_counter=8)),
        (POLICY, company_payment(checker(last_counter=8))),
    ],
    "counter-gap": [
        (with_terms(counter_gap=3), signed(last_counter=2)),
        (with_terms(counter_gap=5), signed(last_counter=None)),
        (with_terms(counter_gap=0), signed(last_counter=5)),
    ],
    "read-too-fast": [(with_terms(milliseconds_per_page=841), payment())],
    "algorithm-not-allowed": [
        (with_terms(algorithms=frozenset((KeyAlgorithm.P384,))), payment()),
        (with_terms(algorithms=frozenset()), payment()),
        (POLICY, signed(algorithm=None)),
    ],
    "attestation-missing": [
        (POLICY, signed(attestation=None)),
        (with_terms(attestation=AttestationNeed.REQUIRED), signed(attestation=None)),
    ],
    "attestation-mismatch": [
        (POLICY, signed(attestation=attestation("US00000002"))),
        (with_terms(virtual_tokens=frozenset(("US00000001",))),
         signed(attestation=attestation("US00000001", virtual=True))),
    ],
    "key-not-generated": [
        (POLICY, signed(attestation=attestation("US00000001", generated=False))),
    ],
    "key-without-display": [
        (POLICY, signed(attestation=attestation("US00000001", usage=2))),
    ],
    "approvals-missing": [
        (POLICY, company_payment()),
        (POLICY, company_payment(
            checker(replace(TRANSFER, amount=yuan("2000.01"))),
            transaction=replace(TRANSFER, amount=yuan("2000.01")))),
    ],
    "same-person": [
        (POLICY, company_payment(checker(person="li"))),
        (POLICY, company_payment(checker(), third(person="wang"))),
    ],
    "same-token": [
        (POLICY, company_payment(checker(token="US00000001"))),
        (POLICY, company_payment(checker(), third(token="US00000002"))),
        (POLICY, company_payment(checker(signer=Signer.issued(subject="王五")))),
    ],
    "batch-rows-unchecked": [(POLICY, payment(BATCH, batch=None))],
    "batch-too-many-rows": [(with_terms(batch_rows=1), payment(BATCH))],
    "batch-row-over-limit": [
        (with_terms(row_amount={CNY: Decimal(2)}), payment(BATCH)),
        (with_terms(row_amount={CNY: Decimal("2.50")}),
         payment(BATCH, batch=BatchFacts(Decimal("2.51")))),
    ],
}  # fmt: skip
ALL_CASES = [
    pytest.param(name, policy, facts, id=f"{name}-{number}")
    for name, cases in CASES.items()
    for number, (policy, facts) in enumerate(cases)
]


def refusals(policy: Policy, facts: PaymentFacts) -> tuple[str, ...]:
    try:
        policy.approve(facts)
    except PolicyRefused as refused:
        return refused.rules
    return ()


@pytest.mark.parametrize(
    "facts",
    [
        *(payment(transaction, at=later(days=-1)) for transaction in EXAMPLES),
        payment(today=paid("8765.44"), month=paid("48765.44")),
        signed(last_counter=None),
        signed(last_counter=3),
        company_payment(checker()),
        company_payment(checker(), third()),
        company_payment(
            *(make(replace(TRANSFER, amount=yuan("2000.01"))) for make in (checker, third)),
            transaction=replace(TRANSFER, amount=yuan("2000.01")),
        ),
        payment(EXAMPLES[3], customer=CustomerFacts("F1", "company")),
    ],
)
def test_what_is_right_is_approved_and_the_approval_names_the_rules_asked(
    facts: PaymentFacts,
) -> None:
    approval = POLICY.approve(facts)
    assert approval.facts is facts
    assert approval.rules == tuple(each.name for each in RULES)


def test_every_rule_has_a_case_a_name_of_its_own_and_a_summary() -> None:
    assert list(CASES) == [each.name for each in RULES]
    for each in RULES:
        assert len(each.summary) > 20


@pytest.mark.parametrize(("name", "policy", "facts"), ALL_CASES)
def test_a_rule_refuses_by_its_name_and_no_other_does(
    name: str, policy: Policy, facts: PaymentFacts
) -> None:
    with pytest.raises(PolicyRefused) as caught:
        policy.approve(facts)
    error = caught.value
    assert (error.rule, error.rules) == (name, (name,))
    assert error.reason is RejectionReason.POLICY_REFUSED
    assert str(error).startswith(f"{name}: ")
    assert exit_code(error) is ExitCode.POLICY_REFUSED
    again = pickle.loads(pickle.dumps(error))
    assert (again.facts, again.refusals) == (error.facts, error.refusals)


@pytest.mark.parametrize(("name", "policy", "facts"), ALL_CASES)
def test_without_the_rule_the_payment_would_pass(
    name: str, policy: Policy, facts: PaymentFacts
) -> None:
    others = tuple(each for each in RULES if each.name != name)
    replace(policy, rules=others).approve(facts)


@pytest.mark.parametrize(
    ("policy", "facts"),
    [
        (with_terms(amount={None: {CNY: Decimal("1234.56")}}), payment()),
        (with_terms(amount={None: {CNY: NOT_LIMITED}}), payment()),
        (
            with_terms(amount={None: {CNY: Decimal(1)}, Kind.TRANSFER: {CNY: Decimal(5000)}}),
            payment(),
        ),
        (with_terms(payments_a_day=3), payment(payments_today=2)),
        (with_terms(payments_a_day=0), payment(EXAMPLES[3])),
        (
            with_terms(daily={Kind.SHOP: {CNY: Decimal(1)}, None: {Currency.USD: Decimal(1)}}),
            payment(today=None, payments_today=None, blind_today=None),
        ),
        (POLICY, payment(EXAMPLES[3], today=None, month=None)),
        (with_terms(hours=Hours(11 * 60, 20 * 60, timedelta(hours=8))), payment()),
        (with_terms(hours=Hours(20 * 60, 11 * 60 + 1, timedelta(hours=8))), payment()),
        (
            with_terms(hours=Hours(20 * 60, 12 * 60, timedelta(hours=-8))),
            payment(at=later(hours=2)),
        ),
        (POLICY, payment(at=EXPIRES - timedelta(microseconds=1))),
        (with_terms(milliseconds_per_page=840), payment()),
        (with_terms(counter_gap=3), signed(last_counter=3)),
        (with_terms(blind=BLIND), payment(signatures=(blind(),), blind_today=paid("765.44"))),
        (with_terms(attestation=AttestationNeed.OPTIONAL), signed(attestation=None)),
        (
            with_terms(virtual_tokens=frozenset(("US00000001",))),
            signed(
                evidence=receipt("US00000001", virtual=True),
                attestation=attestation("US00000001", virtual=True),
            ),
        ),
        (with_terms(row_amount={CNY: Decimal("2.50")}, batch_rows=2), payment(BATCH)),
    ],
)
def test_what_just_keeps_a_rule_is_approved(policy: Policy, facts: PaymentFacts) -> None:
    policy.approve(facts)


def test_all_refusals_are_told_those_of_fraud_first() -> None:
    facts = signed(last_counter=9, attestation=None)
    policy = with_terms(amount={None: {CNY: Decimal(1)}})
    with pytest.raises(PolicyRefused) as caught:
        policy.approve(facts)
    error = caught.value
    assert error.rules == ("counter-went-back", "amount-over-limit", "attestation-missing")
    assert error.is_fraud
    assert "Block the token" in error.remedy
    assert isinstance(error, TransactionRejected)


def test_what_waits_for_checkers_may_be_proposed_and_not_carried_out() -> None:
    control = POLICY.propose(company_payment())
    assert (control.checkers, control.lifetime) == (1, timedelta(hours=72))
    assert POLICY.propose(payment()).checkers == 0
    assert refusals(POLICY, company_payment()) == ("approvals-missing",)
    for name, cases in CASES.items():
        for policy, facts in cases:
            if name == "approvals-missing":
                continue
            with pytest.raises(PolicyRefused) as caught:
                policy.propose(facts)
            assert caught.value.rule == name


def test_a_currency_that_the_tiers_do_not_name_wants_the_most_checkers() -> None:
    terms = Terms(control=(ControlTier(1, {CNY: Decimal(10)}), ControlTier(3, {CNY: Decimal(99)})))
    wanted = {
        "10": 0, "10.01": 1, "99": 1, "99.01": 3,
    }  # fmt: skip
    for amount, checkers in wanted.items():
        assert terms.checkers(yuan(amount)) == checkers
    assert terms.checkers(Money(Decimal(1), Currency.JPY)) == 3
    assert terms.checkers(None) == 0


def test_the_customer_s_own_terms_go_before_the_profile_s_and_those_before_the_default() -> None:
    policy = Policy(
        default=Terms(
            payments_a_day=1,
            counter_gap=1,
            amount={None: {CNY: Decimal(1), Currency.USD: Decimal(1)}},
        ),
        profiles={"p": Terms(payments_a_day=2, amount={None: {CNY: Decimal(2)}})},
        customers={"c": Terms(payments_a_day=0, amount={Kind.SHOP: {CNY: Decimal(3)}})},
    )
    default = policy.terms_for(CustomerFacts("x"))
    profile = policy.terms_for(CustomerFacts("x", "p"))
    own = policy.terms_for(CustomerFacts("c", "p"))
    assert [each.payments_a_day for each in (default, profile, own)] == [1, 2, 0]
    assert [each.counter_gap for each in (default, profile, own)] == [1, 1, 1]
    assert profile.amount == {None: {CNY: Decimal(2), Currency.USD: Decimal(1)}}
    assert own.amount == {**profile.amount, Kind.SHOP: {CNY: Decimal(3)}}


def test_a_bank_may_add_rules_of_its_own() -> None:
    @rule("no-friday")
    def no_friday(facts: PaymentFacts, terms: Terms) -> str | None:
        """it is Friday"""
        return "closed" if facts.at.isoweekday() == 5 else None

    policy = replace(POLICY, rules=(*RULES, no_friday))
    assert refusals(policy, payment(at=later(days=-2))) == ("no-friday",)
    assert refusals(policy, payment(at=later(days=-1))) == ()


def test_nothing_is_decided_without_a_signature_or_a_time_zone() -> None:
    with pytest.raises(InputInvalid):
        payment(signatures=())
    with pytest.raises(InputInvalid):
        payment(at=later().replace(tzinfo=None))


def test_the_facts_of_a_signature_come_from_its_verification() -> None:
    message = write_message(TRANSFER)
    trust = TrustStore.load(pem(authority("Test Bank CA")))
    for algorithm in (KeyAlgorithm.RSA_2048, KeyAlgorithm.P256, KeyAlgorithm.P384):
        verified = verify_transaction(Signer.issued(algorithm).sign(message), trust, NOW)
        facts = SignatureFacts.of(verified, person="li", token="US00000001", last_counter=6)
        assert (facts.algorithm, facts.message, facts.evidence, facts.pages) == (
            algorithm,
            message,
            verified.receipt,
            len(verified.pages),
        )
    card = Signer.issued(issuer="Test Bank Blind CA")
    statement = BlindStatement("1234", "PIV card", "piv")
    shown_nothing = verify_transaction(
        card.sign(message, statement),
        trust,
        NOW,
        accept_blind=TrustStore.load(pem(authority("Test Bank Blind CA"))),
    )
    facts = SignatureFacts.of(shown_nothing, person="li", token="1234", last_counter=None)
    assert (facts.evidence, facts.receipt, facts.pages) == (statement, None, 0)


def test_a_certificate_that_cannot_be_read_is_refused_by_type() -> None:
    with pytest.raises(CertificateInvalid):
        POLICY.approve(company_payment(checker(certificate=b"\x30\x00")))


cents = st.integers(1, 10**17 - 1).map(lambda units: Decimal(units).scaleb(-2))
limits = cents | st.just(NOT_LIMITED)


def _amount(limit: Decimal) -> dict[str, Any]:
    return {"amount": {None: {CNY: limit}}}


def _total(table: str, kind: Kind | None) -> Callable[[Decimal], dict[str, Any]]:
    return lambda limit: {table: {kind: {CNY: limit}}}


def _blind(part: str) -> Callable[[Decimal], dict[str, Any]]:
    unlimited = Blind(frozenset(Kind), {CNY: NOT_LIMITED}, {CNY: NOT_LIMITED})
    changes: dict[str, Any] = {}

    def terms(limit: Decimal) -> dict[str, Any]:
        changes[part] = {CNY: limit}
        return {"blind": replace(unlimited, **changes)}

    return terms


def _control(limit: Decimal) -> dict[str, Any]:
    return {"control": (ControlTier(1, {CNY: limit}),)}


@pytest.mark.parametrize(
    ("name", "terms"),
    [
        ("amount-over-limit", _amount),
        ("daily-total-over-limit", _total("daily", None)),
        ("daily-total-over-limit", _total("daily", Kind.TRANSFER)),
        ("monthly-total-over-limit", _total("monthly", None)),
        ("monthly-total-over-limit", _total("monthly", Kind.TRANSFER)),
        ("blind-amount-over-limit", _blind("amount")),
        ("blind-total-over-limit", _blind("daily")),
        ("approvals-missing", _control),
    ],
)
@given(st.data())
def test_raising_a_limit_never_refuses_more_and_the_limit_is_where_it_is_stated(
    name: str, terms: Callable[[Decimal], dict[str, Any]], data: st.DataObject
) -> None:
    amount = data.draw(cents.filter(lambda each: each < 10**15))
    before = data.draw(cents) if "total" in name else Decimal(0)
    low, high = sorted((data.draw(limits), data.draw(limits)))
    facts = payment(replace(TRANSFER, amount=Money(amount, CNY)), signatures=(
        blind(replace(TRANSFER, amount=Money(amount, CNY))),
    ), today=paid(str(before), Kind.TRANSFER), month=paid(str(before), Kind.TRANSFER),
        blind_today=paid(str(before), Kind.TRANSFER))  # fmt: skip
    everything: dict[str, Any] = {
        "amount": {None: {CNY: NOT_LIMITED}}, "daily": {}, "monthly": {}
    } | _blind("amount")(NOT_LIMITED)  # fmt: skip
    with localcontext(Context(prec=3, traps=[Inexact])):
        by_low, by_high = (
            refusals(with_terms(**(everything | terms(limit))), facts) for limit in (low, high)
        )
    assert set(by_high) <= set(by_low)
    with localcontext(Context(prec=60)):
        total = before + amount
    assert by_low == ((name,) if total > low else ())
    assert by_high == ((name,) if total > high else ())


@given(st.integers(1, 20), st.integers(0, 20), st.integers(0, 20), st.integers(0, 20))
def test_allowing_a_greater_gap_or_more_payments_never_refuses_more(
    counter: int, last: int, low: int, more: int
) -> None:
    facts = payment(
        signatures=(signature(evidence=receipt("US00000001", counter=counter), last_counter=last),),
        payments_today=last,
    )
    for parameter in ("counter_gap", "payments_a_day"):
        by_low, by_high = (
            refusals(with_terms(**{parameter: value}), facts) for value in (low, low + more)
        )
        assert set(by_high) <= set(by_low)


@given(st.integers(1, 30), st.integers(0, 30))
def test_a_counter_is_taken_only_above_the_last_one(counter: int, last: int) -> None:
    facts = signed(evidence=receipt("US00000001", counter=counter), last_counter=last)
    wanted = {
        (True, False): ("counter-repeated",),
        (False, True): ("counter-went-back",),
        (False, False): (),
    }[(counter == last, counter < last)]
    assert refusals(POLICY, facts) == wanted


@given(st.permutations(RULES))
def test_the_order_of_the_rules_changes_no_verdict(rules: list[Rule]) -> None:
    facts = signed(last_counter=9, attestation=None)
    assert set(refusals(replace(POLICY, rules=tuple(rules)), facts)) == {
        "counter-went-back",
        "attestation-missing",
    }
