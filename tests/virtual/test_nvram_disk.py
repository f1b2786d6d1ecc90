"""A disk that is full or fails: a typed error, nothing half-written, and no try lost to it."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import apsw
import pytest

from tests.virtual.apsw_disk import Disk, Kind, Step, connect_through
from tests.virtual.memory import (
    MAX_TRIES,
    PIN,
    PUK_MAX_TRIES,
    RULES,
    contents,
    make_memory,
    remaining,
)
from tests.virtual.operations import OPERATIONS, Operation, furnish
from ushield.errors import StorageFull
from ushield.pin import PinReference
from ushield.virtual.nvram import Nvram, StorageFailed, transactions
from ushield.virtual.pins import PinStore

USER = PinReference.USER
FRAME = 4096 + 24
_names = map("failing-{}".format, itertools.count())


class Room:
    """A disk with ``left`` bytes for files to grow; ``None`` for plenty."""

    def __init__(self, left: int | None) -> None:
        self.left = left
        self.disk = Disk(next(_names), self.take)

    def take(self, step: Step) -> None:
        if self.left is None or step.kind is not Kind.WRITE:
            return
        growth = step.at + len(step.data) - os.path.getsize(step.path)
        if growth > self.left:
            raise apsw.exception_for(apsw.SQLITE_FULL)
        self.left -= max(0, growth)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = make_memory(tmp_path / "token")
    with Nvram.open(path) as nvram:
        furnish(nvram)
    return path


@pytest.mark.parametrize("operation", OPERATIONS, ids=str)
def test_what_was_opened_in_time_still_works_on_a_full_disk(
    path: Path, operation: Operation
) -> None:
    room = Room(None)
    with Nvram.open(path, connect=connect_through(room.disk)) as nvram:
        room.left = 0
        operation.run(nvram)
        done = contents(nvram)
    with Nvram.open(path) as nvram:
        assert contents(nvram) == done


def test_right_pin_costs_no_try_on_a_disk_that_fills_up_at_any_moment(path: Path) -> None:
    for commits_before in range(transactions._COMMITS_PER_CHECKPOINT + 2):
        room = Room(None)
        with Nvram.open(path, connect=connect_through(room.disk)) as nvram:
            pins = PinStore(nvram, RULES)
            for _ in range(commits_before):
                nvram.count_power_up()
            room.left = 0
            for _ in range(transactions._COMMITS_PER_CHECKPOINT):
                pins.verify(USER, PIN)
                assert pins.state(USER).tries_left == MAX_TRIES


def test_right_pin_costs_no_try_where_a_checkpoint_finds_no_room(path: Path) -> None:
    refused = 0
    for commits_before in range(1, transactions._COMMITS_PER_CHECKPOINT + 1):
        room = Room(None)
        with Nvram.open(path, connect=connect_through(room.disk)) as nvram:
            pins = PinStore(nvram, RULES)
            # Pages that the log holds and the database does not have yet.
            nvram.put_certificate(b"\x07" * 8_000, slot=commits_before + 2)
            for _ in range(commits_before - 1):
                nvram.count_power_up()
            room.left = 0
            try:
                pins.verify(USER, PIN)
            except StorageFull:
                refused += 1
            assert pins.state(USER).tries_left == MAX_TRIES
    assert refused == 1


def test_without_room_for_the_log_a_right_pin_could_cost_a_try(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transactions, "_LOG_ROOM", 1)
    lost = 0
    for left in range(0, 4 * FRAME, FRAME // 2):
        room = Room(None)
        with Nvram.open(path, connect=connect_through(room.disk)) as nvram:
            pins = PinStore(nvram, RULES)
            pins.verify(USER, PIN)
            room.left = left
            with suppress(StorageFull):
                pins.verify(USER, PIN)
            lost += pins.state(USER).tries_left < MAX_TRIES
    assert lost


def fill_slots(nvram: Nvram) -> None:
    """Certificates until the database can take no more pages."""
    for slot in range(3, nvram.profile.max_certificates + 1):
        nvram.put_certificate(bytes((slot,)) * 8_000, slot=slot)


def test_full_disk_refuses_before_anything_is_written_and_works_again_with_room(
    path: Path,
) -> None:
    room = Room(None)
    with Nvram.open(path, connect=connect_through(room.disk)) as nvram:
        pins = PinStore(nvram, RULES)
        pins.verify(USER, PIN)
        room.left = 0
        with pytest.raises(StorageFull):
            fill_slots(nvram)
        before = contents(nvram)
        refused: tuple[Callable[[], object], ...] = (
            lambda: pins.verify(USER, PIN),
            lambda: nvram.record_signature(1, b"message", 0),
            lambda: nvram.delete_certificate(1),
        )
        for write in refused:
            with pytest.raises(StorageFull):
                write()
            assert contents(nvram) == before
        room.left = None
        fill_slots(nvram)
        pins.verify(USER, PIN)
        after = contents(nvram)
    with Nvram.open(path) as nvram:
        assert contents(nvram) == after


def test_what_was_committed_stays_where_closing_finds_no_room(path: Path) -> None:
    room = Room(None)
    nvram = Nvram.open(path, connect=connect_through(room.disk))
    room.left = 0
    nvram.put_certificate(b"\x07" * 8_000, slot=7)
    nvram.close()
    assert len(remaining(path)) == 2
    with Nvram.open(path) as nvram:
        assert nvram.certificate(7).der == b"\x07" * 8_000
    assert remaining(path) == {path.name}


class Failing:
    """A disk that fails at its request number ``at``, and from then on if ``for_good``."""

    def __init__(self, at: int, *, for_good: bool) -> None:
        self.at = at
        self.for_good = for_good
        self.count = 0
        self.armed = False
        self.disk = Disk(next(_names), self.take)

    def take(self, step: Step) -> None:
        if not self.armed or step.kind not in (Kind.WRITE, Kind.SYNC):
            return
        self.count += 1
        if self.count == self.at or (self.for_good and self.count > self.at):
            raise apsw.exception_for(apsw.SQLITE_IOERR_WRITE)


@pytest.mark.parametrize("for_good", [False, True], ids=["once", "for-good"])
@pytest.mark.parametrize("operation", OPERATIONS, ids=str)
def test_failing_disk_ends_the_session_with_nothing_half_written(
    path: Path, operation: Operation, for_good: bool
) -> None:
    image = path.read_bytes()
    failures = 0
    for at in itertools.count(1):
        path.write_bytes(image)
        failing = Failing(at, for_good=for_good)
        nvram = Nvram.open(path, connect=connect_through(failing.disk))
        before = contents(nvram)
        failing.armed = True
        try:
            operation.run(nvram)
        except StorageFailed:
            failures += 1
            with pytest.raises(StorageFailed):
                nvram.count_power_up()
        else:
            nvram.close()
            break
        with Nvram.open(path) as again:
            now = contents(again)
            assert now[2:] == before[2:]
            for reference, most in zip(PinReference, (MAX_TRIES, PUK_MAX_TRIES), strict=True):
                stored = again.reference(reference)
                # One try was spent before, and this operation may have spent another. A commit
                # whose synchronisation failed is refused, and may be on the disk nevertheless.
                proven = {most} if reference in operation.proves else set()
                assert stored.tries_left in {most - 1, most - 2} | proven
    assert failures >= 2


def test_no_commit_is_larger_than_the_room_that_is_kept_for_it(tmp_path: Path) -> None:
    disk = Disk(next(_names))
    path = make_memory(tmp_path / "token")
    with Nvram.open(path) as nvram:
        furnish(nvram)
        for number in range(nvram.profile.vouchers):
            nvram.record_signature(1, bytes((number,)) * nvram.profile.max_message, number)
    largest = 0
    with Nvram.open(path, connect=connect_through(disk)) as nvram:
        commits: list[Callable[[], object]] = [
            lambda: nvram.put_certificate(b"\x01" * nvram.profile.max_certificate, slot=9),
            lambda: nvram.put_certificate(b"\x02" * nvram.profile.max_certificate, slot=9),
            lambda: nvram.delete_certificate(9),
            lambda: nvram.record_signature(1, b"\x03" * nvram.profile.max_message, 1),
            *(partial(each.run, nvram) for each in OPERATIONS if each.name != "change-puk"),
        ]
        for commit in commits:
            done = len(disk.steps)
            commit()
            frames = [
                step
                for step in disk.steps[done:]
                if step.path.endswith("-wal") and len(step.data) == 4096
            ]
            largest = max(largest, len(frames))
    kept = (transactions._COMMITS_PER_CHECKPOINT + 1) * largest * FRAME
    assert largest >= 4
    assert kept <= transactions._LOG_ROOM


LIMITED = """
import os, resource, sys
from pathlib import Path
from tests.virtual.memory import make_memory, remaining
from ushield.errors import StorageFull
from ushield.virtual.nvram import Nvram

