"""The sealed log shows whoever changed it, took from it, or cut it off."""

from __future__ import annotations

import dataclasses
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Engine, delete, select, update

from tests.bank.banking import Bench, Holder
from ushield.bank import AuditBroken, Challenge, StoreBusy
from ushield.bank.audit import sequencer as sequencer_module
from ushield.bank.audit.entries import AuditEvent
from ushield.bank.audit.export import export_heads
from ushield.bank.audit.heads import SignedHead, read_heads
from ushield.bank.audit.keys import FileAuditSigner, load_public_key
from ushield.bank.audit.sequencer import Sequencer
from ushield.bank.store.tables import audit_entry, audit_head, challenge
from ushield.errors import InputInvalid


@pytest.fixture
def signer(tmp_path: Path) -> FileAuditSigner:
    return FileAuditSigner.create(tmp_path / "audit-key.pem")


@pytest.fixture
def sequencer(bench: Bench, signer: FileAuditSigner) -> Sequencer:
    return bench.bank.sequencer(signer)


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sequencer_module, "LARGEST_BATCH", 4)


@pytest.fixture
def history(bench: Bench) -> tuple[Holder, list[Challenge]]:
    """Ten entries: a customer, a certificate, four challenges, three of them met, a refusal."""
    alice = bench.customer()
    issued = [bench.issue(alice, f"A{number}") for number in range(4)]
    for each in issued[:3]:
        bench.bank.accept(each.id, alice.sign(each.message))
    bench.refusal(issued[3], b"")
    return alice, issued


def fault(bench: Bench, signer: FileAuditSigner, *anchors: SignedHead) -> tuple[str, int | None]:
    with pytest.raises(AuditBroken) as caught:
        bench.bank.verify_audit(signer.public_key, anchors)
    assert caught.value.remedy
    return caught.value.fault, caught.value.sequence


@pytest.mark.usefixtures("history", "small_batches")
def test_a_log_that_nobody_touched_holds(
    bench: Bench, sequencer: Sequencer, signer: FileAuditSigner
) -> None:
    assert bench.bank.verify_audit(signer.public_key).pending == 10
    heads = sequencer.seal_all()
    assert [(each.number, each.first, each.count) for each in heads] == [
        (1, 1, 4),
        (2, 5, 4),
        (3, 9, 2),
    ]
    assert sequencer.seal() is None
    report = bench.bank.verify_audit(signer.public_key, heads)
    assert dataclasses.astuple(report) == (3, 10, 0, 0, 3, 3)


@pytest.mark.usefixtures("history", "small_batches")
@pytest.mark.parametrize(
    "change",
    [
        {"at": 1},
        {"event": AuditEvent.WITHDRAWN.value},
        {"reason": "not-der"},
        {"challenge_id": "0" * 32},
        {"body": '{"customer":"bob"}'},
        {"salt": bytes(16)},
        {"digest": bytes(32)},
        {"body": None},
        {"salt": None},
    ],
    ids=str,
)
def test_a_changed_entry_is_found(
    bench: Bench,
    sequencer: Sequencer,
    signer: FileAuditSigner,
    engine: Engine,
    change: dict[str, object],
) -> None:
    sequencer.seal_all()
    with engine.begin() as connection:
        connection.execute(update(audit_entry).where(audit_entry.c.sequence == 7).values(change))
    found, sequence = fault(bench, signer)
    assert found == "changed"
    assert sequence in (5, 7)


@pytest.mark.usefixtures("history", "small_batches")
@pytest.mark.parametrize("place", [1, 6, 10])
def test_a_missing_entry_is_found(
    bench: Bench, sequencer: Sequencer, signer: FileAuditSigner, engine: Engine, place: int
) -> None:
    sequencer.seal_all()
    with engine.begin() as connection:
        connection.execute(delete(audit_entry).where(audit_entry.c.sequence == place))
    assert fault(bench, signer) == ("gap", place)


@pytest.mark.usefixtures("history", "small_batches")
def test_two_entries_that_changed_places_are_found(
    bench: Bench, sequencer: Sequencer, signer: FileAuditSigner, engine: Engine
) -> None:
    sequencer.seal_all()
    with engine.begin() as connection:
        for before, after in ((2, 99), (3, 2), (99, 3)):
            connection.execute(
                update(audit_entry).where(audit_entry.c.sequence == before).values(sequence=after)
            )
    assert fault(bench, signer) == ("changed", 1)


