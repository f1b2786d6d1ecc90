"""``ushield key``: the token's key pairs."""

from __future__ import annotations

import click

from ushield.algorithms import KeyAlgorithm
from ushield.cli.access import open_session, open_token
from ushield.cli.invocation import Invocation, TokenCommand, pass_invocation
from ushield.cli.presentation import key_facts
from ushield.cli.secrets import SecretSource, last_try_option, pin_options

__all__ = ["command"]

_USAGES = ("display", "authentication")


@click.group()
def command() -> None:
    """List key pairs, or make one.

    Example: ushield key list
    """


@command.command("list", cls=TokenCommand)
@pass_invocation
def list_keys(invocation: Invocation) -> None:
    """List the key pairs on the token.

    Example: ushield key list
    """
    with open_token(invocation) as token, token.session() as session:
        keys = [key_facts(key.info) for key in session.private_keys()]
    lines = [f"{key['id']}  {key['algorithm']}  {key['usage']}  {key['label']}" for key in keys]
    invocation.output.result({"keys": keys}, "\n".join(lines) or "No keys on the token.")


@command.command(cls=TokenCommand)
@click.option(
    "--algorithm",
    type=click.Choice([algorithm.value for algorithm in KeyAlgorithm]),
    default=KeyAlgorithm.RSA_2048.value,
    show_default=True,
    help="What kind of key.",
)
@click.option(
    "--usage",
    type=click.Choice(_USAGES),
    default="display",
    show_default=True,
    help="Sign only what the screen showed, or digests from this machine.",
)
@click.option("--label", default="signing", show_default=True, help="What to call it.")
@pin_options
@last_try_option
@pass_invocation
def generate(
    invocation: Invocation, *, algorithm: str, usage: str, label: str, pin: SecretSource
) -> None:
    """Make a key pair on the token; its private half never leaves it.

    Example: ushield key generate --algorithm p256 --label signing
    """
    from ushield.drivers.base import KeyUsage

    with open_session(invocation, pin) as session:
        kind = KeyAlgorithm(algorithm)
        if kind.is_rsa:
            invocation.output.say("Making the key on the token; that can take a minute.")
        key = session.generate_key(kind, KeyUsage(usage), label=label)
    facts = key_facts(key.info)
    invocation.output.result(
        facts, f"{facts['id']}  {facts['algorithm']}  {facts['usage']}  {facts['label']}"
    )
