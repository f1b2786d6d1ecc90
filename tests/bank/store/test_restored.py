"""A restored database accepts nothing twice, and loses nothing in silence, once it is noticed."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bank.banking import VERIFIER, Bench, Holder
from tests.bank.conftest import MISSING
from tests.bank.store.postgresql import Server, binaries
from tests.pki import NOW
from ushield.bank import (
    AuditBroken,
    Bank,
    Challenge,
    ChallengeState,
    RejectionReason,
    StoreRestored,
    StoreUnavailable,
    confirm_restored,
    create_store,
)
from ushield.bank.audit.export import export_heads
from ushield.bank.audit.keys import FileAuditSigner


@pytest.fixture
def backup(tmp_path: Path, sqlite_url: str) -> tuple[Bench, Holder, Challenge, Path]:
    """A bank with one live challenge, and a backup made then."""
    bench = Bench.open(sqlite_url)
    alice = bench.customer()
    challenge = bench.issue(alice, "A1")
    bench.bank.close()
    copy = tmp_path / "backup.db"
    shutil.copy(tmp_path / "bank.db", copy)
    return Bench.open(sqlite_url), alice, challenge, copy


def test_what_was_accepted_after_the_backup_is_not_accepted_again(
    backup: tuple[Bench, Holder, Challenge, Path],
) -> None:
    bench, alice, challenge, copy = backup
    signature = alice.sign(challenge.message)
    bench.bank.accept(challenge.id, signature)
    later = bench.issue(alice, "A2")
    bench.bank.close()

    url = f"sqlite:///{copy}"
    with pytest.raises(StoreRestored) as caught:
        Bank.open(url, verifier=VERIFIER)
    assert "bank restored" in caught.value.remedy
    assert confirm_restored(url, NOW) == 1
    with Bench.open(url) as restored:
        assert restored.refusal(challenge, signature) is RejectionReason.CHALLENGE_VOID
        # What the backup does not have is told, too.
        late = alice.sign(later.message)
        assert restored.refusal(later, late) is RejectionReason.CHALLENGE_UNKNOWN
        again = restored.issue(alice, "A1")
        restored.bank.accept(again.id, alice.sign(again.message))


def test_of_two_databases_from_one_backup_neither_accepts_what_was_live(
    backup: tuple[Bench, Holder, Challenge, Path], tmp_path: Path
) -> None:
    bench, alice, challenge, copy = backup
    other = tmp_path / "other.db"
    shutil.copy(copy, other)
    signature = alice.sign(challenge.message)
    for path in (copy, other):
        url = f"sqlite:///{path}"
        confirm_restored(url, NOW)
        with Bench.open(url) as restored:
            assert restored.refusal(challenge, signature) is RejectionReason.CHALLENGE_VOID
    # The original, which nobody replaced, is the only one that may.
    bench.bank.accept(challenge.id, signature)
    bench.bank.close()


def test_a_move_that_lost_nothing_may_keep_what_is_live(
    backup: tuple[Bench, Holder, Challenge, Path],
) -> None:
    bench, alice, challenge, copy = backup
    bench.bank.close()
    assert confirm_restored(f"sqlite:///{copy}", NOW, nothing_lost=True) == 0
    with Bench.open(f"sqlite:///{copy}") as moved:
        moved.bank.accept(challenge.id, alice.sign(challenge.message))


def test_a_file_overwritten_in_place_is_found_by_the_heads_that_left_it(
    backup: tuple[Bench, Holder, Challenge, Path], tmp_path: Path, sqlite_url: str
) -> None:
    bench, alice, challenge, copy = backup
    bench.bank.accept(challenge.id, alice.sign(challenge.message))
    signer = FileAuditSigner.create(tmp_path / "key.pem")
    bench.bank.sequencer(signer).seal_all()
    heads = tmp_path / "heads.jsonl"
    export_heads(bench.bank.store, heads)
    bench.bank.close()
    (tmp_path / "bank.db").write_bytes(copy.read_bytes())
    with Bench.open(sqlite_url) as restored:
        # The file's number is the same, so opening tells nothing: the heads do.
        with pytest.raises(AuditBroken) as caught:
            export_heads(restored.bank.store, heads)
        assert caught.value.fault == "truncated"


@pytest.fixture
def primary() -> Iterator[Server]:
    if binaries() is None:
        pytest.skip(MISSING)
    with Server("fsync=off", "shared_buffers=16MB", "max_wal_senders=2") as server:
        server.sql("CREATE DATABASE bank")
        create_store(server.url("bank"), NOW)
        yield server


def test_a_standby_takes_nothing_and_must_be_confirmed_once_it_was_promoted(
    primary: Server,
) -> None:
    with Bench.open(primary.url("bank")) as bench:
        alice = bench.customer()
        challenge = bench.issue(alice)
    standby = Server(*primary.options)
    primary.run("pg_basebackup", "-D", str(standby.data), "-c", "fast", "-X", "stream")
    standby.run("touch", str(standby.data / "standby.signal"))
    with standby:
        with pytest.raises(StoreUnavailable, match="standby"):
            Bank.open(standby.url("bank"), verifier=VERIFIER)
        standby.sql("SELECT pg_promote()")
        deadline = time.monotonic() + 20
        while standby.sql("SELECT pg_is_in_recovery()") == "t":
            assert time.monotonic() < deadline
            time.sleep(0.05)
        with pytest.raises(StoreRestored):
            Bank.open(standby.url("bank"), verifier=VERIFIER)
        assert confirm_restored(standby.url("bank"), NOW) == 1
        with Bench.open(standby.url("bank")) as restored:
            assert restored.bank.challenge(challenge.id).state is ChallengeState.VOID
            signature = alice.sign(challenge.message)
            assert restored.refusal(challenge, signature) is RejectionReason.CHALLENGE_VOID
