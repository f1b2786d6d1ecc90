"""The token file itself: what is refused, who may open it, how it comes into being."""

from __future__ import annotations

import itertools
import os
import random
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from tests.virtual.memory import (
    MAX_TRIES,
    PIN,
    RULES,
    WRONG_PIN,
    contents,
    make_memory,
    remaining,
)
from ushield.errors import (
    PinIncorrect,
    PinLocked,
    TokenBusy,
    TokenFileInvalid,
    TokenNotFound,
)
from ushield.pin import PinReference
from ushield.virtual.nvram import Nvram, copying, snapshot
from ushield.virtual.pins import PinStore

USER = PinReference.USER


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return make_memory(tmp_path / "a.token")


def test_new_file_is_for_its_owner_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        path = make_memory(tmp_path / "a.token")
        with Nvram.open(path):
            modes = {stat.S_IMODE(os.stat(tmp_path / name).st_mode) for name in remaining(path)}
            assert len(remaining(path)) == 2
    finally:
        os.umask(before)
    assert modes == {0o600}


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o602, 0o700, 0o400])
def test_file_with_another_mode_is_refused_with_the_command_that_helps(
    path: Path, mode: int
) -> None:
    path.chmod(mode)
    with pytest.raises(TokenFileInvalid) as refusal:
        Nvram.open(path)
    assert f"chmod 600 {path}" in refusal.value.remedy
    assert refusal.value.path == str(path)
    path.chmod(0o600)
    Nvram.open(path).close()


def test_missing_file_is_a_token_not_found_and_is_not_made(tmp_path: Path) -> None:
    for look in (Nvram.open, lambda path: snapshot(path).__enter__()):
        with pytest.raises(TokenNotFound):
            look(tmp_path / "none")
    assert not os.listdir(tmp_path)


def test_what_is_no_regular_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "directory").mkdir()
    os.mkfifo(tmp_path / "pipe", 0o600)
    for name in ("directory", "pipe"):
        with pytest.raises(TokenFileInvalid):
            Nvram.open(tmp_path / name)