@pytest.mark.usefixtures("history", "small_batches")
def test_a_missing_head_is_found(
    bench: Bench, sequencer: Sequencer, signer: FileAuditSigner, engine: Engine
) -> None:
    sequencer.seal_all()
    with engine.begin() as connection:
        connection.execute(delete(audit_head).where(audit_head.c.number == 2))
    assert fault(bench, signer) == ("gap", 5)


@pytest.mark.usefixtures("history", "small_batches")
def test_a_log_cut_off_is_found_by_what_is_left_or_by_an_anchor(
    bench: Bench, sequencer: Sequencer, signer: FileAuditSigner, engine: Engine
) -> None:
    heads = sequencer.seal_all()
    with engine.begin() as connection:
        connection.execute(delete(audit_head).where(audit_head.c.number == 3))
    assert fault(bench, signer) == ("truncated", 9)
    with engine.begin() as connection:
        connection.execute(delete(audit_entry).where(audit_entry.c.sequence >= 9))
    assert fault(bench, signer) == ("unrecorded", None)
    with engine.begin() as connection:
        connection.execute(update(challenge).where(challenge.c.counter == 3).values(state="issued"))
    # Cut off cleanly, nothing inside tells; a head that was kept elsewhere does.
    bench.bank.verify_audit(signer.public_key, heads[:2])
    assert fault(bench, signer, heads[2]) == ("truncated", 9)


@pytest.mark.usefixtures("history", "small_batches")
def test_a_log_written_anew_with_the_key_itself_is_found_by_an_anchor(
    bench: Bench, sequencer: Sequencer, signer: FileAuditSigner, engine: Engine
) -> None:
    heads = sequencer.seal_all()
    with engine.begin() as connection:
        connection.execute(delete(audit_head))
        connection.execute(update(audit_entry).values(sequence=None))
        connection.execute(delete(audit_entry).where(audit_entry.c.reason.is_not(None)))
    sequencer.seal_all()
    bench.bank.verify_audit(signer.public_key)
    assert fault(bench, signer, heads[2])[0] == "changed"


@pytest.mark.usefixtures("history")
def test_heads_by_another_key_are_found(
    bench: Bench, signer: FileAuditSigner, tmp_path: Path
) -> None:
    bench.bank.sequencer(FileAuditSigner.create(tmp_path / "other.pem")).seal_all()
    assert fault(bench, signer) == ("head-invalid", 1)


@pytest.mark.usefixtures("history")
def test_an_anchor_that_was_changed_is_found(
    bench: Bench, sequencer: Sequencer, signer: FileAuditSigner
) -> None:
    (head,) = sequencer.seal_all()
    forged = dataclasses.replace(head, count=head.count - 1)
    assert fault(bench, signer, forged) == ("head-invalid", 1)


@pytest.mark.usefixtures("history")
def test_an_acceptance_that_nothing_records_is_found(
    bench: Bench, sequencer: Sequencer, signer: FileAuditSigner, engine: Engine
) -> None:
    sequencer.seal_all()
    with engine.begin() as connection:
        connection.execute(update(challenge).values(state="consumed"))
    assert fault(bench, signer) == ("unrecorded", None)


def test_a_person_can_be_forgotten_and_the_log_still_holds(
    bench: Bench,
    history: tuple[Holder, list[Challenge]],
    sequencer: Sequencer,
    signer: FileAuditSigner,
    engine: Engine,
) -> None:
    heads = sequencer.seal_all()
    with pytest.raises(InputInvalid, match="withdraw"):
        bench.bank.erase("alice")
    alice, issued = history
    bench.bank.withdraw(issued[3].id)
    assert bench.bank.erase("alice") == 11
    with engine.connect() as connection:
        bodies = connection.execute(select(audit_entry.c.body, audit_entry.c.salt)).all()
        assert all("alice" not in (body or "") for body, _ in bodies)
        assert [body is None for body, _ in bodies] == [salt is None for _, salt in bodies]
    kept = bench.bank.challenge(issued[0].id)
    assert (kept.state.value, kept.message, kept.signature) == ("consumed", None, None)
    sequencer.seal_all()
    report = bench.bank.verify_audit(signer.public_key, heads)
    assert (report.entries, report.erased) == (12, 11)
    # A replay is a replay, and the token signs no more.
    signature = alice.sign(issued[0].message)
    assert bench.refusal(issued[0], signature).value == "challenge-replayed"


def test_what_was_erased_is_not_in_the_file(
    tmp_path: Path, sqlite_url: str, signer: FileAuditSigner
) -> None:
    with Bench.open(sqlite_url) as bench:
        bench.bank.add_customer("c-1", "Zebedee Quux")
        bench.bank.sequencer(signer).seal_all()
        bench.bank.erase("c-1")
    assert b"Zebedee" not in b"".join(path.read_bytes() for path in tmp_path.glob("bank.db*"))


