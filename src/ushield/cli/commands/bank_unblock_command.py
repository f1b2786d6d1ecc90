"""``ushield bank unblock``: answering a locked token, if two clerks agree."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from ushield.cli.bank_folder import BankCommand, load_bank
from ushield.cli.files import NewFile, new_file_options, read_hexadecimal
from ushield.cli.invocation import Invocation, pass_invocation
from ushield.cli.presentation import table

if TYPE_CHECKING:
    from ushield.bank.lifecycle.unblock_records import UnblockRequest
    from ushield.bank.lifecycle.unblocking import Unblocking

__all__ = ["command"]

_MAX_CHALLENGE = 1 << 10
_by_option = click.option(
    "--by", metavar="NAME", required=True, help="The clerk who does it, for the log."
)


@click.group()
def command() -> None:
    """Unblock a token whose PIN was forgotten: one clerk asks, another one decides.

    Example: ushield bank unblock request alice challenge.txt --by wang
    """


@command.command(cls=BankCommand)
@click.argument("customer")
@click.argument("challenge_path", metavar="CHALLENGE", type=click.Path(exists=True))
@_by_option
@pass_invocation
def request(
    invocation: Invocation, *, bank: str, customer: str, challenge_path: str, by: str
) -> None:
    """Ask for an answer to the CHALLENGE that CUSTOMER's token made.

    CHALLENGE is the file of `ushield pin unblock-remote`. Make sure that it is the customer who
    brings it: whoever has the token and the answer sets a new PIN.

    Example: ushield bank unblock request alice challenge.txt --by wang
    """
    challenge = read_hexadecimal(challenge_path, at_most=_MAX_CHALLENGE)
    with _opened(bank) as unblocking:
        found = unblocking.request(customer, challenge, by=by)
    _tell(invocation, found)


@command.command(cls=BankCommand)
@click.argument("request_id", metavar="REQUEST")
@_by_option
@new_file_options("the answer goes (hexadecimal)")
@pass_invocation
def approve(
    invocation: Invocation, *, bank: str, request_id: str, by: str, out: str, force: bool
) -> None:
    """Answer REQUEST, as another clerk than the one who asked.

    Example: ushield bank unblock approve 5d41402abc4b2a76b9719d911017c592 --by zhao -o answer.txt
    """
    with NewFile(out, replace=force) as target, _opened(bank) as unblocking:
        found = unblocking.approve(request_id, by=by)
        target.commit((found.signature or b"").hex().encode() + b"\n")
    _tell(invocation, found)


@command.command(cls=BankCommand)
@click.argument("request_id", metavar="REQUEST")
@_by_option
@pass_invocation
def deny(invocation: Invocation, *, bank: str, request_id: str, by: str) -> None:
    """Do not answer REQUEST.

    Example: ushield bank unblock deny 5d41402abc4b2a76b9719d911017c592 --by zhao
    """
    with _opened(bank) as unblocking:
        found = unblocking.deny(request_id, by=by)
    _tell(invocation, found)


@command.command(cls=BankCommand)
@click.argument("request_id", metavar="REQUEST")
@pass_invocation
def show(invocation: Invocation, *, bank: str, request_id: str) -> None:
    """Tell how REQUEST stands.

    Example: ushield bank unblock show 5d41402abc4b2a76b9719d911017c592
    """
    with _opened(bank) as unblocking:
        found = unblocking.find(request_id)
    _tell(invocation, found)


@contextmanager
def _opened(folder: str) -> Iterator[Unblocking]:
    configuration = load_bank(folder)
    signer = configuration.unblock_signer()
    with configuration.open() as bank:
        yield bank.unblocking(signer)


def _tell(invocation: Invocation, found: UnblockRequest) -> None:
    from ushield.bank.record_facts import unblock_facts

    facts = unblock_facts(found)
    rows = [
        (name.replace("_", " "), "" if each is None else str(each))
        for name, each in facts.items()
        if name != "signature"
    ]
    invocation.output.result(facts, table(rows))
