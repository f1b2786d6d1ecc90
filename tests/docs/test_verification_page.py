"""The page on verification says what the code does, and its examples run."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.bank.revocations import crl
from tests.docs.test_examples import blocks
from tests.pki import Signer, authority, pem
from tests.transaction.strategies import TRANSFER
from ushield.bank import RejectionReason, TransactionRejected
from ushield.cli.exit_codes import exit_code
from ushield.transaction import write_message

PAGE = Path(__file__).parents[2] / "docs" / "verification.md"
EXIT_CODES = {"not valid": 40, "trust": 41, "policy": 42}


def test_the_page_has_every_reason_and_no_other_with_its_exit_code() -> None:
    rows = re.findall(r"^\| `([a-z-]+)` \| ([a-z ]+) \| (.+) \|$", PAGE.read_text(), re.MULTILINE)
    assert sorted(name for name, _, _ in rows) == sorted(RejectionReason)
    for name, kind, _ in rows:
        rejection = TransactionRejected("no", reason=RejectionReason(name))
        assert exit_code(rejection) == EXIT_CODES[kind], name


def test_its_examples_verify_a_signature_now_and_at_a_time_in_the_past(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    now = datetime.now(UTC).replace(microsecond=0)
    hour = timedelta(hours=1)
    signer = Signer.issued(not_before=datetime(2026, 1, 1, tzinfo=UTC), not_after=now + 1000 * hour)
    Path("payment.p7s").write_bytes(signer.sign(write_message(TRANSFER)))
    Path("bank-ca.pem").write_bytes(
        pem(authority(not_before=datetime(2020, 1, 1, tzinfo=UTC), not_after=now + 1000 * hour))
    )
    Path("bank.crl").write_bytes(crl(this_update=now - hour, next_update=now + hour))
    names: dict[str, Any] = {}
    for example in blocks(PAGE, "python"):
        exec(compile(example, str(PAGE), "exec"), names)
    assert "CN=李四 7" in capsys.readouterr().out
