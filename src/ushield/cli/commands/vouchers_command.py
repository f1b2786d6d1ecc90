"""``ushield vouchers``: the token's own log of what it signed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ushield.cli.access import open_session
from ushield.cli.invocation import Invocation, TokenCommand, pass_invocation
from ushield.cli.presentation import describe_fields, instant
from ushield.cli.secrets import SecretSource, last_try_option, pin_options
from ushield.transaction.message_facts import message_facts

if TYPE_CHECKING:
    from ushield.shield.requests import Voucher

__all__ = ["command", "describe_voucher"]


@click.command(cls=TokenCommand)
@pin_options
@last_try_option
@pass_invocation
def command(invocation: Invocation, *, pin: SecretSource) -> None:
    """Print the token's own log of what it signed, newest first.

    Example: ushield vouchers --pin-file pin.txt
    """
    with open_session(invocation, pin) as session:
        described = [describe_voucher(voucher) for voucher in session.vouchers()]
    invocation.output.result(
        {"vouchers": [facts for facts, _ in described]},
        "\n".join(text for _, text in described) or "The token has signed nothing yet.",
    )


def describe_voucher(voucher: Voucher) -> tuple[dict[str, Any], str]:
    """A voucher for programs, and for people."""
    from ushield.transaction import parse_message

    facts: dict[str, Any] = {
        "counter": voucher.counter,
        "time": instant(voucher.time),
        "key": voucher.key_reference,
        "message": voucher.message.hex(),
    }
    message = parse_message(voucher.message)
    return (
        facts | message_facts(message),
        f"{voucher.counter}  {facts['time']}\n{describe_fields(message.shown)}",
    )
