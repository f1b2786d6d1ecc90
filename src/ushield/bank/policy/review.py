"""What in a policy a careful person would ask about, though the policy is sound."""

from __future__ import annotations

from collections.abc import Iterator

from ushield.bank.policy.policy import Policy
from ushield.bank.policy.terms import NOT_LIMITED, AttestationNeed, Terms
from ushield.transaction.forms import UNPAID, Kind

__all__ = ["review"]


def review(policy: Policy) -> tuple[str, ...]:
    """Remarks, each with the place it is about: what is let through, and what can never pass."""
    layers = [("default", policy.default, policy.default)]
    layers += [
        (f"profile {name}", own, own.over(policy.default)) for name, own in policy.profiles.items()
    ]
    layers += [(f"customer {name}", own, own) for name, own in policy.customers.items()]
    found = [f"{place}: {remark}" for place, own, _ in layers for remark in _risks(own)]
    whole = layers[: 1 + len(policy.profiles)]
    found += [f"{place}: {remark}" for place, _, merged in whole for remark in _gaps(merged)]
    return tuple(found)


def _risks(own: Terms) -> Iterator[str]:
    if own.virtual_tokens:
        yield f"virtual tokens may sign: {', '.join(sorted(own.virtual_tokens))}"
    if own.attestation is AttestationNeed.OPTIONAL:
        yield "keys may sign that no token attested"
    if own.blind is not None and own.blind.kinds:
        yield f"no screen is wanted for: {', '.join(sorted(own.blind.kinds))}"
    for kind, limits in own.amount.items():
        for currency, limit in limits.items():
            if limit == NOT_LIMITED:
                yield f"{kind or 'any'} may be of any amount in {currency}"


def _gaps(merged: Terms) -> Iterator[str]:
    if not merged.kinds:
        yield "no kinds are stated, so every transaction is refused"
        return
    for kind in sorted(merged.kinds - UNPAID):
        if not merged.amount.get(kind) and not merged.amount.get(None):
            yield f"no amount is stated for {kind}, so every one is refused"
    if Kind.BATCH in merged.kinds and not merged.control:
        yield "a batch wants no checker"
