"""``ushield pin``: the PIN's state, and changing it."""

from __future__ import annotations

import click

from ushield.cli.access import open_session, open_token
from ushield.cli.invocation import Invocation, TokenCommand, pass_invocation
from ushield.cli.presentation import describe_pin, pin_facts, table
from ushield.cli.secrets import (
    SecretSource,
    last_try_option,
    new_pin_option,
    new_puk_option,
    pin_options,
    puk_option,
)
from ushield.pin import PinReference

__all__ = ["command"]


@click.group()
def command() -> None:
    """See, change, unblock or try the PIN.

    Example: ushield pin status
    """


@command.command(cls=TokenCommand)
@pass_invocation
def status(invocation: Invocation) -> None:
    """Show how many tries are left; asking spends none.

    Example: ushield --json pin status
    """
    with open_token(invocation) as token:
        user, puk = token.pin.state, token.pin.puk
    invocation.output.result(
        {"user": pin_facts(user), "puk": pin_facts(puk)},
        table([("PIN", describe_pin(user)), ("PUK", describe_pin(puk))]),
    )


@command.command(cls=TokenCommand)
@pin_options
@new_pin_option
@last_try_option
@pass_invocation
def change(invocation: Invocation, *, pin: SecretSource, new_pin: SecretSource) -> None:
    """Replace the PIN by a new one.

    Example: ushield pin change --pin-file old.txt --new-pin-file new.txt
    """
    _change(invocation, PinReference.USER, pin, new_pin)


@command.command("change-puk", cls=TokenCommand)
@puk_option
@new_puk_option
@last_try_option
@pass_invocation
def change_puk(invocation: Invocation, *, puk: SecretSource, new_puk: SecretSource) -> None:
    """Replace the PUK by a new one.

    Example: ushield pin change-puk --puk-file old.txt --new-puk-file new.txt
    """
    _change(invocation, PinReference.PUK, puk, new_puk)


@command.command(cls=TokenCommand)
@puk_option
@new_pin_option
@last_try_option
@pass_invocation
def unblock(invocation: Invocation, *, puk: SecretSource, new_pin: SecretSource) -> None:
    """Set a new PIN by the PUK, after too many wrong ones.

    Example: ushield pin unblock --puk-file puk.txt --new-pin-file new.txt
    """
    with (
        open_token(invocation) as token,
        puk.read() as proof,
        new_pin.read(twice=True) as new,
    ):
        token.pin.unblock(proof, new, allow_last_try=invocation.allow_last_try)
    invocation.output.result({"unblocked": True}, "The PIN is unblocked and changed.")


@command.command(cls=TokenCommand)
@pin_options
@last_try_option
@pass_invocation
def verify(invocation: Invocation, *, pin: SecretSource) -> None:
    """Try the PIN; a wrong one spends a try.

    Example: ushield pin verify --pin-fd 3 3< pin.txt
    """
    with open_session(invocation, pin):
        pass
    invocation.output.result({"verified": True}, "The PIN is right.")


def _change(
    invocation: Invocation, reference: PinReference, old: SecretSource, new: SecretSource
) -> None:
    """On the reader's keys where it has some and no option says where the secrets are."""
    from ushield.transport.pin_pad import PinSupport

    name = "PUK" if reference is PinReference.PUK else "PIN"
    allow = invocation.allow_last_try
    with open_token(invocation) as token:
        change = token.pin.change_puk if reference is PinReference.PUK else token.pin.change
        if not (old.given or new.given) and token.pin_pad & PinSupport.MODIFICATION:
            invocation.output.say(f"Enter the old {name} on the reader, then twice the new one.")
            change(allow_last_try=allow)
        else:
            with old.read() as proof, new.read(twice=True) as wanted:
                change(proof, wanted, allow_last_try=allow)
    invocation.output.result({"changed": True}, f"The {name} is changed.")
