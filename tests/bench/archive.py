"""Archives verified again: through processes, beside raw verification on as many cores, and Dask.

``python -m tests.bench archive`` measures rates, and memory at 10^5 rows. Larger sizes by
``ARCHIVE_ROWS=1000000,10000000``: their archives have the same few thousand signatures over and
over, which changes nothing for memory, and little for time, since no signature is remembered.
"""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pyarrow as pa
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from tests.bank.revocations import DAY, crl, entry
from tests.pki import NOW, Signer, authority, pem, receipt_for
from tests.transaction.strategies import TRANSFER
from ushield.algorithms import KeyAlgorithm
from ushield.bank.archive import (
    ArchiveJob,
    ArchiveProgress,
    ArchiveReport,
    Shard,
    find_shards,
    verify_archive,
)
from ushield.bank.archive.columns import SHARD_SCHEMA
from ushield.bank.archive.shard_files import ShardWriter
from ushield.bank.revocation import RevocationCatalogue
from ushield.cms import parse_signed_data
from ushield.transaction import write_message

DISTINCT = 2000
ROWS_A_SHARD = 10_000
SHARDS = 8
DAYS = 30
ROUNDS = 3
CORES = len(os.sched_getaffinity(0))


def signed(signer: Signer, count: int) -> list[dict[str, Any]]:
    """Rows by one token, each over another message, spread over the days of the lists."""
    rows = []
    for number in range(count):
        name = f"c{number:015}"
        message = write_message(dataclasses.replace(TRANSFER, challenge=name))
        receipt = dataclasses.replace(receipt_for(message), counter=number + 1)
        rows.append(
            {
                "record_id": name,
                "signed_at": NOW + number * timedelta(days=DAYS) / count,
                "signature": signer.sign(message, receipt),
                "challenge": name,
                "message": message,
            }
        )
    return rows


