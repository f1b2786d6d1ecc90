"""``ushield bank customer``, ``assign``: whose terms hold, and who has which token."""

from __future__ import annotations

import click

from ushield.cli.bank_folder import BankCommand, load_bank
from ushield.cli.invocation import Invocation, pass_invocation

__all__ = ["assign", "customer"]


@click.command(cls=BankCommand)
@click.argument("customer_id", metavar="CUSTOMER")
@click.option("--profile", metavar="NAME", help="The policy's profile that holds from now on.")
@click.option("--no-profile", is_flag=True, help="The policy's default holds from now on.")
@pass_invocation
def customer(
    invocation: Invocation,
    *,
    bank: str,
    customer_id: str,
    profile: str | None,
    no_profile: bool,
) -> None:
    """Change which terms of the policy hold for CUSTOMER, whom the bank knows.

    Example: ushield bank customer firm --profile company
    """
    if (profile is None) is not no_profile:
        raise click.UsageError("either --profile or --no-profile")
    with load_bank(bank).open() as opened:
        opened.change_profile(customer_id, profile)
    text = f"For {customer_id} holds: {profile or 'the default'}"
    invocation.output.result({"customer": customer_id, "profile": profile}, text)


@click.command(cls=BankCommand)
@click.argument("serial")
@click.argument("person")
@click.option("--checks", is_flag=True, help="That person may check payments of others.")
@pass_invocation
def assign(invocation: Invocation, *, bank: str, serial: str, person: str, checks: bool) -> None:
    """Say that PERSON has the token with this SERIAL number, as one of its customer's people.

    Example: ushield bank assign US00000001 wang --checks
    """
    from ushield.bank.record_facts import token_facts

    with load_bank(bank).open() as opened:
        token = opened.assign(serial, person, checks=checks)
    may = ", who may check payments of others" if token.checks else ""
    invocation.output.result(
        token_facts(token), f"{serial} of {token.customer_id}: {token.person}{may}"
    )
