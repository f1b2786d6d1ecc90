"""Rules on who signed by what: press, token, counter, key, attestation."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from ushield.algorithms import KeyAlgorithm
from ushield.bank.policy.amounts import display
from ushield.bank.policy.facts import PaymentFacts, SignatureFacts, Sums, exact_sum
from ushield.bank.policy.refusal import Rule, rule
from ushield.bank.policy.terms import AttestationNeed, Terms
from ushield.transaction.message import write_message

__all__ = ["EVIDENCE_RULES"]

_DISPLAY = 1


def each_signature(
    name: str, *, fraud: bool = False
) -> Callable[[Callable[[SignatureFacts, Terms], str | None]], Rule]:
    """A rule that looks at one signature at a time, and names the one it refuses."""

    def make(check: Callable[[SignatureFacts, Terms], str | None]) -> Rule:
        def check_all(facts: PaymentFacts, terms: Terms) -> str | None:
            for signature in facts.signatures:
                problem = check(signature, terms)
                if problem is not None:
                    return f"{signature.person}, token {signature.token}: {problem}"
            return None

        check_all.__doc__ = check.__doc__
        return Rule(name, check_all, fraud)

    return make


@rule("message-mismatch")
def message_mismatch(facts: PaymentFacts, terms: Terms) -> str | None:
    """a signature is over other bytes than the payment's message"""
    message = write_message(facts.transaction)
    for signature in facts.signatures:
        if signature.message != message:
            return f"{signature.person} signed another message"
    return None


@rule("press-required")
def press_required(facts: PaymentFacts, terms: Terms) -> str | None:
    """no screen showed it, and its kind wants a token's screen and OK"""
    if not facts.is_blind or (terms.blind is not None and facts.kind in terms.blind.kinds):
        return None
    return f"a {facts.kind} is confirmed on a token's screen, and no screen showed this one"


@rule("blind-amount-over-limit")
def blind_amount_over_limit(facts: PaymentFacts, terms: Terms) -> str | None:
    """no screen showed it, and the amount is over what may be paid so"""
    if not facts.is_blind or terms.blind is None or facts.amount is None:
        return None
    limit = terms.blind.amount.get(facts.amount.currency, Decimal(0))
    if facts.amount.amount <= limit:
        return None
    limit_text = display(limit, facts.amount.currency)
    return f"{facts.amount.display} is over the limit of {limit_text} for what no screen showed"


@rule("blind-total-over-limit")
def blind_total_over_limit(facts: PaymentFacts, terms: Terms) -> str | None:
    """with it, the day's sum of what no screen showed is over the limit"""
    if not facts.is_blind or terms.blind is None or facts.amount is None:
        return None
    currency = facts.amount.currency
    limit = terms.blind.daily.get(currency, Decimal(0))
    total = exact_sum((facts.blind_today or Sums()).of(currency), facts.amount.amount)
    if total <= limit:
        return None
    return (
        f"{display(total, currency)} today is over the limit of {display(limit, currency)}"
        " for what no screen showed"
    )


@each_signature("virtual-token")
def virtual_token(signature: SignatureFacts, terms: Terms) -> str | None:
    """the token is a virtual one, which the policy does not name"""
    attestation = signature.attestation
    virtual = signature.evidence.virtual or (attestation is not None and attestation.virtual)
    if not virtual or signature.token in (terms.virtual_tokens or ()):
        return None
    return "is a virtual one, whose keys lie in a file"


@each_signature("token-mismatch")
def token_mismatch(signature: SignatureFacts, terms: Terms) -> str | None:
    """the receipt is by another token than the one registered for the certificate"""
    receipt = signature.receipt
    if receipt is None or receipt.serial == signature.token:
        return None
    return f"the receipt is by {receipt.serial}"


@each_signature("counter-repeated", fraud=True)
def counter_repeated(signature: SignatureFacts, terms: Terms) -> str | None:
    """the token counted this signature as one that the bank accepted before"""
    receipt, last = signature.receipt, signature.last_counter
    if receipt is None or last is None or receipt.counter != last:
        return None
    return f"its signature {last} was accepted before"


@each_signature("counter-went-back", fraud=True)
def counter_went_back(signature: SignatureFacts, terms: Terms) -> str | None:
    """the token's counter is below one that the bank accepted: a copy signs, or an old state"""
    receipt, last = signature.receipt, signature.last_counter
    if receipt is None or last is None or receipt.counter >= last:
        return None
    return f"it counts {receipt.counter}, after {last} was accepted"


@each_signature("counter-gap")
def counter_gap(signature: SignatureFacts, terms: Terms) -> str | None:
    """the token made more signatures that the bank did not see than are allowed"""
    receipt, allowed = signature.receipt, terms.counter_gap
    if receipt is None or allowed is None:
        return None
    unseen = receipt.counter - (signature.last_counter or 0) - 1
    if unseen <= allowed:
        return None
    return f"made {unseen} signatures that the bank did not see"


@each_signature("read-too-fast")
def read_too_fast(signature: SignatureFacts, terms: Terms) -> str | None:
    """OK came sooner than anybody reads that many pages"""
    receipt, per_page = signature.receipt, terms.milliseconds_per_page
    if receipt is None or per_page is None or receipt.milliseconds >= per_page * signature.pages:
        return None
    return f"OK after {receipt.milliseconds} ms for {signature.pages} pages"


@each_signature("algorithm-not-allowed")
def algorithm_not_allowed(signature: SignatureFacts, terms: Terms) -> str | None:
    """the signer's key is of a kind that is not allowed"""
    allowed = terms.algorithms if terms.algorithms is not None else frozenset(KeyAlgorithm)
    if signature.algorithm in allowed:
        return None
    return f"signed by a key of the kind {signature.algorithm or 'without a name'}"


@each_signature("attestation-missing")
def attestation_missing(signature: SignatureFacts, terms: Terms) -> str | None:
    """no token attested the key that signed what a screen is said to have shown"""
    if terms.attestation is AttestationNeed.OPTIONAL or signature.receipt is None:
        return None
    return "no attestation of its key is registered" if signature.attestation is None else None


@each_signature("attestation-mismatch")
def attestation_mismatch(signature: SignatureFacts, terms: Terms) -> str | None:
    """the attestation is by another token than the receipt, or differs on whether it is virtual"""
    receipt, attestation = signature.receipt, signature.attestation
    if receipt is None or attestation is None:
        return None
    if (attestation.serial, attestation.virtual) == (receipt.serial, receipt.virtual):
        return None
    return f"its key was attested by {attestation.serial}"


@each_signature("key-not-generated")
def key_not_generated(signature: SignatureFacts, terms: Terms) -> str | None:
    """the key was not made on the token, so others may have it"""
    attestation = signature.attestation
    if attestation is None or attestation.generated:
        return None
    return "its key was brought to the token from outside"


@each_signature("key-without-display")
def key_without_display(signature: SignatureFacts, terms: Terms) -> str | None:
    """there is a receipt, but the key is attested to sign what its host wants"""
    attestation = signature.attestation
    if signature.receipt is None or attestation is None or attestation.usage == _DISPLAY:
        return None
    return "its key signs what no screen showed"


EVIDENCE_RULES = (
    message_mismatch,
    press_required,
    blind_amount_over_limit,
    blind_total_over_limit,
    virtual_token,
    token_mismatch,
    counter_repeated,
    counter_went_back,
    counter_gap,
    read_too_fast,
    algorithm_not_allowed,
    attestation_missing,
    attestation_mismatch,
    key_not_generated,
    key_without_display,
)
