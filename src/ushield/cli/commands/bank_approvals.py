"""``ushield bank propose``, ``approve`` and what else ends a proposal: several people."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ushield.cli.bank_folder import BankCommand, load_bank
from ushield.cli.bank_rows import rows_for, rows_option
from ushield.cli.files import read_file
from ushield.cli.invocation import Invocation, pass_invocation
from ushield.cli.presentation import describe_fields, table

if TYPE_CHECKING:
    from ushield.bank.approval import Proposal

__all__ = ["approve", "proposals", "propose", "reject", "withdraw"]

_MAX_SIGNATURE = 1 << 20


@click.command(cls=BankCommand)
@click.argument("challenge_id", metavar="CHALLENGE")
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
@rows_option
@pass_invocation
def propose(
    invocation: Invocation, *, bank: str, challenge_id: str, file: str, rows: str | None
) -> None:
    """Take the maker's signature in FILE for CHALLENGE, and wait for as many checkers as the policy
    wants.

    Each of them signs what the maker signed, with a token of their own, and hands it to `approve`.

    Example: ushield bank propose 2f6c0c1e9d3b4a58a7f1e2d3c4b5a697 maker.p7s
    """
    signature = read_file(file, at_most=_MAX_SIGNATURE)
    with load_bank(bank).open() as opened, rows_for(opened, challenge_id, rows) as verified:
        proposal = opened.approvals.propose(challenge_id, signature, rows=verified)
    _tell(invocation, proposal)


@click.command(cls=BankCommand)
@click.argument("challenge_id", metavar="CHALLENGE")
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
@rows_option
@pass_invocation
def approve(
    invocation: Invocation, *, bank: str, challenge_id: str, file: str, rows: str | None
) -> None:
    """Take a checker's signature in FILE; the payment is to be carried out if it was the last one.

    Exit code 0 if the signature counts; only a `payment`, which comes once, says what is to be
    carried out. 40, 41 and 42 as of `ushield bank accept`.

    Example: ushield bank approve 2f6c0c1e9d3b4a58a7f1e2d3c4b5a697 checker.p7s
    """
    from ushield.bank.approval import ApprovedPayment
    from ushield.bank.record_facts import proposal_facts
    from ushield.transaction import parse_message

    signature = read_file(file, at_most=_MAX_SIGNATURE)
    with load_bank(bank).open() as opened, rows_for(opened, challenge_id, rows) as verified:
        outcome = opened.approvals.approve(challenge_id, signature, rows=verified)
    if not isinstance(outcome, ApprovedPayment):
        facts = {"proposal": proposal_facts(outcome), "payment": None}
        invocation.output.result(facts, _text(outcome))
        return
    proposal = outcome.proposal
    found = proposal_facts(proposal)
    shown = parse_message(proposal.message).shown
    invocation.output.result(
        {"proposal": found, "payment": found["transaction"]},
        f"To be carried out, signed by {_signers(proposal)}:\n{describe_fields(shown)}",
    )


@click.command(cls=BankCommand)
@click.argument("challenge_id", metavar="CHALLENGE")
@click.option("--person", metavar="ID", required=True, help="The maker, who asked for that.")
@pass_invocation
def withdraw(invocation: Invocation, *, bank: str, challenge_id: str, person: str) -> None:
    """Take a proposal back for its maker.

    Example: ushield bank withdraw 2f6c0c1e9d3b4a58a7f1e2d3c4b5a697 --person li
    """
    with load_bank(bank).open() as opened:
        _tell(invocation, opened.approvals.withdraw(challenge_id, person))


@click.command(cls=BankCommand)
@click.argument("challenge_id", metavar="CHALLENGE")
@click.option("--person", metavar="ID", required=True, help="Who may check it, and says no.")
@pass_invocation
def reject(invocation: Invocation, *, bank: str, challenge_id: str, person: str) -> None:
    """Say no to a proposal, for someone who may check it; that is for good.

    Example: ushield bank reject 2f6c0c1e9d3b4a58a7f1e2d3c4b5a697 --person wang
    """
    with load_bank(bank).open() as opened:
        _tell(invocation, opened.approvals.reject(challenge_id, person))


@click.command(cls=BankCommand)
@click.option("--customer", metavar="ID", help="Only this customer's.")
@click.option(
    "--challenge", "challenge_id", metavar="CHALLENGE", help="This one, however it ended."
)
@pass_invocation
def proposals(
    invocation: Invocation, *, bank: str, customer: str | None, challenge_id: str | None
) -> None:
    """Tell which payments wait for checkers, those that end soonest first.

    Example: ushield bank proposals --customer firm
    """
    from ushield.bank.record_facts import proposal_facts

    with load_bank(bank).open() as opened:
        desk = opened.approvals
        found = desk.waiting(customer) if challenge_id is None else [desk.find(challenge_id)]
    text = "\n\n".join(_text(each) for each in found) or "Nothing waits."
    invocation.output.result({"proposals": [proposal_facts(each) for each in found]}, text)


def _tell(invocation: Invocation, proposal: Proposal) -> None:
    from ushield.bank.record_facts import proposal_facts

    invocation.output.result(proposal_facts(proposal), _text(proposal))


def _text(proposal: Proposal) -> str:
    missing = proposal.needed - len(proposal.checkers)
    able = sorted(proposal.entitled - {each.person for each in proposal.endorsements})
    rows = [
        ("challenge", proposal.challenge),
        ("customer", proposal.customer),
        ("stage", proposal.stage.value),
        ("signed by", _signers(proposal)),
        ("expires", proposal.expires_at.isoformat()),
    ]
    if proposal.stage.value == "open":
        rows.append(("waits for", f"{missing} of {', '.join(able)}"))
    elif proposal.ended_by is not None:
        rows.append(("ended by", proposal.ended_by))
    return table(rows)


def _signers(proposal: Proposal) -> str:
    return ", ".join(each.person for each in proposal.endorsements)
