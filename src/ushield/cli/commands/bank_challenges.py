"""``ushield bank issue``, ``accept``, ``challenge``: from a transaction to an accepted one."""

from __future__ import annotations

import json
from datetime import timedelta

import click

from ushield.cli.bank_folder import BankCommand, load_bank
from ushield.cli.bank_rows import rows_for, rows_option
from ushield.cli.batches import currency_of, summarise_rows
from ushield.cli.files import NewFile, new_file_options, read_file
from ushield.cli.invocation import Invocation, pass_invocation
from ushield.cli.presentation import describe_fields, table
from ushield.transaction.message_facts import message_facts

__all__ = ["accept", "challenge", "issue"]

_MAX_TRANSACTION = 1 << 17
_MAX_SIGNATURE = 1 << 20
_DRAFT = "draft"


@click.command(cls=BankCommand)
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
@click.option("--customer", metavar="ID", required=True, help="Who is to sign it.")
@new_file_options("the transaction to sign goes (JSON)")
@click.option(
    "--lifetime",
    metavar="SECONDS",
    type=click.IntRange(1, 366 * 86400),
    help="How long the challenge lives, a day at most unless it waits for checkers; the bank's own"
    " time without it.",
)
@click.option(
    "--repeat", is_flag=True, help="If the same was asked for before and is live, give that again."
)
@click.option(
    "--batch",
    "rows",
    metavar="ROWS",
    type=click.Path(exists=True, dir_okay=False),
    help="The rows of a batch, CSV or JSON lines; FILE may leave out count, total and digest.",
)
@pass_invocation
def issue(
    invocation: Invocation,
    *,
    bank: str,
    file: str,
    customer: str,
    out: str,
    lifetime: int | None,
    repeat: bool,
    force: bool,
    rows: str | None,
) -> None:
    """Ask a customer to sign the transaction in FILE (JSON), which needs no challenge of its own.

    What comes out has the bank's challenge and its expiry: it is for `ushield sign`.

    Example: ushield bank issue payment.json --customer alice -o to-sign.json
    """
    from ushield.transaction import batch_from_json, from_json, to_json

    source = read_file(file, at_most=_MAX_TRANSACTION)
    if rows is None:
        draft = from_json(source, challenge=_DRAFT)
    else:
        summary = summarise_rows(rows, currency_of(source))
        draft = batch_from_json(source, summary.tally, challenge=_DRAFT)
        invocation.output.say(summary.text)
    with NewFile(out, replace=force) as target, load_bank(bank).open() as opened:
        issued = opened.issue(
            draft,
            customer=customer,
            lifetime=None if lifetime is None else timedelta(seconds=lifetime),
            repeat=repeat,
        )
        transaction = to_json(issued.transaction)
        text = json.dumps(transaction, ensure_ascii=False, indent=2) + "\n"
        target.commit(text.encode())
    facts = {
        "challenge": issued.id,
        "customer": customer,
        "expires": issued.expires_at.isoformat(),
        "transaction": transaction,
    }
    told = [("challenge", issued.id), ("expires", issued.expires_at.isoformat())]
    invocation.output.result(facts, f"To be signed: {out}\n{table(told)}")


@click.command(cls=BankCommand)
@click.argument("challenge_id", metavar="CHALLENGE")
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
@rows_option
@pass_invocation
def accept(
    invocation: Invocation, *, bank: str, challenge_id: str, file: str, rows: str | None
) -> None:
    """Accept the signature in FILE for CHALLENGE, once.

    Exit code 0 only if it is to be carried out; 40 if signature or challenge are not valid, 41 if
    the signer is not trusted, 42 if the bank's rules forbid it, 60 if the database failed.

    Example: ushield bank accept 2f6c0c1e9d3b4a58a7f1e2d3c4b5a697 payment.p7s
    """
    from ushield.bank import VerifiedTransaction

    signature = read_file(file, at_most=_MAX_SIGNATURE)
    with load_bank(bank).open() as opened, rows_for(opened, challenge_id, rows) as verified:
        accepted = opened.accept(challenge_id, signature, rows=verified)
    message = accepted.verified.message
    shown = isinstance(accepted.verified, VerifiedTransaction)
    facts = {
        "challenge": accepted.challenge_id,
        "customer": accepted.customer_id,
        "token": accepted.token_serial,
        "display": shown,
        "accepted": accepted.accepted_at.isoformat(),
        **message_facts(message),
    }
    how = "signed with" if shown else "NO SCREEN SHOWED IT, signed with"
    invocation.output.result(
        facts,
        f"Accepted from {accepted.customer_id}, {how} {accepted.token_serial}:\n"
        f"{describe_fields(message.shown)}",
    )


@click.command(cls=BankCommand)
@click.argument("challenge_id", metavar="CHALLENGE")
@click.option("--withdraw", is_flag=True, help="Take no signature for it any more.")
@pass_invocation
def challenge(invocation: Invocation, *, bank: str, challenge_id: str, withdraw: bool) -> None:
    """Tell what became of CHALLENGE, or withdraw it.

    Example: ushield bank challenge 2f6c0c1e9d3b4a58a7f1e2d3c4b5a697
    """
    with load_bank(bank).open() as opened:
        found = opened.withdraw(challenge_id) if withdraw else opened.challenge(challenge_id)
    facts = {
        "challenge": found.id,
        "customer": found.customer_id,
        "state": found.state.value,
        "issued": found.issued_at.isoformat(),
        "expires": found.expires_at.isoformat(),
        "decided": found.decided_at and found.decided_at.isoformat(),
        "counter": found.counter,
    }
    rows = [(name, "" if value is None else str(value)) for name, value in facts.items()]
    invocation.output.result(facts, table(rows))
