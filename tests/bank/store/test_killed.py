"""A process that is killed at any step leaves all of a decision behind, or none of it."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable
from functools import partial
from operator import methodcaller
from pathlib import Path

from sqlalchemy import Engine, func, select

from tests.bank.banking import Bench
from tests.bank.killing import MOST_STEPS, killed_at
from ushield.bank import AcceptedTransaction, Bank, Challenge, ChallengeState, RejectionReason
from ushield.bank.audit.keys import FileAuditSigner
from ushield.bank.store.tables import audit_entry, audit_head


def _with_bank(work: Callable[[Bank], object], bench: Bench) -> None:
    work(bench.bank)


def accepted_entries(engine: Engine, challenge: Challenge) -> int:
    with engine.connect() as connection:
        return connection.execute(
            select(func.count())
            .select_from(audit_entry)
            .where(audit_entry.c.challenge_id == challenge.id, audit_entry.c.event == "accepted")
        ).scalar_one()


def test_accepting_is_done_whole_or_not_at_all(url: str, bench: Bench, engine: Engine) -> None:
    alice = bench.customer()
    states = []
    for step in range(MOST_STEPS):
        challenge = bench.issue(alice)
        signature = alice.sign(challenge.message)
        before = bench.bank.token("US-alice").counter
        accept = methodcaller("accept", challenge.id, signature)
        was_killed = killed_at(step, url, bench, partial(_with_bank, accept))
        kept = bench.bank.challenge(challenge.id)
        after = bench.bank.token("US-alice").counter
        states.append(kept.state)
        if kept.state is ChallengeState.CONSUMED:
            assert (kept.signature, after > before) == (signature, True)
            assert accepted_entries(engine, challenge) == 1
            assert bench.refusal(challenge, signature).value == "challenge-replayed"
        else:
            assert (kept.signature, after) == (None, before)
            assert accepted_entries(engine, challenge) == 0
            bench.bank.accept(challenge.id, signature)
        if not was_killed:
            break
    # It was killed at every step: up to the commit nothing had happened, and then all had.
    first = states.index(ChallengeState.CONSUMED)
    assert first >= 10
    assert set(states[:first]) == {ChallengeState.ISSUED}
    assert set(states[first:]) == {ChallengeState.CONSUMED}
    assert len(states) >= first + 2


def test_issuing_is_done_whole_or_not_at_all(url: str, bench: Bench) -> None:
    alice = bench.customer()
    for step in range(MOST_STEPS):
        number = f"A{step}"
        issue = methodcaller("issue", alice, number, repeat=True)
        was_killed = killed_at(step, url, bench, issue)
        # Asked again, there is one challenge, and it can be met.
        challenge = bench.issue(alice, number, repeat=True)
        bench.bank.accept(challenge.id, alice.sign(challenge.message))
        if not was_killed:
            break
    assert step >= 8


def test_sealing_is_done_whole_or_not_at_all(
    url: str, bench: Bench, engine: Engine, tmp_path: Path
) -> None:
    signer = FileAuditSigner.create(tmp_path / "key.pem")
    alice = bench.customer()
    for step in range(MOST_STEPS):
        for _ in range(2):
            bench.issue(alice)
        was_killed = killed_at(step, url, bench, lambda own: own.bank.sequencer(signer).seal())
        bench.bank.verify_audit(signer.public_key)
        if not was_killed:
            break
    assert step >= 10
    bench.bank.sequencer(signer).seal_all()
    report = bench.bank.verify_audit(signer.public_key)
    assert (report.pending, report.entries) == (0, 2 + 2 * (step + 1))
    with engine.connect() as connection:
        heads = connection.execute(select(func.count()).select_from(audit_head)).scalar_one()
    assert heads == report.heads


def test_eight_processes_get_no_lock_errors_and_share_what_there_is(
    url: str, bench: Bench, tmp_path: Path
) -> None:
    holders = [bench.customer(f"c{number}") for number in range(8)]
    disputed = bench.customer("disputed")
    shared = bench.issue(disputed)
    own = [
        [(each.id, holder.sign(each.message)) for each in (bench.issue(holder) for _ in range(8))]
        for holder in holders
    ]

    def process(pairs: list[tuple[str, bytes]], contested: bytes) -> None:
        with Bench.open(url, bench.clock, timeout=20) as bank:
            for pair in pairs:
                bank.bank.accept(*pair)
            (outcome,) = bank.bank.accept_many([(shared.id, contested)])
            if isinstance(outcome, AcceptedTransaction):
                (tmp_path / f"won-{os.getpid()}").touch()
            else:
                assert outcome.reason is RejectionReason.CHALLENGE_REPLAYED

    children = [_fork(partial(process, pairs, disputed.sign(shared.message))) for pairs in own]
    for child in children:
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert len(list(tmp_path.glob("won-*"))) == 1
    for pairs in own:
        for identifier, _ in pairs:
            assert bench.bank.challenge(identifier).state is ChallengeState.CONSUMED


def _fork(work: Callable[[], object]) -> int:
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            raise
        finally:
            os._exit(1)
    return child
