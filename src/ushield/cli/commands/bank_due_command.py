"""``ushield bank due`` and ``revocations``: what somebody should see to."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click

from ushield.cli.bank_folder import BankCommand, load_bank
from ushield.cli.invocation import Invocation, pass_invocation

if TYPE_CHECKING:
    from ushield.bank.lifecycle.revocations import PendingRevocation

__all__ = ["due", "revocations"]


@click.command(cls=BankCommand)
@click.option(
    "--within",
    metavar="DAYS",
    type=click.IntRange(0, 3650),
    default=30,
    show_default=True,
    help="Certificates that end in so many days.",
)
@click.option(
    "--pin-age",
    metavar="DAYS",
    type=click.IntRange(0, 3650),
    default=365,
    show_default=True,
    help="PINs of which the bank has heard nothing new for so many days.",
)
@pass_invocation
def due(invocation: Invocation, *, bank: str, within: int, pin_age: int) -> None:
    """List what is due: certificates, PINs, and whatever waits for somebody.

    Example: ushield bank due --within 60 --json
    """
    from ushield.bank.record_facts import reminder_facts

    with load_bank(bank).open() as opened:
        found = opened.due(within=timedelta(days=within), pin_age=timedelta(days=pin_age))
    facts = [reminder_facts(each) for each in found]
    lines = [f"{each.due:%Y-%m-%d %H:%M}  {each.kind}  {each.customer_id}" for each in found]
    invocation.output.result({"due": facts}, "\n".join(lines) or "Nothing is due.")


@click.command(cls=BankCommand)
@click.option("--run", is_flag=True, help="Ask the CA for those that wait.")
@pass_invocation
def revocations(invocation: Invocation, *, bank: str, run: bool) -> None:
    """List the certificates that the CA has yet to revoke, or have it do so.

    Run it by a timer: a loss counts at the bank at once, and elsewhere by the CA's next CRL.

    Example: ushield bank revocations --run
    """
    configuration = load_bank(bank)
    with configuration.open() as opened:
        queue = opened.revocations(configuration.issuing().open(opened.store))
        done: tuple[PendingRevocation, ...] = ()
        if run:
            done = queue.run().done
        left = queue.pending()
    lines = [f"revoked  {each.token}  {each.reason}" for each in done]
    lines += [f"waiting  {each.token}  {each.reason}  {each.last_error or ''}" for each in left]
    invocation.output.result(
        {"done": [_facts(each) for each in done], "waiting": [_facts(each) for each in left]},
        "\n".join(lines) or "No revocation waits.",
    )


def _facts(each: PendingRevocation) -> dict[str, Any]:
    return {
        "certificate_sha256": each.certificate_sha256.hex(),
        "certificate_serial": each.serial_number,
        "token": each.token,
        "customer": each.customer_id,
        "reason": each.reason.value,
        "since": each.asked_at.isoformat(),
        "attempts": each.attempts,
        "last_error": each.last_error,
    }
