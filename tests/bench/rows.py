"""A hundred thousand rows of a batch: counted and verified, beside `csv` and SHA-256 alone."""

from __future__ import annotations

import csv
import hashlib
import io
import tracemalloc

from tests.bench.measure import in_turn, line
from tests.transaction.strategies import PAYER
from ushield.bank.batch import verify_rows
from ushield.transaction import Batch, parse_message, write_message
from ushield.transaction.row_files import read_rows

_COUNT = 100_000


def _file() -> bytes:
    lines = ["payee,account,bank,amount,currency,memo"]
    for number in range(_COUNT):
        account = f"6222{number:012}"
        lines.append(f"员工{number},{account},中国工商银行北京分行,{number}.50,CNY,工资")
    return "\n".join(lines).encode()


def run() -> None:
    """Measure and print."""
    data = _file()
    batch = Batch.of_rows(read_rows(io.BytesIO(data)), payer=PAYER, challenge="c")
    message = parse_message(write_message(batch))

    def bare() -> None:
        digest = hashlib.sha256()
        for cells in csv.reader(io.TextIOWrapper(io.BytesIO(data), "utf-8")):
            digest.update("".join(cells).encode())

    def count() -> None:
        Batch.of_rows(read_rows(io.BytesIO(data)), payer=PAYER, challenge="c")

    def verify() -> None:
        with verify_rows(message, read_rows(io.BytesIO(data))) as rows:
            for _ in rows:
                pass

    seconds = in_turn({"bare": bare, "count": count, "verify": verify}, rounds=3, runs=1)
    line(f"csv and SHA-256 alone, {_COUNT:,} rows (reference)", seconds["bare"])
    for name, text in (
        ("count", "read, checked, summed, hashed"),
        ("verify", "the same, kept, and read back from the copy"),
    ):
        ratio = seconds[name] / seconds["bare"]
        line(text, seconds[name], f"{ratio:.1f} of the reference")
    tracemalloc.start()
    verify()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    print(
        f"memory while verifying: {peak / (1 << 20):.1f} MiB above the file's {len(data):,} bytes"
    )
