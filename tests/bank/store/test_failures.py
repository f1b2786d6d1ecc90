"""A database that is gone, slow, full, locked or damaged is told in time, and nothing is lost."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event

from tests.bank.banking import VERIFIER, Bench, confirm_copy
from tests.bank.store.postgresql import Server
from tests.pki import NOW
from ushield.bank import (
    Bank,
    ChallengeState,
    OutcomeUnknown,
    StoreBusy,
    StoreCorrupt,
    StoreFull,
    StoreUnavailable,
    create_store,
)
from ushield.errors import StoreError

PROMPT = 3.0


def refused(kind: type[StoreError], work: Callable[[], object], *, within: float = PROMPT) -> None:
    start = time.monotonic()
    with pytest.raises(kind) as caught:
        work()
    assert type(caught.value) is kind
    assert caught.value.remedy
    assert time.monotonic() - start < within


def still_works(bench: Bench, challenge: Any, signature: bytes) -> None:
    """Nothing was used up by what failed."""
    assert bench.bank.challenge(challenge.id).state is ChallengeState.ISSUED
    bench.bank.accept(challenge.id, signature)


def test_a_database_that_others_hold_is_waited_for_only_so_long(url: str, engine: Engine) -> None:
    with Bench.open(url, timeout=0.5) as bench:
        alice = bench.customer()
        challenge = bench.issue(alice)
        signature = alice.sign(challenge.message)
        with engine.connect() as other:
            if engine.dialect.name == "sqlite":
                other.exec_driver_sql("BEGIN IMMEDIATE")
            else:
                other.exec_driver_sql("SELECT * FROM token FOR UPDATE")
            refused(StoreBusy, lambda: bench.bank.accept(challenge.id, signature))
            other.rollback()
        still_works(bench, challenge, signature)


def test_a_full_file_takes_no_signature_and_loses_none(sqlite_url: str) -> None:
    limit = [1 << 30]

    def set_limit(connection: Any, record: Any) -> None:
        connection.execute(f"PRAGMA max_page_count={limit[0]}").close()

    with Bench.open(sqlite_url) as bench:
        alice = bench.customer()
        challenge = bench.issue(alice)
        signature = alice.sign(challenge.message)
        engine = bench.bank.store.engine
        event.listen(engine, "connect", set_limit)
        limit[0] = 1
        engine.dispose()
        refused(StoreFull, lambda: [bench.issue(alice) for _ in range(50)])
        limit[0] = 1 << 30
        engine.dispose()
        still_works(bench, challenge, signature)


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "tiny"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip(f"needs a small file system: run as root, where `{' '.join(mount)}` works")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_takes_no_signature_and_loses_none(
    tiny_disk: Path, sqlite_template: Path
) -> None:
    shutil.copy(sqlite_template, tiny_disk / "bank.db")
    url = f"sqlite:///{tiny_disk}/bank.db"
    confirm_copy(url)
    with Bench.open(url) as bench:
        alice = bench.customer()
        challenge = bench.issue(alice)
        signature = alice.sign(challenge.message)
        filler = tiny_disk / "filler"
        with filler.open("wb") as stream:
            with pytest.raises(OSError, match="space"):
                os.posix_fallocate(stream.fileno(), 0, 1 << 20)
            free = os.statvfs(tiny_disk).f_bavail * os.statvfs(tiny_disk).f_frsize
            os.posix_fallocate(stream.fileno(), 0, free)
        with pytest.raises(StoreError) as caught:
            [bench.issue(alice) for _ in range(50)]
        assert type(caught.value) in (StoreFull, StoreUnavailable)
        filler.unlink()
        still_works(bench, challenge, signature)


def test_a_file_that_is_gone_or_replaced_is_not_written_on(tmp_path: Path, sqlite_url: str) -> None:
    with Bench.open(sqlite_url) as bench:
        alice = bench.customer()
        path = tmp_path / "bank.db"
        path.rename(tmp_path / "away.db")
        refused(StoreUnavailable, lambda: bench.issue(alice))
        shutil.copy(tmp_path / "away.db", path)
        refused(StoreUnavailable, lambda: bench.issue(alice))
        (tmp_path / "away.db").rename(path)
        bench.issue(alice)


@pytest.mark.parametrize("damage", ["rubbish", "header", "middle"])
def test_a_damaged_file_is_told(tmp_path: Path, sqlite_url: str, damage: str) -> None:
    path = tmp_path / "bank.db"
    data = bytearray(path.read_bytes())
    if damage == "rubbish":
        data = bytearray(os.urandom(8192))
    elif damage == "header":
        data[:16] = b"not a database.."
    else:
        data[4096:] = bytes([0xFF]) * (len(data) - 4096)
    path.write_bytes(bytes(data))

    def use() -> None:
        with Bench.open(sqlite_url) as bench:
            bench.customer()

    refused(StoreCorrupt, use)


def test_a_folder_is_no_database(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable):
        Bank.open(f"sqlite:///{tmp_path}", verifier=VERIFIER)


def test_making_a_database_where_it_cannot_be_is_told(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable):
        create_store(f"sqlite:///{tmp_path}/nowhere/bank.db", NOW)


FAILURES = [
    ("53100", StoreFull),
    ("53300", StoreBusy),
    ("57014", StoreBusy),
    ("57P01", StoreUnavailable),
    ("58030", StoreUnavailable),
    ("25006", StoreUnavailable),
    ("XX001", StoreCorrupt),
    ("40001", StoreBusy),
]


@pytest.mark.parametrize(("state", "kind"), FAILURES)
def test_what_the_server_reports_is_told_as_what_it_is(
    postgresql_url: str, server: Server, state: str, kind: type[StoreError]
) -> None:
    with Bench.open(postgresql_url, timeout=1) as bench:
        alice = bench.customer()
        challenge = bench.issue(alice)
        signature = alice.sign(challenge.message)
        server.sql(
            "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS"
            f" $$BEGIN RAISE EXCEPTION 'failing' USING ERRCODE = '{state}'; END$$;"
            "CREATE TRIGGER fail BEFORE UPDATE ON challenge EXECUTE FUNCTION fail()",
            "bank",
        )
        try:
            refused(kind, lambda: bench.bank.accept(challenge.id, signature))
        finally:
            server.sql("DROP FUNCTION fail CASCADE", "bank")
        still_works(bench, challenge, signature)


def test_a_connection_lost_in_the_commit_leaves_it_open_what_happened(
    postgresql_url: str, server: Server
) -> None:
    with Bench.open(postgresql_url) as bench:
        alice = bench.customer()
        challenge = bench.issue(alice)
        signature = alice.sign(challenge.message)
        server.sql(
            "CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS"
            " $$BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END$$;"
            "CREATE CONSTRAINT TRIGGER die AFTER UPDATE ON challenge"
            " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION die()",
            "bank",
        )
        try:
            refused(OutcomeUnknown, lambda: bench.bank.accept(challenge.id, signature))
        finally:
            server.sql("DROP FUNCTION die CASCADE", "bank")
        still_works(bench, challenge, signature)


def test_connections_that_died_while_idle_are_not_noticed(
    postgresql_url: str, server: Server
) -> None:
    with Bench.open(postgresql_url) as bench:
        alice = bench.customer()
        server.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'ushield-bank'"
        )
        challenge = bench.issue(alice)
        bench.bank.accept(challenge.id, alice.sign(challenge.message))


@pytest.fixture
def own_server() -> Iterator[tuple[Server, str]]:
    """A server of this test's own, to be stopped and killed."""
    from tests.bank.conftest import MISSING
    from tests.bank.store.postgresql import binaries

    if binaries() is None:
        pytest.skip(MISSING)
    with Server("fsync=off", "shared_buffers=16MB") as server:
        server.sql("CREATE DATABASE bank")
        create_store(server.url("bank"), NOW)
        yield server, server.url("bank")


