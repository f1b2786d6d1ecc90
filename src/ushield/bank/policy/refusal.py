"""What a rule is, and how it refuses: by its name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ushield.bank.policy.facts import PaymentFacts
from ushield.bank.policy.terms import Terms
from ushield.bank.rejection import RejectionReason, TransactionRejected

__all__ = ["Check", "PolicyRefused", "Refusal", "Rule", "rule"]

Check = Callable[[PaymentFacts, Terms], str | None]
"""Says what is against a payment under these terms, or nothing."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A rule's no. ``fraud``: no honest customer gets it; look into the token it came from."""

    rule: str
    message: str
    fraud: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """A pure function over facts with a name that is stable across releases.

    ``completes``: it asks for what a proposed payment still waits for.
    """

    name: str
    check: Check
    fraud: bool = False
    completes: bool = False

    @property
    def summary(self) -> str:
        """When it refuses, in one line."""
        return (self.check.__doc__ or "").strip().splitlines()[0]

    def __call__(self, facts: PaymentFacts, terms: Terms) -> Refusal | None:
        """Its refusal, if it has one."""
        problem = self.check(facts, terms)
        return None if problem is None else Refusal(self.name, problem, self.fraud)


def rule(name: str, *, fraud: bool = False, completes: bool = False) -> Callable[[Check], Rule]:
    """Make a rule of a function, whose docstring's first line tells when it refuses."""
    return lambda check: Rule(name, check, fraud, completes)


class PolicyRefused(TransactionRejected):
    """The bank's policy does not allow this payment, whose signature may be sound.

    ``rule`` is the first that refused, ``refusals`` all of them; those that say fraud come first.
    """

    code = "policy-refused"
    carries = ("reason", "rule", "rules")

    def __init__(self, refusals: Sequence[Refusal]) -> None:
        ordered = sorted(refusals, key=lambda each: not each.fraud)
        super().__init__(
            "; ".join(f"{each.rule}: {each.message}" for each in ordered),
            reason=RejectionReason.POLICY_REFUSED,
        )
        self.refusals = tuple(ordered)
        self.rule = ordered[0].rule
        if self.is_fraud:
            self.remedy = "Block the token, and ask the customer how it came to this."

    @property
    def rules(self) -> tuple[str, ...]:
        """The names of all that refused."""
        return tuple(each.rule for each in self.refusals)

    @property
    def is_fraud(self) -> bool:
        """Whether a rule refused that no honest customer breaks."""
        return any(each.fraud for each in self.refusals)