def test_symbolic_link_leads_to_the_same_locked_file(path: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(path)
    with Nvram.open(link) as nvram:
        nvram.count_power_up()
        with pytest.raises(TokenBusy):
            Nvram.open(path)
    with Nvram.open(path) as nvram:
        assert nvram.counters().power_ups == 1


def test_file_cut_short_anywhere_is_refused_and_left_as_it_is(path: Path) -> None:
    whole = path.read_bytes()
    for length in range(len(whole)):
        os.truncate(path, length)
        with pytest.raises(TokenFileInvalid):
            Nvram.open(path)
        assert path.stat().st_size == length
        if length % 512 == 0:
            path.write_bytes(whole)
    path.write_bytes(whole)
    Nvram.open(path).close()


def test_token_whose_log_cannot_be_written_is_refused(path: Path) -> None:
    (path.parent / f"{path.name}-wal").mkdir()
    with pytest.raises(TokenFileInvalid) as refusal:
        Nvram.open(path)
    assert "directory" in refusal.value.remedy


def test_file_with_something_added_is_refused(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"\0")
    with pytest.raises(TokenFileInvalid):
        Nvram.open(path)


def test_any_changed_byte_opens_or_is_refused_with_a_typed_error(
    path: Path,
) -> None:
    whole = path.read_bytes()
    chosen = random.Random(5)
    written = [place for place, byte in enumerate(whole) if byte and place >= 100]
    places = [*range(100), *chosen.sample(written, 300)]
    refused = 0
    for place in places:
        changed = bytearray(whole)
        changed[place] ^= 1 << chosen.randrange(8)
        path.write_bytes(changed)
        try:
            Nvram.open(path).close()
        except TokenFileInvalid:
            refused += 1
        for name in remaining(path) - {path.name}:
            (path.parent / name).unlink()
    assert refused > 100


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"SQLite format 3\0", bytes(28_672), os.urandom(8_192)]
)
def test_foreign_bytes_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "foreign"
    path.touch(mode=0o600)
    path.write_bytes(content)
    with pytest.raises(TokenFileInvalid):
        Nvram.open(path)
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("PRAGMA application_id = 7", "another program"),
        ("PRAGMA user_version = 4", "format 4"),
        ("DROP TABLE voucher", "tables"),
        ("CREATE TRIGGER t AFTER UPDATE ON secret BEGIN DELETE FROM key; END", "tables"),
        ("DELETE FROM identity", "records"),
        ("DELETE FROM secret WHERE reference = 'puk'", "records"),
        ("DELETE FROM counter", "records"),
        ("UPDATE identity SET profile = 'golden'", "golden"),
        ("PRAGMA ignore_check_constraints = 1; UPDATE secret SET tries_left = 99", "CHECK"),
        ("UPDATE identity SET label = CAST(x'FF' AS TEXT)", "damaged"),
        ("INSERT INTO key VALUES (1, 'rsa1024', 1, x'', '', x'', x'')", "rsa1024"),
    ],
)
def test_database_that_is_no_token_is_refused(path: Path, change: str, told: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.executescript(change)
    with pytest.raises(TokenFileInvalid, match=told):
        Nvram.open(path)
    with pytest.raises(TokenFileInvalid, match=told), snapshot(path):
        pass


def test_nothing_is_ever_created_over_another_file(path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(TokenFileInvalid, match="there already"):
        make_memory(path)
    assert path.read_bytes() == before
    assert remaining(path) == {path.name}


def test_log_left_behind_by_an_earlier_token_is_never_replayed_into_a_new_one(
    path: Path,
) -> None:
    (path.parent / "b.token-wal").write_bytes(b"old")
    with pytest.raises(TokenFileInvalid, match="token-wal"):
        make_memory(path.parent / "b.token")
    assert remaining(path) == {"a.token", "b.token-wal"}


def test_creation_in_a_directory_that_is_not_there_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(TokenFileInvalid):
        make_memory(tmp_path / "none" / "a.token")
    assert not os.listdir(tmp_path)


def test_creation_shows_a_complete_and_durable_file_or_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[set[str]] = []
    durable: list[int] = []
    link, fsync = os.link, os.fsync

    def synchronised(descriptor: int) -> None:
        fsync(descriptor)
        durable.append(os.fstat(descriptor).st_ino)

    def watched(source: str, target: Path) -> None:
        seen.append(remaining(target))
        assert os.stat(source).st_ino in durable
        link(source, target)
        assert Path(target).stat().st_size == Path(source).stat().st_size

    monkeypatch.setattr(os, "link", watched)
    monkeypatch.setattr(os, "fsync", synchronised)
    path = make_memory(tmp_path / "a.token")
    assert durable[-1] == tmp_path.stat().st_ino
    assert len(seen) == 1
    assert path.name not in seen[0]
    assert remaining(path) == {path.name}


def test_faster_process_wins_and_keeps_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = os.link

    def late(source: str, target: Path) -> None:
        Path(target).write_bytes(b"the other's")
        link(source, target)

    monkeypatch.setattr(os, "link", late)
    with pytest.raises(TokenFileInvalid, match="there already"):
        make_memory(tmp_path / "a.token")
    assert (tmp_path / "a.token").read_bytes() == b"the other's"
    assert os.listdir(tmp_path) == ["a.token"]


def test_second_opener_in_this_process_is_told_so(path: Path) -> None:
    with Nvram.open(path) as nvram:
        with pytest.raises(TokenBusy) as refusal:
            Nvram.open(path)
        assert refusal.value.pid == os.getpid()
        nvram.count_power_up()
    Nvram.open(path).close()


HOLD = """
import sys
from ushield.virtual.nvram import Nvram
nvram = Nvram.open(sys.argv[1])
print("open", flush=True)
sys.stdin.read()
"""


def test_second_process_is_told_who_holds_the_token_until_that_one_dies(path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        with pytest.raises(TokenBusy) as refusal:
            Nvram.open(path)
        assert refusal.value.pid == holder.pid
        assert refusal.value.program
        assert str(holder.pid) in refusal.value.remedy
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    Nvram.open(path).close()


def test_program_that_locks_the_database_itself_makes_it_busy(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("BEGIN EXCLUSIVE")
        with pytest.raises(TokenBusy):
            Nvram.open(path)


def test_snapshot_sees_what_is_committed_and_touches_nothing(path: Path) -> None:
    with Nvram.open(path) as nvram:
        nvram.count_power_up()
        nvram.record_signature(1, "付款".encode(), 5)
        files = [path.parent / name for name in sorted(remaining(path))]
        before = [(file.read_bytes(), file.stat().st_mtime_ns) for file in files]
        with snapshot(path) as copy:
            assert contents(copy) == contents(nvram)
        assert [(file.read_bytes(), file.stat().st_mtime_ns) for file in files] == before
        assert [path.parent / name for name in sorted(remaining(path))] == files
        nvram.count_power_up()
    with snapshot(path) as copy:
        assert copy.counters().power_ups == 2


def test_snapshots_of_a_token_in_use_are_always_of_one_moment(path: Path) -> None:
    stop = threading.Event()

    def sign() -> None:
        with Nvram.open(path) as nvram:
            number = 0
            while not stop.is_set():
                number += 1
                nvram.record_signature(number % 255, b"%d" % number, number)
                time.sleep(0.001)

    signer = threading.Thread(target=sign)
    signer.start()
    try:
        last = 0
        for _ in range(40):
            with snapshot(path) as copy:
                signatures = copy.counters().signatures
                assert signatures >= last
                last = signatures
                if signatures:
                    newest = copy.voucher(0)
                    assert newest.counter == newest.time == signatures
                    assert newest.message == b"%d" % signatures
    finally:
        stop.set()
        signer.join()


def test_token_that_never_keeps_still_is_busy(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    versions = itertools.count()
    monkeypatch.setattr(copying, "_read_both", lambda path: (b"%d" % next(versions), b""))
    with pytest.raises(TokenBusy), snapshot(path):
        pass


def _in_child(work: Callable[[], None]) -> int:
    """Fork, and let the child do nothing but ``work``; its process id."""
    child = os.fork()
    if child:
        return child
    try:
        work()
    finally:
        os._exit(0)


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_processes_killed_at_random_moments_never_gain_a_try(path: Path) -> None:
    moments = random.Random(1)

    def guess(tell: int) -> None:
        with Nvram.open(path) as nvram:
            pins = PinStore(nvram, RULES)
            while True:
                os.write(tell, b"!")
                try:
                    pins.verify(USER, WRONG_PIN)
                except PinIncorrect:
                    continue
                except PinLocked:
                    return

    left = MAX_TRIES
    killed_between = 0
    for _ in range(120):
        told, tell = os.pipe()
        child = _in_child(partial(guess, tell))
        os.close(tell)
        # Killed in the middle of one of its guesses, however slow the machine is just now.
        for _ in range(moments.randint(1, 4)):
            os.read(told, 1)
        time.sleep(moments.uniform(0, 0.002))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(told)
        with Nvram.open(path) as nvram:
            pins = PinStore(nvram, RULES)
            tries = pins.state(USER).tries_left
            assert tries <= left
            killed_between += 0 < tries < MAX_TRIES
            if tries:
                pins.verify(USER, PIN)
            else:
                with pytest.raises(PinLocked):
                    pins.verify(USER, PIN)
                pins.unblock_by_bank(PIN)
            left = pins.state(USER).tries_left
            assert left == MAX_TRIES
    assert killed_between
