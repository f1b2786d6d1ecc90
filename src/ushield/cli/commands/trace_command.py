"""``ushield trace``: what another command says to the card, for who writes a driver."""

from __future__ import annotations

import os

import click

from ushield.cli.files import FileFailed
from ushield.cli.invocation import Command, Invocation, TokenCommand, pass_invocation
from ushield.cli.output import reason_of

__all__ = ["command"]


@click.group()
def command() -> None:
    """Record what goes to the card and back, or show a recording.

    PINs are never in it; what a message or a certificate says is.

    Example: ushield trace record pin.trace pin status
    """


@command.command(cls=TokenCommand, context_settings={"allow_interspersed_args": False})
@click.argument("file", type=click.Path(dir_okay=False))
@click.argument("arguments", metavar="COMMAND...", nargs=-1, required=True, type=click.UNPROCESSED)
@click.option("--force", is_flag=True, help="Replace FILE if it exists.")
@click.option(
    "--ciphertext",
    is_flag=True,
    help="Record what is on the wire, not what was said through the secure channel.",
)
@pass_invocation
@click.pass_context
def record(
    context: click.Context,
    invocation: Invocation,
    file: str,
    arguments: tuple[str, ...],
    *,
    force: bool,
    ciphertext: bool,
) -> None:
    """Run COMMAND, a command of ushield with its options, and record its APDUs in FILE.

    FILE holds all that was exchanged when the command fails, too; there is none if nothing was.

    Example: ushield --token usb:1-4 trace record pin.trace pin status
    """
    from ushield.cli.application import application
    from ushield.iso7816.trace import TraceWriter

    name, *rest = arguments
    wanted = application.get_command(context, name)
    if wanted is None or wanted is command:
        raise click.UsageError(f"{name} is no command that can be recorded")
    flags = os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if force else os.O_EXCL)
    try:
        descriptor = os.open(file, flags, 0o600)
    except FileExistsError:
        raise click.UsageError(f"{file} exists; --force replaces it") from None
    except OSError as error:
        raise FileFailed(f"{file}: {reason_of(error)}") from error
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        invocation.trace, invocation.ciphertext = TraceWriter(stream), ciphertext
        try:
            with wanted.make_context(name, rest, parent=context.find_root()) as child:
                wanted.invoke(child)
        finally:
            if not stream.tell():
                os.unlink(file)


@command.command(cls=Command)
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
@pass_invocation
def show(invocation: Invocation, file: str) -> None:
    """Print a recording, with status words in words.

    Example: ushield trace show pin.trace
    """
    from ushield.iso7816.trace import read_trace, to_json

    try:
        with open(file, encoding="utf-8", errors="replace") as stream:
            trace = read_trace(stream)
    except OSError as error:
        raise FileFailed(f"{file}: {reason_of(error)}") from error
    invocation.output.result(
        {"atr": trace.header.atr.hex(), "records": [to_json(item) for item in trace.records]},
        "\n".join([f"ATR {trace.header.atr.hex(' ').upper()}", *map(str, trace.records)]),
    )
