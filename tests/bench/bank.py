"""Accepting with its commit, beside the same statements without us: bare sqlite3, and pgbench."""

from __future__ import annotations

import re
import shutil
import sqlite3
import statistics
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.bank.banking import VERIFIER, Bench, confirm_copy
from tests.bank.store.postgresql import INSTALL, Server, binaries
from tests.bank.store.watching import statements_watched
from tests.bench.measure import line
from tests.pki import NOW
from ushield.bank import BlindTransaction, VerifiedTransaction, create_store

TOKENS = 20
ROUND = 40
ROUNDS = 12
BATCH = 100

Pair = tuple[str, bytes]
Statements = list[tuple[str, Any]]


class _Known:
    """Answers at once with what was verified before: the store alone is measured."""

    def __init__(self) -> None:
        self.verdicts: dict[bytes, VerifiedTransaction] = {}

    def verify(self, signature: bytes, at: datetime) -> VerifiedTransaction | BlindTransaction:
        return self.verdicts[signature]


def _fill(url: str, known: _Known, count: int) -> list[Pair]:
    """A bank with ``count`` live challenges, and their signatures."""
    create_store(url, NOW)
    with Bench.open(url) as bench:
        holders = [bench.customer(f"c{number}") for number in range(TOKENS)]
        pairs = []
        for number in range(count):
            holder = holders[number % TOKENS]
            challenge = bench.issue(holder, f"A{number}")
            signature = holder.sign(challenge.message)
            known.verdicts[signature] = VERIFIER.verify(signature, NOW)
            pairs.append((challenge.id, signature))
    return pairs


def _opened(url: str, known: _Known) -> Bench:
    bench = Bench.open(url)
    bench.bank._verifier = known
    return bench


def _recorded(url: str, known: _Known, pairs: Sequence[Pair]) -> list[Statements]:
    """The statements of each acceptance, as they reach the driver."""
    transactions: list[Statements] = []

    def record(text: str, values: Any) -> None:
        transactions[-1].append((text, values))

    with _opened(url, known) as bench, statements_watched(record):
        for pair in pairs:
            transactions.append([])
            bench.bank.accept(*pair)
    return transactions


def _bare(path: Path) -> Callable[[Statements], None]:
    database = sqlite3.connect(path, isolation_level=None)
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "secure_delete=ON"):
        database.execute(f"PRAGMA {pragma}")

    def run(statements: Statements) -> None:
        database.execute("BEGIN IMMEDIATE")
        for text, values in statements:
            cursor = database.execute(text, values)
            if text.startswith("SELECT"):
                cursor.fetchall()
        database.execute("COMMIT")

    return run


def _each(work: Callable[[Any], object], items: Sequence[Any]) -> float:
    start = time.perf_counter()
    for item in items:
        work(item)
    return (time.perf_counter() - start) / len(items)


def _sqlite() -> None:
    known = _Known()
    count = ROUND * ROUNDS
    with TemporaryDirectory() as folder:
        made = Path(folder) / "made.db"
        pairs = _fill(f"sqlite:///{made}", known, count + BATCH * ROUNDS)
        copies = [made.with_name(name) for name in ("record.db", "bare.db", "bank.db", "batch.db")]
        for copy in copies:
            shutil.copy(made, copy)
            confirm_copy(f"sqlite:///{copy}")
        record, bare, ours, many = copies
        single, batched = pairs[:count], pairs[count:]
        statements = _recorded(f"sqlite:///{record}", known, single)
        run = _bare(bare)
        seconds: dict[str, list[float]] = {"bare": [], "bank": [], "batch": [], "verify": []}
        with (
            _opened(f"sqlite:///{ours}", known) as bench,
            _opened(f"sqlite:///{many}", known) as other,
        ):
            for number in range(ROUNDS):
                span = slice(number * ROUND, (number + 1) * ROUND)
                seconds["bare"].append(_each(run, statements[span]))
                seconds["bank"].append(_each(lambda pair: bench.bank.accept(*pair), single[span]))
                batch = batched[number * BATCH : (number + 1) * BATCH]
                seconds["batch"].append(_each(other.bank.accept_many, [batch]) / BATCH)
                seconds["verify"].append(
                    _each(lambda pair: VERIFIER.verify(pair[1], NOW), single[span])
                )
    told = {name: statistics.median(values) for name, values in seconds.items()}
    line("sqlite3: the same statements, synchronous FULL (reference)", told["bare"])
    ratio = told["bare"] / told["bank"]
    line("SQLite: accept with its commit", told["bank"], f"{ratio:.2f} of the rate, bound 0.50")
    line(f"SQLite: accept_many, {BATCH} a commit, each", told["batch"])
    line("verification of one P-256 signature, apart", told["verify"])