def test_of_several_sequencers_each_entry_gets_one_place(
    bench: Bench, signer: FileAuditSigner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sequencer_module, "LARGEST_BATCH", 3)
    alice = bench.customer()
    banks = [bench.again() for _ in range(3)]
    stop = threading.Event()

    def seal(number: int) -> None:
        banks[number].bank.sequencer(signer).run(stop, every=0.001)

    with ThreadPoolExecutor(4) as threads:
        sealing = [threads.submit(seal, number) for number in range(3)]
        for _ in range(20):
            issued = bench.issue(alice)
            bench.bank.accept(issued.id, alice.sign(issued.message))
        stop.set()
        for sealed in sealing:
            sealed.result(20)
    bench.bank.sequencer(signer).seal_all()
    report = bench.bank.verify_audit(signer.public_key)
    assert (report.entries, report.pending) == (42, 0)
    for each in banks:
        each.bank.close()


@pytest.mark.usefixtures("history", "small_batches")
def test_a_sequencer_that_is_told_to_stop_seals_what_was_decided_before(
    bench: Bench, sequencer: Sequencer, signer: FileAuditSigner
) -> None:
    stop = threading.Event()
    stop.set()
    assert sequencer.run(stop) == 10
    assert bench.bank.verify_audit(signer.public_key).pending == 0


def test_what_follows_a_seal_is_done_again_if_the_database_was_busy(
    bench: Bench, sequencer: Sequencer
) -> None:
    stop = threading.Event()
    told: list[str] = []
    calls: list[int] = []

    def then() -> None:
        calls.append(len(calls))
        if len(calls) == 1:
            bench.bank.add_customer("late")
        elif len(calls) == 2:
            raise StoreBusy("others are at it")
        else:
            stop.set()

    bench.bank.add_customer("early")
    sealed = sequencer.run(
        stop, every=0.001, then=then, report=lambda error: told.append(error.code)
    )
    assert (sealed, told, len(calls)) == (2, ["store-busy"], 3)


@pytest.mark.usefixtures("history", "small_batches")
def test_heads_are_exported_once_each_and_read_back(
    bench: Bench, sequencer: Sequencer, signer: FileAuditSigner, tmp_path: Path
) -> None:
    path = tmp_path / "heads.jsonl"
    first = sequencer.seal()
    assert first is not None
    assert export_heads(bench.bank.store, path) == 1
    heads = [first, *sequencer.seal_all()]
    with path.open("a") as stream:
        stream.write('{"instance": "cut off by a cra')
    assert export_heads(bench.bank.store, path) == 2
    assert export_heads(bench.bank.store, path) == 0
    assert read_heads(path.read_text()) == tuple(heads)
    bench.bank.verify_audit(signer.public_key, read_heads(path.read_text()))


@pytest.mark.usefixtures("history", "small_batches")
def test_a_restored_database_is_told_by_the_file_of_heads(
    bench: Bench, sequencer: Sequencer, tmp_path: Path, engine: Engine
) -> None:
    path = tmp_path / "heads.jsonl"
    sequencer.seal_all()
    export_heads(bench.bank.store, path)
    with engine.begin() as connection:
        connection.execute(delete(audit_head).where(audit_head.c.number == 3))
    with pytest.raises(AuditBroken) as caught:
        export_heads(bench.bank.store, path)
    assert caught.value.fault == "truncated"


@pytest.mark.parametrize("text", ["x\n", "{}\n", "[]\n", '{"number": "x"}\n', "\n", "1" * 9 + "\n"])
def test_a_file_that_holds_no_heads_is_refused_with_its_line(text: str) -> None:
    with pytest.raises(InputInvalid, match="line 1"):
        read_heads(text)


def test_the_key_s_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    made = FileAuditSigner.create(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert FileAuditSigner.load(path).public_pem == made.public_pem
    load_public_key(made.public_pem).verify(made.sign(b"x"), b"x")
    path.chmod(0o640)
    with pytest.raises(InputInvalid) as caught:
        FileAuditSigner.load(path)
    assert "chmod" in caught.value.remedy
    with pytest.raises(InputInvalid):
        FileAuditSigner.create(path)
    for content in (b"", b"rubbish", made.public_pem):
        other = tmp_path / "other.pem"
        other.write_bytes(content)
        other.chmod(0o600)
        with pytest.raises(InputInvalid):
            FileAuditSigner.load(other)
    with pytest.raises(InputInvalid):
        load_public_key(b"rubbish")
