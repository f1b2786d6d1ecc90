"""What the bank allows: pure rules over facts, each refusing by its name, with terms from TOML."""

from __future__ import annotations

from ushield.bank.policy.facts import (
    BatchFacts,
    CustomerFacts,
    PaymentFacts,
    SignatureFacts,
    Sums,
)
from ushield.bank.policy.loading import PolicyInvalid, load_policy, schema
from ushield.bank.policy.policy import RULES, Approval, Control, Policy
from ushield.bank.policy.refusal import PolicyRefused, Refusal, Rule, rule
from ushield.bank.policy.terms import (
    NOT_LIMITED,
    AttestationNeed,
    Blind,
    ControlTier,
    Hours,
    Terms,
)

__all__ = [
    "NOT_LIMITED",
    "RULES",
    "Approval",
    "AttestationNeed",
    "BatchFacts",
    "Blind",
    "Control",
    "ControlTier",
    "CustomerFacts",
    "Hours",
    "PaymentFacts",
    "Policy",
    "PolicyInvalid",
    "PolicyRefused",
    "Refusal",
    "Rule",
    "SignatureFacts",
    "Sums",
    "Terms",
    "load_policy",
    "rule",
    "schema",
]
