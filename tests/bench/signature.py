"""A confirmed signature with OK already scripted, from PIN to CMS, beside what it cannot avoid."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

from tests.bench.measure import in_turn, line
from ushield.algorithms import KeyAlgorithm
from ushield.shield.events import PanelKey
from ushield.signing import SigningSession
from ushield.testing.token import VirtualTokenUnderTest
from ushield.transaction import Transaction, from_json

COMMITS = 8
ALLOWANCE = 0.001
PAYMENT = from_json(
    {
        "kind": "transfer",
        "payer": {"name": "李四", "account": "6222020200112233445"},
        "payee": {
            "name": "张三",
            "account": "6222021001098765432",
            "bank": "中国工商银行北京分行",
        },
        "amount": "1234.56",
        "currency": "CNY",
        "order": "A20261121001",
        "memo": "房租",
        "challenge": "9f3c5b8e21d74a06",
    }
)


def confirmed_signature(
    token: VirtualTokenUnderTest, session: SigningSession, transaction: Transaction = PAYMENT
) -> bytes:
    """PIN, BEGIN, every page, OK, SIGN, verified, assembled."""
    pending = session.sign(transaction, pin=token.pin)
    for _ in range(pending.pages - 1):
        token.panel.page_down()
    token.panel.press(PanelKey.OK)
    return pending.result(timeout=10).der


def _raw(algorithm: KeyAlgorithm) -> Callable[[], bytes]:
    if algorithm.is_rsa:
        rsa_key = rsa.generate_private_key(65537, 2048)
        return lambda: rsa_key.sign(b"reference", padding.PKCS1v15(), SHA256())
    ec_key = ec.generate_private_key(ec.SECP256R1())
    return lambda: ec_key.sign(b"reference", ec.ECDSA(SHA256()))


def _commit(path: Path) -> Callable[[], None]:
    """One durable commit of one row, by bare SQLite with the settings of the token's memory."""
    database = sqlite3.connect(path, isolation_level=None)
    for pragma in ("locking_mode=EXCLUSIVE", "journal_mode=WAL", "synchronous=FULL"):
        database.execute(f"PRAGMA {pragma}")
    database.execute("CREATE TABLE counter (value INTEGER)")
    database.execute("INSERT INTO counter VALUES (0)")

    def commit() -> None:
        database.execute("UPDATE counter SET value = value + 1")

    return commit


def run() -> None:
    """Measure and print."""
    for algorithm in (KeyAlgorithm.RSA_2048, KeyAlgorithm.P256):
        with (
            TemporaryDirectory() as folder,
            VirtualTokenUnderTest.create(Path(folder) / "t") as token,
        ):
            token.enrol(algorithm)
            with token.open() as opened, opened.session(token.pin) as session:
                seconds = in_turn(
                    {
                        "raw": _raw(algorithm),
                        "commit": _commit(Path(folder) / "reference.db"),
                        "signature": partial(confirmed_signature, token, session),
                    },
                    runs=40,
                )
        bound = seconds["raw"] + COMMITS * seconds["commit"] + ALLOWANCE
        line(f"{algorithm}: raw signature (reference)", seconds["raw"])
        line(f"{algorithm}: one durable commit (reference)", seconds["commit"])
        line(
            f"{algorithm}: confirmed signature, PIN to CMS",
            seconds["signature"],
            f"bound {bound * 1e3:.2f} ms = raw + {COMMITS} commits + 1 ms",
        )
