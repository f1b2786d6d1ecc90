"""``ushield bank audit``: sealing the log, and finding who touched it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ushield.cli.bank_folder import BankCommand, load_bank
from ushield.cli.files import read_file
from ushield.cli.invocation import Invocation, pass_invocation
from ushield.cli.stopping import told_to_stop

if TYPE_CHECKING:
    from ushield.bank.audit.heads import SignedHead

__all__ = ["command"]

_MAX_KEY = 1 << 14


@click.group()
def command() -> None:
    """The log of all decisions: seal it, keep its heads elsewhere, verify it.

    Example: ushield bank audit export heads.jsonl
    """


@command.command(cls=BankCommand)
@click.argument("file", type=click.Path(dir_okay=False))
@pass_invocation
def export(invocation: Invocation, *, bank: str, file: str) -> None:
    """Seal what was decided since, and append the new heads to FILE, a line each.

    Keep copies of FILE where nobody who can change the database can change them: only they show a
    log that was cut off.

    Example: ushield bank audit export heads.jsonl
    """
    from ushield.bank.audit.export import export_heads

    configuration = load_bank(bank)
    signer = configuration.audit_signer()
    with configuration.open() as opened:
        sealed = opened.sequencer(signer).seal_all()
        exported = export_heads(opened.store, file)
    entries = sum(head.count for head in sealed)
    facts = {"file": file, "sealed": entries, "exported": exported}
    invocation.output.result(facts, f"Sealed {entries} entries; new heads in {file}: {exported}")


@command.command("run", cls=BankCommand)
@click.option(
    "--every",
    metavar="SECONDS",
    type=click.FloatRange(0.01, 3600),
    default=1.0,
    show_default=True,
    help="How often to look for new decisions.",
)
@click.option(
    "--export",
    "file",
    metavar="FILE",
    type=click.Path(dir_okay=False),
    help="Append each new head to FILE, too, as `export` does.",
)
@pass_invocation
def run_sequencer(invocation: Invocation, *, bank: str, every: float, file: str | None) -> None:
    """Seal decisions as they come, until SIGTERM or SIGINT; then the last ones, and end.

    Several may run on one database: one seals at a time, and another goes on if that one dies.
    A database that is away is waited for.

    Example: ushield bank audit run --export heads.jsonl
    """
    from ushield.bank.audit.export import export_heads

    configuration = load_bank(bank)
    signer = configuration.audit_signer()
    exported = 0
    with configuration.open() as opened, told_to_stop() as stop:

        def export_new() -> None:
            nonlocal exported
            if file is not None:
                exported += export_heads(opened.store, file)

        entries = opened.sequencer(signer).run(
            stop,
            every=every,
            then=None if file is None else export_new,
            report=lambda error: invocation.output.say(f"{error.code}: {error}"),
        )
    facts = {"file": file, "sealed": entries, "exported": exported}
    invocation.output.result(facts, f"Sealed {entries} entries; heads exported: {exported}")


@command.command(cls=BankCommand)
@click.option(
    "--anchors",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False),
    help="Heads that were kept elsewhere, as `export` wrote them.",
)
@click.option(
    "--key",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False),
    help="The audit key's public half; audit-public.pem in the bank's folder without it.",
)
@pass_invocation
def verify(invocation: Invocation, *, bank: str, anchors: str | None, key: str | None) -> None:
    """Verify the log: that nothing in it was changed, is missing, or was cut off.

    Without --anchors, a log that was cut off cleanly cannot be told from a shorter one. Exit code
    60 if it is broken.

    Example: ushield bank audit verify --anchors heads.jsonl
    """
    from ushield.bank.audit.export import LONGEST_FILE
    from ushield.bank.audit.heads import read_heads
    from ushield.bank.audit.keys import load_public_key
    from ushield.bank.configuration import AUDIT_PUBLIC_KEY

    path = key or str(Path(bank) / AUDIT_PUBLIC_KEY)
    public = load_public_key(read_file(path, at_most=_MAX_KEY))
    known: tuple[SignedHead, ...] = ()
    if anchors is not None:
        known = read_heads(read_file(anchors, at_most=LONGEST_FILE).decode("ascii", "replace"))
    with load_bank(bank).open() as opened:
        report = opened.verify_audit(public, known)
    text = (
        f"The log holds: {report.entries} entries under {report.heads} heads"
        f" ({report.erased} erased), {report.pending} not sealed yet"
    )
    if anchors is None:
        text += "\nNo anchors were given, so that nothing is said about its end."
    invocation.output.result(dataclasses.asdict(report), text)
