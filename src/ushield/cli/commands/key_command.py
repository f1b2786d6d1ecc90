"""``ushield key``: the token's key pairs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from ushield.algorithms import KeyAlgorithm
from ushield.cli.access import open_session, open_token
from ushield.cli.choosing import choose_key
from ushield.cli.invocation import Invocation, TokenCommand, pass_invocation
from ushield.cli.presentation import key_facts
from ushield.cli.secrets import SecretSource, last_try_option, pin_options
from ushield.cli.terminal import ask_consent, has_terminal

__all__ = ["command"]

_USAGES = ("display", "authentication")


@click.group()
def command() -> None:
    """List key pairs, make or delete one.

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
    lines = [_line(key) for key in keys]
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
    invocation.output.result(facts, _line(facts))


@command.command(cls=TokenCommand)
@click.argument("name", metavar="KEY")
@click.option("--yes", is_flag=True, help="Delete it without asking.")
@pin_options
@last_try_option
@pass_invocation
def delete(invocation: Invocation, *, name: str, yes: bool, pin: SecretSource) -> None:
    """Delete a key pair and its certificate from the token, for good.

    KEY is its label or its id. You are asked first; where nobody can be asked, say --yes.

    Example: ushield key delete old --pin-file pin.txt
    """
    from ushield.errors import HostCancelled

    if not yes and not has_terminal():
        raise click.UsageError("nobody can be asked whether to delete the key: say --yes")
    with open_token(invocation) as token, token.session() as session:
        key = choose_key(session, name)
        facts = key_facts(key.info)
        if not yes:
            invocation.output.say(_line(facts))
            if not ask_consent("Delete this key and its certificate for good?"):
                raise HostCancelled("nothing was deleted", remedy="Answer y to delete the key.")
        with pin.read() as secret:
            session.login(secret, allow_last_try=invocation.allow_last_try)
        session.delete_key(key)
    invocation.output.result(facts, f"Deleted {_line(facts)}")


def _line(facts: Mapping[str, Any]) -> str:
    return f"{facts['id']}  {facts['algorithm']}  {facts['usage']}  {facts['label']}"
