"""``ushield sign``: a transaction, shown on the token, to a signature."""

from __future__ import annotations

import click

from ushield.cli.access import open_session, open_virtual
from ushield.cli.choosing import choose_key
from ushield.cli.confirming import Confirmer, Press, press_option, timeout_option
from ushield.cli.files import NewFile, read_file
from ushield.cli.invocation import Invocation, TokenCommand, pass_invocation
from ushield.cli.presentation import describe_fields, message_facts
from ushield.cli.secrets import SecretSource, last_try_option, pin_options

__all__ = ["command"]


@click.command(cls=TokenCommand)
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
@click.option(
    "-o",
    "--output",
    "path",
    metavar="OUT",
    required=True,
    type=click.Path(dir_okay=False),
    help="Where to write the signature (CMS, DER).",
)
@click.option("--force", is_flag=True, help="Replace OUT if it exists.")
@click.option(
    "--key", "name", metavar="KEY", help="Which key, by its label or id, where there are several."
)
@timeout_option
@press_option
@pin_options
@last_try_option
@pass_invocation
def command(
    invocation: Invocation,
    *,
    file: str,
    path: str,
    force: bool,
    name: str | None,
    timeout: float | None,
    press: Press | None,
    pin: SecretSource,
) -> None:
    """Show a transaction on the token, and sign it after OK there.

    FILE holds the transaction as JSON. A virtual token's screen is shown in the terminal. OUT
    appears only when all went well.

    Example: ushield sign payment.json -o payment.p7s
    """
    from ushield.transaction import from_json, parse_message
    from ushield.transaction.json_form import MAX_JSON

    transaction = from_json(read_file(file, at_most=4 * MAX_JSON))
    with NewFile(path, replace=force) as out, open_virtual(invocation) as virtual:
        confirmer = Confirmer(invocation.output, virtual, press, timeout)
        with open_session(invocation, pin) as session:
            key = None if name is None else choose_key(session, name)
            signature = confirmer.wait(session.sign(transaction, key=key))
        out.commit(signature.der)
    message = parse_message(signature.message)
    invocation.output.result(
        {"file": path} | message_facts(message),
        f"Signed, and written to {path}:\n{describe_fields(message.shown)}",
    )