def test_a_server_that_stops_hangs_or_dies_is_told_and_used_again_when_it_is_back(
    own_server: tuple[Server, str],
) -> None:
    server, url = own_server
    with Bench.open(url, timeout=1) as bench:
        alice = bench.customer()
        challenge = bench.issue(alice)
        signature = alice.sign(challenge.message)

        processes = server.processes()
        for each in processes:
            os.kill(each, signal.SIGSTOP)
        try:
            refused(StoreUnavailable, lambda: bench.bank.accept(challenge.id, signature), within=6)
        finally:
            for each in processes:
                os.kill(each, signal.SIGCONT)
        assert bench.bank.challenge(challenge.id).state is ChallengeState.ISSUED

        server.stop()
        refused(StoreUnavailable, lambda: bench.bank.accept(challenge.id, signature))
        refused(StoreUnavailable, lambda: Bank.open(url, verifier=VERIFIER, timeout=1))
        server.start()
        still_works(bench, challenge, signature)

        # What was committed before a crash is there after it, and nothing else.
        other = bench.issue(alice)
        server.stop(signal.SIGKILL)
        time.sleep(0.2)
        server.start()
        assert bench.bank.challenge(challenge.id).state is ChallengeState.CONSUMED
        bench.bank.accept(other.id, alice.sign(other.message))


def test_reading_while_another_writes_waits_for_nobody(sqlite_url: str, tmp_path: Path) -> None:
    with Bench.open(sqlite_url, timeout=0.5) as bench:
        alice = bench.customer()
        challenge = bench.issue(alice)
        with closing(sqlite3.connect(tmp_path / "bank.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            assert bench.bank.challenge(challenge.id).state is ChallengeState.ISSUED