path = Path(sys.argv[1])
make_memory(path)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
for action in (lambda: make_memory(path.parent / "second"), lambda: Nvram.open(path)):
    try:
        action()
    except StorageFull:
        pass
    else:
        sys.exit("no error")
print(sorted(os.listdir(path.parent)))
"""

FULL = """
import os, sys
from pathlib import Path
from tests.virtual.memory import PIN, MAX_TRIES, RULES, make_memory
from ushield.errors import StorageFull
from ushield.pin import PinReference
from ushield.virtual.nvram import Nvram
from ushield.virtual.pins import PinStore

directory = Path(sys.argv[1])
nvram = Nvram.open(make_memory(directory / "token"))
other = make_memory(directory / "other")
with open(directory / "ballast", "wb", buffering=0) as ballast:
    try:
        while True:
            ballast.write(bytes(4096))
    except OSError:
        pass
pins = PinStore(nvram, RULES)
for _ in range(50):
    pins.verify(PinReference.USER, PIN)
assert pins.state(PinReference.USER).tries_left == MAX_TRIES
for action in (lambda: make_memory(directory / "third"), lambda: Nvram.open(other)):
    try:
        action()
    except StorageFull:
        pass
    else:
        sys.exit("no error")
print(sorted(os.listdir(directory)))
os.unlink(directory / "ballast")
Nvram.open(other).close()
nvram.close()
"""


def run_script(*command: str) -> str:
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        cwd=Path(__file__).parents[2],
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_limit_on_file_sizes_is_a_full_disk(tmp_path: Path) -> None:
    left = run_script(sys.executable, "-c", LIMITED, str(tmp_path / "token"))
    assert left == "['token']"


def test_real_full_file_system(tmp_path: Path) -> None:
    mount = f'mount -t tmpfs -o size=2M,mode=700 tmpfs {tmp_path} && exec "$@"'
    namespace = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount, "sh")
    try:
        subprocess.run((*namespace, "true"), check=True, capture_output=True, timeout=20)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip(
            "wants a small file system of its own: run as root, where `unshare --mount` works"
        )
    left = run_script(*namespace, sys.executable, "-c", FULL, str(tmp_path))
    assert left == "['ballast', 'other', 'token', 'token-wal']"