_PLACE = re.compile(r"%\((\w+)\)s(?:::[A-Z]+(?:\(\d+\))?)?")


def _script(statements: Statements) -> str:
    """The statements for pgbench: every client takes challenges of its own, one after another."""
    lines = ["\\set i :i + 1", "BEGIN;"]
    for text, values in statements:
        pieces = _PLACE.split(text.replace("ANY(%s)", "ANY(ARRAY[%(key)s])"))
        pieces[1::2] = [_literal(name, values) for name in pieces[1::2]]
        lines.append(" ".join("".join(pieces).split()) + ";")
    return "\n".join([*lines, "COMMIT;", ""])


def _literal(name: str, values: Any) -> str:
    if name in ("challenge_id",):
        return "(SELECT id FROM place WHERE n = :i)"
    if name == "key":
        (found,) = values[0]
        return _literal("challenge_id", values) if isinstance(found, str) else _quoted(found)
    if name in ("token_serial", "signer"):
        return f"(SELECT {name} FROM place WHERE n = :i)"
    if name == "known_counter":
        return "(:i - 1) / 20"
    if name in ("new_counter", "count"):
        return "(:i - 1) / 20 + 1"
    return _quoted(values[name])


def _quoted(value: Any) -> str:
    if isinstance(value, bytes):
        return f"'\\x{value.hex()}'::bytea"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return "NULL" if value is None else str(value)


def _postgresql() -> None:
    if binaries() is None:
        print(f"PostgreSQL: left out, its server is not here: {INSTALL}")
        return
    known = _Known()
    count = ROUND * ROUNDS
    with Server("shared_buffers=128MB") as server:
        server.sql("CREATE DATABASE made")
        pairs = _fill(server.url("made"), known, count + BATCH * ROUNDS)
        for name in ("record", "bench", "bank", "batch"):
            server.sql(f"CREATE DATABASE {name} TEMPLATE made")
            confirm_copy(server.url(name))
        (statements,) = _recorded(server.url("record"), known, pairs[:1])
        rows = ",".join(
            f"({number},'{identifier}','US-c{(number - 1) % TOKENS}',"
            f"'\\x{_digest(known, signature)}'::bytea)"
            for number, (identifier, signature) in enumerate(pairs, 1)
        )
        server.sql(
            "CREATE TABLE place (n int PRIMARY KEY, id text, token_serial text, signer bytea);"
            f"INSERT INTO place VALUES {rows}; ANALYZE",
            "bench",
        )
        script = server.folder / "accept.sql"
        script.write_text(_script(statements))
        script.chmod(0o644)
        seconds: dict[str, list[float]] = {"bench": [], "bank": [], "batch": []}
        with (
            _opened(server.url("bank"), known) as bench,
            _opened(server.url("batch"), known) as other,
        ):
            for number in range(ROUNDS):
                seconds["bench"].append(_pgbench(server, script, number * ROUND))
                span = slice(number * ROUND, (number + 1) * ROUND)
                seconds["bank"].append(_each(lambda pair: bench.bank.accept(*pair), pairs[span]))
                batch = pairs[count + number * BATCH : count + (number + 1) * BATCH]
                seconds["batch"].append(_each(other.bank.accept_many, [batch]) / BATCH)
        used = server.sql("SELECT count(*) FROM challenge WHERE state = 'consumed'", "bench")
        assert int(used) == count, f"pgbench used {used} of {count} challenges up"
    told = {name: statistics.median(values) for name, values in seconds.items()}
    line("pgbench: the same statements, prepared (reference)", told["bench"])
    ratio = told["bench"] / told["bank"]
    line("PostgreSQL: accept with its commit", told["bank"], f"{ratio:.2f} of the rate, bound 0.50")
    line(f"PostgreSQL: accept_many, {BATCH} a commit, each", told["batch"])


def _digest(known: _Known, signature: bytes) -> str:
    from hashlib import sha256

    return sha256(known.verdicts[signature].certificate).hexdigest()


def _pgbench(server: Server, script: Path, done: int) -> float:
    told = server.run(
        "pgbench",
        *("-n", "-M", "prepared", "-c", "1", "-t", str(ROUND), "-f", str(script)),
        *("-D", f"i={done}", "bench"),
    )
    (average,) = re.findall(r"latency average = ([0-9.]+) ms", told)
    return float(average) / 1000


def run() -> None:
    """Measure and print."""
    _sqlite()
    _postgresql()
