"""``ushield bank policy``: whether a policy's file is one, and what it says."""

from __future__ import annotations

import json

import click

from ushield.cli.files import read_file
from ushield.cli.invocation import Command, Invocation, pass_invocation

__all__ = ["command"]


@click.group()
def command() -> None:
    """What the bank allows: limits, tokens, checkers.

    Example: ushield bank policy check policy.toml
    """


@command.command(cls=Command)
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
@click.option("--profile", metavar="NAME", help="Tell what holds for customers of this profile.")
@click.option("--customer", metavar="ID", help="Tell what holds for this customer.")
@pass_invocation
def check(invocation: Invocation, *, file: str, profile: str | None, customer: str | None) -> None:
    """Check the policy in FILE (TOML), and tell the terms that hold, all layers merged.

    Remarks are on what is allowed that need not be, and what can never pass; they make no error.

    Example: ushield bank policy check policy.toml --profile company
    """
    from ushield.bank.policy import CustomerFacts, load_policy
    from ushield.bank.policy.loading import MAX_POLICY
    from ushield.bank.policy.review import review
    from ushield.bank.policy.writing import to_table

    policy = load_policy(read_file(file, at_most=MAX_POLICY))
    for name, known, option in (
        (profile, policy.profiles, "--profile"),
        (customer, policy.customers, "--customer"),
    ):
        if name is not None and name not in known:
            stated = ", ".join(known) or "none"
            raise click.UsageError(f"{option}: {file} states nothing for {name}; it has {stated}")
    terms = to_table(policy.terms_for(CustomerFacts(customer or "", profile)))
    remarks = review(policy)
    facts = {
        "file": file,
        "digest": policy.digest,
        "profiles": sorted(policy.profiles),
        "customers": sorted(policy.customers),
        "rules": [rule.name for rule in policy.rules],
        "terms": terms,
        "remarks": remarks,
    }
    lines = [f"{file} is a policy, SHA-256 {policy.digest}"]
    lines += [f"profiles: {', '.join(policy.profiles) or 'none'}"]
    lines += [f"customers: {', '.join(policy.customers) or 'none'}", "terms:"]
    lines += [
        f"  {name} = {json.dumps(value, ensure_ascii=False)}" for name, value in terms.items()
    ]
    lines += [f"remark: {remark}" for remark in remarks]
    invocation.output.result(facts, "\n".join(lines))