def write_archive(folder: Path, rows: list[dict[str, Any]], count: int) -> None:
    """An archive of ``count`` rows, the given ones over and over."""
    folder.mkdir()
    batch = pa.RecordBatch.from_pylist(rows, schema=SHARD_SCHEMA)
    for shard in range(count // ROWS_A_SHARD):
        with ShardWriter(folder / f"{shard:05}.parquet", SHARD_SCHEMA) as writer:
            for _ in range(ROWS_A_SHARD // len(rows)):
                writer.write(batch)
            writer.commit()


def job_with_lists(folder: Path) -> ArchiveJob:
    """A job with a list a day, of a thousand entries each."""
    folder.mkdir()
    entries = [entry(number) for number in range(1, 1001)]
    for day in range(-1, DAYS + 1):
        data = crl(*entries, this_update=NOW + day * DAY, next_update=NOW + (day + 1) * DAY)
        (folder / f"{day:03}.crl").write_bytes(data)
    found = RevocationCatalogue.scan(folder, (authority(),))
    return ArchiveJob(trust=pem(authority()), revocation=found)


def raw_rate(key: bytes, parts: list[tuple[bytes, bytes]], seconds: float) -> float:
    """Signatures a second that this process verifies by cryptography alone."""
    public = load_der_public_key(key)
    done, begun = 0, time.perf_counter()
    while time.perf_counter() - begun < seconds:
        for signature, attributes in parts:
            if isinstance(public, rsa.RSAPublicKey):
                public.verify(signature, attributes, padding.PKCS1v15(), SHA256())
            elif isinstance(public, ec.EllipticCurvePublicKey):
                public.verify(signature, attributes, ec.ECDSA(SHA256()))
        done += len(parts)
    return done / (time.perf_counter() - begun)


def raw_on_all_cores(signer: Signer, rows: list[dict[str, Any]], seconds: float = 3.0) -> float:
    """The sum over a process a core, all at once."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    key = signer.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    parsed = [parse_signed_data(row["signature"]) for row in rows[:200]]
    parts = [(each.signature, each.signed_attributes) for each in parsed]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(CORES, mp_context=context) as pool:
        # They have imported all they need before the clock runs.
        list(pool.map(raw_rate, [key] * CORES, [parts] * CORES, [0.5] * CORES))
        return sum(pool.map(raw_rate, [key] * CORES, [parts] * CORES, [seconds] * CORES))


def verified(
    shards: list[Shard], out: Path, job: ArchiveJob, **settings: Any
) -> tuple[ArchiveReport, float]:
    """A run, and rows a second from the first shard that is done until the last: without starting
    the workers, which a year's archive does once.
    """
    told: list[ArchiveProgress] = []
    report = verify_archive(shards, out, job=job, progress=told.append, **settings)
    assert report.failed_rows == 0
    assert not report.failed_shards
    # As many as there are workers are begun at once, and are done at about the same time.
    first, last = told[CORES - 1], told[-1]
    return report, (last.rows - first.rows) / (last.seconds - first.seconds)


def rates() -> None:
    """Pool and Dask beside raw verification, in turn."""
    # Its types are half there.
    distributed: Any = import_module("distributed")
    for algorithm in (KeyAlgorithm.RSA_2048, KeyAlgorithm.P256):
        signer = Signer.issued(algorithm)
        rows = signed(signer, DISTINCT)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            job = job_with_lists(folder / "lists")
            write_archive(folder / "in", rows, SHARDS * ROWS_A_SHARD)
            shards = find_shards(folder / "in")
            found: dict[str, list[float]] = {"raw": [], "pool": [], "dask": []}
            with (
                distributed.LocalCluster(
                    n_workers=CORES, threads_per_worker=1, dashboard_address=None
                ) as cluster,
                distributed.Client(cluster, set_as_default=False) as client,
                client.get_executor(pure=False) as executor,
            ):
                for number in range(ROUNDS):
                    found["raw"].append(raw_on_all_cores(signer, rows))
                    _, rate = verified(shards, folder / f"pool-{number}", job)
                    found["pool"].append(rate)
                    settings = {"executor": executor, "in_flight": 2 * CORES}
                    _, rate = verified(shards, folder / f"dask-{number}", job, **settings)
                    found["dask"].append(rate)
        raw, pool, dask = (sorted(each)[len(each) // 2] for each in found.values())
        print(f"{algorithm}: {SHARDS * ROWS_A_SHARD:,} rows, {CORES} cores, medians of {ROUNDS}")
        print(f"  raw verification, all cores (reference)   {raw:10,.0f} a second")
        print(f"  processes  {pool:10,.0f} a second, {pool / raw:.2f} of it (at least 0.75)")
        print(f"  Dask       {dask:10,.0f} a second, {dask / pool:.2f} of processes (at least 0.9)")


class Memory:
    """The largest resident set of this process's descendants, and of each at its worst."""

    def __init__(self) -> None:
        self.worst: dict[int, int] = {}
        self._stop = Event()

    @contextmanager
    def watching(self, pid: int) -> Iterator[None]:
        thread = Thread(target=self._watch, args=(pid,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()

    def _watch(self, pid: int) -> None:
        while not self._stop.wait(0.1):
            for each in (pid, *descendants(pid)):
                with suppress(OSError, StopIteration, ValueError):
                    status = Path(f"/proc/{each}/status").read_text()
                    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
                    self.worst[each] = int(line.split()[1])


def descendants(pid: int) -> list[int]:
    """Its children, and theirs."""
    found: list[int] = []
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for each in (task / "children").read_text().split():
                found += (int(each), *descendants(int(each)))
    return found


def memory(count: int) -> None:
    """Peak memory of a run over ``count`` rows, of the run and of its largest worker."""
    rows = signed(Signer.issued(KeyAlgorithm.RSA_2048), DISTINCT)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        job_with_lists(folder / "lists")
        (folder / "ca.pem").write_bytes(pem(authority()))
        (folder / "bank.toml").write_text("")
        write_archive(folder / "in", rows, count)
        size = sum(each.stat().st_size for each in (folder / "in").iterdir())
        command = Path(sys.executable).parent / "ushield"
        watch, begun = Memory(), time.perf_counter()
        with (
            subprocess.Popen(
                [
                    *(str(command), "--json", "bank", "archive", "verify", str(folder / "in")),
                    *("--out", str(folder / "out"), "--crls", str(folder / "lists")),
                    *("--bank", str(folder)),
                ],
                stdout=subprocess.DEVNULL,
            ) as process,
            watch.watching(process.pid),
        ):
            code = process.wait()
        assert code == 0, code
        seconds = time.perf_counter() - begun
        shutil.rmtree(folder / "in")
    run = watch.worst.pop(process.pid)
    print(
        f"{count:>12,} rows, {size / 2**20:,.0f} MiB: peak {run / 1024:.0f} MiB in the run,"
        f" {max(watch.worst.values()) / 1024:.0f} MiB in its largest worker; {seconds:,.0f} s,"
        f" {count / seconds:,.0f} rows a second"
    )


def run() -> None:
    """Measure and print."""
    rates()
    for count in os.environ.get("ARCHIVE_ROWS", "100000").split(","):
        memory(int(count))
