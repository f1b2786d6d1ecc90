"""A policy: terms for every customer, and the rules that hold payments to them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta

from ushield.bank.policy.amounts import AMOUNT_RULES
from ushield.bank.policy.control import CONTROL_RULES
from ushield.bank.policy.evidence import EVIDENCE_RULES
from ushield.bank.policy.facts import CustomerFacts, PaymentFacts, amount_of
from ushield.bank.policy.refusal import PolicyRefused, Rule
from ushield.bank.policy.terms import Terms
from ushield.transaction.model import Transaction

__all__ = ["RULES", "Approval", "Control", "Policy"]

RULES: tuple[Rule, ...] = (*AMOUNT_RULES, *EVIDENCE_RULES, *CONTROL_RULES)
"""All rules there are, in the order in which refusals are told."""

_PROPOSAL_HOURS = 72


@dataclass(frozen=True, slots=True)
class Approval:
    """The policy allows the payment. Only `Policy.approve` makes one.

    ``policy`` is the digest of the policy's file (hexadecimal), ``None`` for one made in a
    program; ``rules`` are the names of those that were asked. Both are for the record.
    """

    facts: PaymentFacts
    policy: str | None
    rules: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Control:
    """What a proposed payment waits for: how many checkers, and for how long at most."""

    checkers: int
    lifetime: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What a bank allows: by default, by profile of customers, and by customer.

    A policy is pure: it decides from the facts handed in, by the same facts always the same.
    ``rules`` may have rules of the bank's own beside `RULES`. ``digest`` is of the file it is from.
    """

    default: Terms = field(default_factory=Terms)
    profiles: Mapping[str, Terms] = field(default_factory=dict)
    customers: Mapping[str, Terms] = field(default_factory=dict)
    rules: tuple[Rule, ...] = field(default=RULES, repr=False)
    digest: str | None = None

    def terms_for(self, customer: CustomerFacts) -> Terms:
        """The terms that hold for a customer, merged."""
        terms = self.default
        profile = self.profiles.get(customer.profile) if customer.profile is not None else None
        if profile is not None:
            terms = replace(profile.over(terms), profile=customer.profile)
        own = self.customers.get(customer.id)
        return terms if own is None else own.over(terms)

    def approve(self, facts: PaymentFacts) -> Approval:
        """Allow the payment to be carried out, or raise `PolicyRefused`."""
        self._ask(self.rules, facts)
        return Approval(facts, self.digest, tuple(rule.name for rule in self.rules))

    def propose(self, facts: PaymentFacts) -> Control:
        """Let a maker's payment wait for checkers, or raise `PolicyRefused`.

        Everything that `approve` asks for must hold, but that the checkers have signed. That this
        returns allows nothing to be carried out.
        """
        self._ask((rule for rule in self.rules if not rule.completes), facts)
        return self.control(facts.customer, facts.transaction)

    def control(self, customer: CustomerFacts, transaction: Transaction) -> Control:
        """What such a transaction of this customer would wait for; that allows nothing, either."""
        terms = self.terms_for(customer)
        hours = terms.proposal_hours if terms.proposal_hours is not None else _PROPOSAL_HOURS
        return Control(terms.checkers(amount_of(transaction)), timedelta(hours=hours))

    def _ask(self, rules: Iterable[Rule], facts: PaymentFacts) -> None:
        terms = self.terms_for(facts.customer)
        refusals = [refusal for rule in rules if (refusal := rule(facts, terms)) is not None]
        if refusals:
            raise PolicyRefused(refusals)
