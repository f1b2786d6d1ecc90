"""``ushield verify``: what the bank does with a signature."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from ushield.cli.batches import CheckedRows, check_rows
from ushield.cli.files import read_file
from ushield.cli.invocation import Command, Invocation, pass_invocation
from ushield.cli.presentation import describe_fields, table
from ushield.transaction.message_facts import message_facts

if TYPE_CHECKING:
    from ushield.bank import BlindTransaction

__all__ = ["command"]

_MAX_SIGNATURE = 1 << 20
_MAX_CA = 1 << 22


def _instant(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> datetime | None:
    """A time of ISO 8601; one without an offset is UTC."""
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise click.BadParameter(
            f"{value!r} is no time of ISO 8601, such as 2026-11-21T08:00:00Z"
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


@click.command(cls=Command)
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
@click.option(
    "--ca",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False),
    help="The bank's CA certificates, PEM or DER.",
)
@click.option(
    "--accept-blind",
    "blind_ca",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False),
    help="Accept what no screen showed, too, if a CA in FILE certified the signer.",
)
@click.option(
    "--batch",
    "rows",
    metavar="ROWS",
    type=click.Path(exists=True, dir_okay=False),
    help="The rows of a batch, CSV or JSON lines: check that they are those that were signed.",
)
@click.option(
    "--at", metavar="TIME", callback=_instant, help="When it has to hold; now by default."
)
@click.option(
    "--accept-virtual",
    is_flag=True,
    help="Take signatures by virtual tokens, too: for development and tests.",
)
@pass_invocation
def command(
    invocation: Invocation,
    *,
    file: str,
    ca: str | None,
    blind_ca: str | None,
    rows: str | None,
    at: datetime | None,
    accept_virtual: bool,
) -> None:
    """Verify the signature in FILE and print what was signed.

    Exit code 0 only if all of it holds; 40 if the signature does not, 41 if its signer is not
    trusted, 42 if no screen showed what was signed and --accept-blind is not given, or a virtual
    token signed it and --accept-virtual is not given. A batch is told without its rows unless
    --batch gives them; with rows that were not signed, the code is 40.

    Example: ushield verify payment.p7s --ca bank-ca.pem
    """
    from ushield.bank import BlindTransaction, TrustStore, Verifier

    if ca is None and blind_ca is None:
        raise click.UsageError("name the bank's CA: --ca FILE")
    trust = TrustStore(()) if ca is None else TrustStore.load(read_file(ca, at_most=_MAX_CA))
    blind = None if blind_ca is None else TrustStore.load(read_file(blind_ca, at_most=_MAX_CA))
    verifier = Verifier(trust, accept_virtual=accept_virtual, accept_blind=blind)
    verified = verifier.verify_either(read_file(file, at_most=_MAX_SIGNATURE), at)
    if isinstance(verified, BlindTransaction):
        _tell_blind(invocation, verified, check_rows(verified.message, rows))
        return
    receipt = verified.receipt
    checked = check_rows(verified.message, rows)
    facts = message_facts(verified.message) | {
        "display": True,
        "signer": verified.signer,
        "certificate_serial": f"{verified.certificate_serial:x}",
        "path": list(verified.path),
        "token": receipt.serial,
        "virtual": receipt.virtual,
        "counter": receipt.counter,
        "milliseconds_until_ok": receipt.milliseconds,
    }
    facts |= checked.facts
    virtual = " (virtual)" if receipt.virtual else ""
    told = table(
        [
            ("signer", verified.signer),
            ("trusted by", verified.path[-1]),
            ("token", f"{receipt.serial}{virtual}, its signature number {receipt.counter}"),
            ("read for", f"{receipt.milliseconds / 1000:.1f} s before OK"),
        ]
    )
    shown, hidden = map(describe_fields, (verified.message.shown, verified.message.hidden))
    invocation.output.result(
        facts,
        f"The signature holds. Shown on the token, and confirmed:\n{shown}\n"
        f"Signed without being shown:\n{hidden}\n{told}{checked.text}",
    )


def _tell_blind(invocation: Invocation, blind: BlindTransaction, checked: CheckedRows) -> None:
    statement = blind.statement
    facts = message_facts(blind.message)
    fields = {**facts.pop("shown"), **facts.pop("hidden")}
    virtual = " (virtual)" if statement.virtual else ""
    invocation.output.result(
        facts
        | {
            "display": False,
            "signed": fields,
            "signer": blind.signer,
            "certificate_serial": f"{blind.certificate_serial:x}",
            "path": list(blind.path),
            "token": statement.serial,
            "model": statement.model,
            "virtual": statement.virtual,
        }
        | checked.facts,
        "The signature holds. NO SCREEN SHOWED IT: a program on the signer's computer chose what"
        " was signed.\nSigned without being shown:\n"
        + describe_fields((*blind.message.shown, *blind.message.hidden))
        + "\n"
        + table(
            [
                ("signer", blind.signer),
                ("trusted by", blind.path[-1]),
                ("token", f"{statement.serial} {statement.model}{virtual}, by its host's word"),
            ]
        )
        + checked.text,
    )
