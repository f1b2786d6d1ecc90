"""``ushield sign``: a transaction, shown on the token, to a signature."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ushield.cli.access import open_token, open_virtual
from ushield.cli.batches import currency_of, summarise_rows
from ushield.cli.choosing import choose_key
from ushield.cli.confirming import Confirmer, Press, press_option, timeout_option
from ushield.cli.files import NewFile, read_file
from ushield.cli.invocation import Invocation, TokenCommand, pass_invocation
from ushield.cli.presentation import describe_fields
from ushield.cli.secrets import SecretSource, last_try_option, pin_options
from ushield.cli.touching import Toucher
from ushield.transaction.message_facts import message_facts

if TYPE_CHECKING:
    from ushield.keystore import PrivateKey
    from ushield.signing import BlindSignature, SigningSession, TransactionSignature
    from ushield.transaction import Transaction

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
@click.option(
    "--accept-blind",
    is_flag=True,
    help="Sign what no screen shows, if the token has none. The signature says so; the bank may"
    " refuse it.",
)
@click.option(
    "--batch",
    "rows",
    metavar="ROWS",
    type=click.Path(exists=True, dir_okay=False),
    help="The rows of a batch, CSV or JSON lines; FILE may leave out count, total and digest.",
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
    accept_blind: bool,
    rows: str | None,
    timeout: float | None,
    press: Press | None,
    pin: SecretSource,
) -> None:
    """Show a transaction on the token, and sign it after OK there.

    FILE holds the transaction as JSON. A virtual token's screen is shown in the terminal. OUT
    appears only when all went well.

    A token without a screen signs nothing, unless --accept-blind says that it may: then nobody
    sees what is signed but this program.

    With --batch, FILE holds a batch (payer, challenge, currency) and ROWS its payments; the token
    shows how many they are, their total, and the digest that binds them.

    Example: ushield sign payment.json -o payment.p7s
    """
    from ushield.drivers.base import Capability
    from ushield.signing import BlindSignature
    from ushield.transaction import batch_from_json, from_json, parse_message
    from ushield.transaction.json_members import MAX_JSON

    source = read_file(file, at_most=4 * MAX_JSON)
    if rows is None:
        transaction = from_json(source)
    else:
        summary = summarise_rows(rows, currency_of(source))
        transaction = batch_from_json(source, summary.tally)
        invocation.output.say(summary.text)
    with NewFile(path, replace=force) as out, open_virtual(invocation) as virtual:
        toucher = Toucher(invocation.output, virtual, press)
        with open_token(invocation) as token, token.session() as session:
            key = None if name is None else choose_key(session, name)
            signature: TransactionSignature | BlindSignature
            if accept_blind and Capability.DISPLAY_SIGNING not in token.info.capabilities:
                signature = _sign_blindly(
                    invocation, session, transaction, key, pin=pin, toucher=toucher
                )
            else:
                session.want_screen()
                confirmer = Confirmer(invocation.output, virtual, press, timeout)
                with pin.read() as secret:
                    session.login(secret, allow_last_try=invocation.allow_last_try)
                signature = confirmer.wait(session.sign(transaction, key=key))
        out.commit(signature.der)
    message = parse_message(signature.message)
    if isinstance(signature, BlindSignature):
        facts = message_facts(message)
        signed = {**facts.pop("shown"), **facts.pop("hidden")}
        invocation.output.result(
            {"file": path, "display": False, "signed": signed} | facts,
            f"Signed WITHOUT BEING SHOWN, and written to {path}:\n"
            + describe_fields((*message.shown, *message.hidden)),
        )
        return
    invocation.output.result(
        {"file": path, "display": True} | message_facts(message),
        f"Signed, and written to {path}:\n{describe_fields(message.shown)}",
    )


def _sign_blindly(
    invocation: Invocation,
    session: SigningSession,
    transaction: Transaction,
    key: PrivateKey | None,
    *,
    pin: SecretSource,
    toucher: Toucher,
) -> BlindSignature:
    invocation.output.say(
        "WARNING: this token has no screen. What it signs is what this computer says; nobody else"
        " sees it."
    )
    with pin.read() as secret, toucher.attending():
        return session.sign_without_display(
            transaction,
            key=key,
            pin=secret,
            allow_last_try=invocation.allow_last_try,
            progress=toucher.told,
        )
