"""Rules on companies: several people with several tokens, and batches of rows."""

from __future__ import annotations

from itertools import combinations

from ushield.bank.policy.amounts import display
from ushield.bank.policy.facts import PaymentFacts
from ushield.bank.policy.keys import key_digest
from ushield.bank.policy.refusal import rule
from ushield.bank.policy.terms import Terms
from ushield.transaction.model import Batch

__all__ = ["CONTROL_RULES"]


@rule("approvals-missing", completes=True)
def approvals_missing(facts: PaymentFacts, terms: Terms) -> str | None:
    """fewer checkers have signed than a payment of this amount wants"""
    needed, there = terms.checkers(facts.amount), len(facts.signatures) - 1
    if there >= needed:
        return None
    return f"{needed} checkers beside the maker must sign, {there} did"


@rule("same-person")
def same_person(facts: PaymentFacts, terms: Terms) -> str | None:
    """one person signed more than once: maker and checkers are different people"""
    for one, other in combinations(facts.signatures, 2):
        if one.person == other.person:
            return f"{one.person} signed more than once"
    return None


@rule("same-token")
def same_token(facts: PaymentFacts, terms: Terms) -> str | None:
    """one token or one key signed more than once: each has a token of their own"""
    for one, other in combinations(facts.signatures, 2):
        if one.token == other.token:
            return f"{one.person} and {other.person} signed by the token {one.token}"
        if key_digest(one.certificate) == key_digest(other.certificate):
            return f"{one.person} and {other.person} signed by one key"
    return None


@rule("batch-rows-unchecked")
def batch_rows_unchecked(facts: PaymentFacts, terms: Terms) -> str | None:
    """the rows of a batch were not checked against what was signed"""
    if not isinstance(facts.transaction, Batch) or facts.batch is not None:
        return None
    return "nobody compared the rows with the digest that was signed"


@rule("batch-too-many-rows")
def batch_too_many_rows(facts: PaymentFacts, terms: Terms) -> str | None:
    """a batch has more rows than are allowed"""
    batch = facts.transaction
    if not isinstance(batch, Batch) or terms.batch_rows is None or batch.count <= terms.batch_rows:
        return None
    return f"{batch.count} rows, {terms.batch_rows} are allowed"


@rule("batch-row-over-limit")
def batch_row_over_limit(facts: PaymentFacts, terms: Terms) -> str | None:
    """a row of a batch is over the limit for one row"""
    batch = facts.transaction
    if not isinstance(batch, Batch) or facts.batch is None:
        return None
    currency = batch.total.currency
    limit = terms.row_amount.get(currency)
    if limit is None or facts.batch.largest <= limit:
        return None
    return (
        f"a row of {display(facts.batch.largest, currency)} is over the limit of"
        f" {display(limit, currency)}"
    )


CONTROL_RULES = (
    approvals_missing,
    same_person,
    same_token,
    batch_rows_unchecked,
    batch_too_many_rows,
    batch_row_over_limit,
)
