"""``ushield key``: the token's key pairs."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

import click

from ushield.algorithms import KeyAlgorithm
from ushield.cli.access import open_token
from ushield.cli.choosing import choose_key
from ushield.cli.files import NewFile, write_file
from ushield.cli.invocation import Invocation, TokenCommand, pass_invocation
from ushield.cli.management import (
    Management,
    authorise,
    management_options,
    open_administered,
)
from ushield.cli.presentation import key_facts
from ushield.cli.secrets import SecretSource, last_try_option, pin_options
from ushield.cli.terminal import ask_consent, has_terminal

__all__ = ["command"]

_USAGES = ("display", "authentication")
_DEMANDS = ("never", "once", "always")


@click.group()
def command() -> None:
    """List key pairs, make, attest or delete one.

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
    help="Sign only what the screen showed, or digests from this machine; the first, where the"
    " token has a screen.",
)
@click.option("--label", help="What to call it; `signing` where the token keeps labels.")
@click.option(
    "--slot", "place", metavar="SLOT", help="Where, on a PIV card: 9a, 9c (the first choice), .."
)
@click.option(
    "--pin-policy",
    type=click.Choice(_DEMANDS),
    help="How often the key wants the PIN, on a PIV card.",
)
@click.option(
    "--touch",
    type=click.Choice(_DEMANDS),
    help="How often the key wants a touch, on a PIV card; `once` lasts 15 seconds.",
)
@click.option("--replace", is_flag=True, help="Lose the key that is in the slot, for good.")
@click.option(
    "-o", "--public-key", "path", metavar="FILE", help="Write the public key to FILE (PEM)."
)
@management_options
@pin_options
@last_try_option
@pass_invocation
def generate(
    invocation: Invocation,
    *,
    algorithm: str,
    usage: str | None,
    label: str | None,
    place: str | None,
    pin_policy: str | None,
    touch: str | None,
    replace: bool,
    path: str | None,
    management: Management,
    pin: SecretSource,
) -> None:
    """Make a key pair on the token; its private half never leaves it.

    Example: ushield key generate --algorithm p256 --label signing
    """
    from ushield.drivers.base import Capability, Demand, KeyOptions, KeyUsage

    options = KeyOptions(
        place,
        None if pin_policy is None else Demand(pin_policy),
        None if touch is None else Demand(touch),
        replace=replace,
    )
    with (
        nullcontext() if path is None else NewFile(path, replace=False) as out,
        open_administered(invocation, pin, management) as session,
    ):
        has_screen = Capability.DISPLAY_SIGNING in session.token.info.capabilities
        kind = KeyAlgorithm(algorithm)
        if kind.is_rsa:
            invocation.output.say("Making the key on the token; that can take a minute.")
        key = session.generate_key(
            kind,
            KeyUsage(usage or ("display" if has_screen else "authentication")),
            label=label if label is not None else ("signing" if has_screen else ""),
            options=options,
        )
        if out is not None:
            out.commit(_pem(key.info.public_key))
    facts = key_facts(key.info)
    invocation.output.result(facts, _line(facts))


@command.command(cls=TokenCommand)
@click.argument("name", metavar="KEY")
@click.option("-o", "--output", "path", metavar="FILE", required=True, help="Where to (PEM).")
@click.option("--force", is_flag=True, help="Replace FILE if it exists.")
@pass_invocation
def attest(invocation: Invocation, *, name: str, path: str, force: bool) -> None:
    """Write the token's own word that a key was made on it.

    FILE gets two certificates: the key's, by the token's attestation key, and that key's own.

    Example: ushield key attest signing -o attestation.pem
    """
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    from ushield.errors import ProtocolViolation

    with open_token(invocation) as token, token.session() as session:
        key = choose_key(session, name)
        found = (token.attest(key), token.device_certificate())
    try:
        pem = b"".join(
            x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM) for der in found
        )
    except ValueError as error:
        raise ProtocolViolation(f"the token's attestation cannot be read: {error}") from error
    write_file(path, pem, replace=force)
    facts = key_facts(key.info)
    invocation.output.result(facts | {"file": path}, f"Written to {path}.")


@command.command(cls=TokenCommand)
@click.argument("name", metavar="KEY")
@click.option("--yes", is_flag=True, help="Delete it without asking.")
@management_options
@pin_options
@last_try_option
@pass_invocation
def delete(
    invocation: Invocation, *, name: str, yes: bool, management: Management, pin: SecretSource
) -> None:
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
        authorise(invocation, session, pin, management)
        session.delete_key(key)
    invocation.output.result(facts, f"Deleted {_line(facts)}")


def _line(facts: Mapping[str, Any]) -> str:
    line = f"{facts['id']}  {facts['algorithm']}  {facts['usage']}  {facts['label']}"
    wants = [f"{what}: {facts[what]}" for what in ("pin", "touch") if facts[what]]
    return f"{line}  ({', '.join(wants)})" if wants else line


def _pem(public_key: bytes) -> bytes:
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        PublicFormat,
        load_der_public_key,
    )

    key = load_der_public_key(public_key)
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
