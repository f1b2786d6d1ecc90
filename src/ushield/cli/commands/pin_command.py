"""``ushield pin``: the PIN's state, and changing it."""

from __future__ import annotations

import time
from pathlib import Path

import click

from ushield.cli.access import open_session, open_token
from ushield.cli.files import NewFile, read_hexadecimal
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
from ushield.errors import TimedOut
from ushield.pin import PinReference

__all__ = ["command"]

_LOOK = 0.2
"""How often a file that is awaited is looked for, in seconds."""
_MAX_ANSWER = 1 << 10


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


@command.command("unblock-remote", cls=TokenCommand)
@click.option(
    "--challenge",
    "challenge_path",
    metavar="FILE",
    required=True,
    help="Write what the bank has to answer to FILE (hexadecimal).",
)
@click.option(
    "--answer",
    "answer_path",
    metavar="FILE",
    required=True,
    help="Wait for the bank's answer in FILE (hexadecimal).",
)
@click.option(
    "--timeout",
    metavar="S",
    type=click.FloatRange(min=0, min_open=True),
    default=1800.0,
    show_default=True,
    help="Wait for the answer for S seconds.",
)
@new_pin_option
@pass_invocation
def unblock_remote(
    invocation: Invocation,
    *,
    challenge_path: str,
    answer_path: str,
    timeout: float,
    new_pin: SecretSource,
) -> None:
    """Set a new PIN by the bank's answer, where the PUK is gone, too.

    The answer is good for this run of the command: leave the token plugged in until it comes. The
    new PIN is asked for first, and stays here. Neither file may be there before.

    Example: ushield pin unblock-remote --challenge challenge.txt --answer answer.txt
    """
    if Path(answer_path).exists():
        raise click.UsageError(f"{answer_path} exists: an answer is good once")
    with (
        open_token(invocation) as token,
        NewFile(challenge_path, replace=False) as out,
        new_pin.read(twice=True) as new,
    ):
        challenge = token.pin.unblock_challenge()
        out.commit(challenge.hex().encode() + b"\n")
        invocation.output.say(
            f"Bring {challenge_path} to the bank, and its answer to {answer_path}."
        )
        token.pin.unblock_by_bank(_await_answer(answer_path, timeout), new)
    invocation.output.result({"unblocked": True}, "The PIN is unblocked and changed.")


def _await_answer(path: str, timeout: float) -> bytes:
    deadline = time.monotonic() + timeout
    while not Path(path).exists():
        if time.monotonic() > deadline:
            raise TimedOut(
                f"the bank's answer did not come within {timeout:g} seconds",
                remedy="Run it again, and bring the new challenge to the bank.",
            )
        time.sleep(_LOOK)
    return read_hexadecimal(path, at_most=_MAX_ANSWER)


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
