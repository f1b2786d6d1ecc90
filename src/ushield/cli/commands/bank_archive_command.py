"""``ushield bank archive``: what was accepted, out of the database, and verified again."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ushield.cli.bank_folder import BankCommand, load_bank
from ushield.cli.exit_codes import ExitCode
from ushield.cli.files import FileFailed, read_file
from ushield.cli.invocation import Invocation, pass_invocation
from ushield.cli.output import reason_of

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from ushield.bank.archive import ArchiveProgress, ArchiveReport

__all__ = ["command"]

_MAX_CA = 1 << 22
_SECONDS_TO_CONNECT = 10
_TIMES = click.DateTime(("%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"))


@click.group()
def command() -> None:
    """Archives of what was accepted: write them, and verify them again years later.

    Example: ushield bank archive export archive-2026
    """


@command.command(cls=BankCommand)
@click.argument("folder", metavar="DIR", type=click.Path(file_okay=False))
@click.option("--since", type=_TIMES, help="Only what was accepted from then on (UTC).")
@click.option("--until", type=_TIMES, help="Only what was accepted before then (UTC).")
@click.option(
    "--rows", type=click.IntRange(1), default=50_000, show_default=True, help="Rows in a shard."
)
@pass_invocation
def export(
    invocation: Invocation,
    *,
    bank: str,
    folder: str,
    since: datetime | None,
    until: datetime | None,
    rows: int,
) -> None:
    """Write all that was accepted to Parquet files in DIR, with its signatures.

    Example: ushield bank archive export archive-2026 --since 2026-01-01 --until 2027-01-01
    """
    from ushield.bank.archive import export_archive

    with load_bank(bank).open() as opened, _files(folder):
        done = export_archive(
            opened.store,
            Path(folder),
            since=since and since.replace(tzinfo=UTC),
            until=until and until.replace(tzinfo=UTC),
            rows_per_shard=rows,
        )
    facts = {
        "folder": folder,
        "rows": done.rows,
        "erased": done.erased,
        "shards": [each.name for each in done.shards],
    }
    text = f"Exported {done.rows} rows in {len(done.shards)} shards to {folder}"
    if done.erased:
        text += f"; {done.erased} were left out, whose customers were erased"
    invocation.output.result(facts, text)


@command.command(cls=BankCommand)
@click.argument("folder", metavar="DIR", type=click.Path(exists=True, file_okay=False))
@click.option(
    "--out",
    metavar="DIR",
    required=True,
    type=click.Path(file_okay=False),
    help="Where the outcomes go. Given again, what is done there is not done again.",
)
@click.option("--workers", type=click.IntRange(1), help="How many processes; one a core if not.")
@click.option(
    "--dask", metavar="ADDRESS", help="A Dask scheduler whose workers reach the same paths."
)
@click.option(
    "--crls",
    metavar="DIR",
    type=click.Path(exists=True, file_okay=False),
    help="CRLs and OCSP responses of all the time, if not the bank's revocation_history; without"
    " either, revocation is not looked at.",
)
@click.option(
    "--as-known-now",
    is_flag=True,
    help="Let what became known later count, too, such as when a key was stolen.",
)
@click.option(
    "--accept-blind",
    metavar="CA",
    type=click.Path(exists=True, dir_okay=False),
    help="The CA (PEM) of keys whose signatures no screen showed, if not the bank's blind_ca.",
)
@pass_invocation
@click.pass_context
def verify(
    context: click.Context,
    invocation: Invocation,
    *,
    bank: str,
    folder: str,
    out: str,
    workers: int | None,
    dask: str | None,
    crls: str | None,
    as_known_now: bool,
    accept_blind: str | None,
) -> None:
    """Verify all signatures in the archive DIR, each at the time when it was accepted.

    Exit code 0 only if every row holds, 40 otherwise: DIR of --out has report.json, the rows that
    do not hold in failed.jsonl, and the outcome of each row in Parquet.

    Example: ushield bank archive verify archive-2026 --out outcomes --crls crls
    """
    if dask is not None and workers is not None:
        raise click.UsageError("--workers is for this machine; a cluster has its own")
    from ushield.bank.archive import find_shards, verify_archive
    from ushield.bank.revocation import Knowledge

    job = load_bank(bank).archive_job(
        blind_ca=None if accept_blind is None else read_file(accept_blind, at_most=_MAX_CA),
        history=None if crls is None else Path(crls),
        knowledge=Knowledge.NOW if as_known_now else Knowledge.THEN,
    )
    if as_known_now and job.revocation is None:
        raise click.UsageError("--as-known-now wants --crls")
    shards = find_shards(Path(folder))
    with (
        _cluster(dask) as (executor, in_flight),
        _bar(invocation, len(shards)) as progress,
        _files(out),
    ):
        report = verify_archive(
            shards,
            Path(out),
            job=job,
            executor=executor,
            workers=workers,
            in_flight=in_flight,
            progress=progress,
        )
    invocation.output.result(report.facts, _told(report))
    if report.failed_rows or report.failed_shards:
        context.exit(ExitCode.NOT_VALID)


@contextmanager
def _files(folder: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise FileFailed(f"{error.filename or folder}: {reason_of(error)}") from error


@contextmanager
def _cluster(address: str | None) -> Iterator[tuple[Executor | None, int]]:
    """An executor on the cluster, and how many shards keep it busy."""
    if address is None:
        yield None, 1
        return
    from ushield.errors import InputInvalid

    try:
        # Its types are half there.
        distributed: Any = import_module("distributed")
    except ModuleNotFoundError as error:
        raise InputInvalid(
            "Dask is not installed", remedy="pip install dask distributed"
        ) from error
    try:
        client = distributed.Client(address, timeout=_SECONDS_TO_CONNECT, set_as_default=False)
    except (OSError, ValueError) as error:
        raise InputInvalid(
            f"{address}: no Dask scheduler answers there",
            remedy="Name it as `dask scheduler` told it, such as tcp://10.0.0.1:8786.",
        ) from error
    with client, client.get_executor(pure=False) as executor:
        yield executor, max(2 * sum(client.ncores().values()), 2)


@contextmanager
def _bar(invocation: Invocation, shards: int) -> Iterator[Callable[[ArchiveProgress], None] | None]:
    """A bar on a terminal, of nothing for programs."""
    if invocation.output.json or not sys.stderr.isatty():
        yield None
        return
    with click.progressbar(
        length=shards, label="shards", file=sys.stderr, show_pos=True, item_show_func=_rate
    ) as bar:
        yield lambda told: bar.update(1, told)


def _rate(told: ArchiveProgress | None) -> str:
    return "" if told is None else f"{told.rows:,} rows, {told.rate:,.0f} a second"


def _told(report: ArchiveReport) -> str:
    lines = [
        f"{report.rows - report.failed_rows:,} of {report.rows:,} rows hold,"
        f" in {report.shards - len(report.failed_shards)} of {report.shards} shards"
        f" ({report.resumed} verified before)"
    ]
    lines += [
        f"  {outcome}: {count:,}"
        for outcome, count in report.outcomes.items()
        if outcome != "holds"
    ]
    lines += [
        f"  {path.name}: {failure.message} ({failure.code})"
        for path, failure in report.failed_shards.items()
    ]
    revocation = report.job.revocation
    if revocation is None:
        lines.append("Revocation was not looked at: give --crls.")
    elif revocation.ignored:
        lines += [f"  left out: {path}: {problem}" for path, problem in revocation.ignored]
    if report.failed_rows:
        lines.append(f"The rows that do not hold: {report.folder / 'failed.jsonl'}")
    return "\n".join(lines)
