"""Archives verified again: through processes, beside raw verification on as many cores, and Dask.

``python -m tests.bench archive`` measures rates, and memory at 10^5 rows, or at
``ARCHIVE_ROWS=100000,1000000``. Archives have the same few thousand signatures over and over, which
changes nothing for memory, and little for time, since no signature is remembered. With
``ARCHIVE_UNTIMED_ROWS`` rows have no time, so that none is verified: all else is as large.
"""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from datetime import timedelta
from importlib import import_module
from itertools import cycle, islice
from pathlib import Path
from threading import Event, Thread
from typing import Any, NamedTuple

import pyarrow as pa
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
)

from tests.bank.revocations import DAY, crl, entry
from tests.pki import NOW, Signer, authority, pem, receipt_for
from tests.transaction.strategies import TRANSFER
from ushield.algorithms import KeyAlgorithm
from ushield.bank.archive import (
    ArchiveJob,
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
SHARDS = 4
RAW = 50_000
DAYS = 30
ROUNDS = int(os.environ.get("ARCHIVE_ROUNDS", "3"))
CORES = len(os.sched_getaffinity(0))


class Cost(NamedTuple):
    """Seconds for one row: by the clock, all cores at it, and of processor time."""

    clock: float
    processor: float


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


def raw_cost(key: bytes, parts: list[tuple[bytes, bytes]], count: int) -> float:
    """Seconds of processor time that one verification takes this process."""
    public = load_der_public_key(key)
    begun = time.process_time()
    for signature, attributes in islice(cycle(parts), count):
        if isinstance(public, rsa.RSAPublicKey):
            public.verify(signature, attributes, padding.PKCS1v15(), SHA256())
        elif isinstance(public, ec.EllipticCurvePublicKey):
            public.verify(signature, attributes, ec.ECDSA(SHA256()))
    return (time.process_time() - begun) / count


def raw_on_all_cores(signer: Signer, rows: list[dict[str, Any]]) -> Cost:
    """A process a core, all at once."""
    key = signer.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    parsed = [parse_signed_data(row["signature"]) for row in rows[:200]]
    parts = [(each.signature, each.signed_attributes) for each in parsed]
    with ProcessPoolExecutor(CORES, mp_context=multiprocessing.get_context("spawn")) as pool:
        # They have imported all they need before the clock runs.
        list(pool.map(raw_cost, [key] * CORES, [parts] * CORES, [100] * CORES))
        begun = time.perf_counter()
        costs = list(pool.map(raw_cost, [key] * CORES, [parts] * CORES, [RAW] * CORES))
        wall = time.perf_counter() - begun
    return Cost(wall / (RAW * CORES), sum(costs) / CORES)


def spent(*, children: bool) -> float:
    """Seconds of processor time of this process, and of its children that have ended."""
    used = time.process_time()
    if children:
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        used += ended.ru_utime + ended.ru_stime
    return used


def verified(
    shards: list[Shard], out: Path, job: ArchiveJob, elsewhere: Callable[[], float], **settings: Any
) -> Cost:
    """A run, without what starting workers and finding everything done takes."""
    costs = []
    for _ in range(2):
        used, begun = spent(children=not settings) + elsewhere(), time.perf_counter()
        report = verify_archive(shards, out, job=job, **settings)
        assert report.failed_rows == 0
        assert not report.failed_shards
        ended = spent(children=not settings) + elsewhere()
        costs.append((time.perf_counter() - begun, ended - used))
    assert report.resumed == len(shards)
    (wall, used), (idle_wall, idle_used) = costs
    return Cost((wall - idle_wall) / report.rows, (used - idle_used) / report.rows)


def rates() -> None:
    """Pool and Dask beside raw verification, in turn."""
    # Its types are half there.
    distributed: Any = import_module("distributed")
    for algorithm in (KeyAlgorithm.RSA_2048, KeyAlgorithm.P256):
        signer = Signer.issued(algorithm)
        rows = signed(signer, DISTINCT)
        found: list[tuple[Cost, Cost, Cost]] = []
        with (
            tempfile.TemporaryDirectory() as name,
            distributed.LocalCluster(
                n_workers=CORES, threads_per_worker=1, dashboard_address=None
            ) as cluster,
            distributed.Client(cluster, set_as_default=False) as client,
            client.get_executor(pure=False) as executor,
        ):
            folder = Path(name)
            job = job_with_lists(folder / "lists")
            write_archive(folder / "in", rows, SHARDS * ROWS_A_SHARD)
            shards = find_shards(folder / "in")

            def of_workers(client: Any = client) -> float:
                return float(sum(client.run(time.process_time).values()))

            for number in range(ROUNDS):
                found += [
                    (
                        raw_on_all_cores(signer, rows),
                        verified(shards, folder / f"pool-{number}", job, lambda: 0.0),
                        verified(
                            shards,
                            folder / f"dask-{number}",
                            job,
                            of_workers,
                            executor=executor,
                            in_flight=2 * CORES,
                        ),
                    )
                ]
        print(f"{algorithm}: {SHARDS * ROWS_A_SHARD:,} rows, {CORES} cores, {ROUNDS} rounds")
        for title, pick in (("by the clock", 0), ("by processor time", 1)):
            raw, pool, dask = (
                statistics.median(each[place][pick] for each in found) for place in range(3)
            )
            # A second of the clock is one of each core.
            a_second = 1 if pick == 0 else CORES
            print(
                f"  {title}: raw {a_second / raw:,.0f} a second (reference),"
                f" processes {a_second / pool:,.0f}, Dask {a_second / dask:,.0f}:"
                f" {raw / pool:.2f} of the reference (at least 0.75),"
                f" Dask {pool / dask:.2f} of processes (at least 0.9)"
            )


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


def memory(count: int, *, timed: bool = True) -> None:
    """Peak memory of a run over ``count`` rows, of the run and of its largest worker."""
    rows = signed(Signer.issued(KeyAlgorithm.RSA_2048), DISTINCT)
    if not timed:
        rows = [row | {"signed_at": None} for row in rows]
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
        assert code == (0 if timed else 40), code
        seconds = time.perf_counter() - begun
        shutil.rmtree(folder / "in")
    run = watch.worst.pop(process.pid)
    kind = "rows" if timed else "rows without a time"
    print(
        f"{count:>12,} {kind}, {size / 2**20:,.0f} MiB: peak {run / 1024:.0f} MiB in the run,"
        f" {max(watch.worst.values()) / 1024:.0f} MiB in its largest worker; {seconds:,.0f} s,"
        f" {count / seconds:,.0f} rows a second"
    )


def run() -> None:
    """Measure and print."""
    rates()
    for count in os.environ.get("ARCHIVE_ROWS", "100000").split(","):
        memory(int(count))
    for count in filter(None, os.environ.get("ARCHIVE_UNTIMED_ROWS", "").split(",")):
        memory(int(count), timed=False)
