"""What somebody else may have put beside, before or in place of the token file."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.virtual.memory import MAX_TRIES, RULES, WRONG_PIN, make_memory, remaining
from ushield.errors import PinIncorrect, TokenBusy, TokenFileInvalid
from ushield.pin import PinReference
from ushield.virtual.nvram import Nvram, NvramConnection, SecretHash, StorageFailed, snapshot
from ushield.virtual.nvram.reader import connect_sqlite
from ushield.virtual.pins import PinStore

USER = PinReference.USER
THIEFS_PIN = b"918273"

pytestmark = pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return make_memory(tmp_path / "a.token")


def _look(path: Path) -> None:
    with snapshot(path):
        pass


def _open(path: Path) -> None:
    Nvram.open(path).close()


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _readable(path: Path) -> None:
    path.touch()
    path.chmod(0o644)


def _socket(path: Path) -> None:
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        with socket.socket(socket.AF_UNIX) as listener:  # by a name short enough for sockaddr_un
            listener.bind(f"/proc/self/fd/{directory}/{path.name}")
    finally:
        os.close(directory)


@pytest.mark.parametrize("use", [_open, _look])
@pytest.mark.parametrize(
    "plant",
    [
        os.mkfifo,
        os.mkdir,
        lambda path: path.symlink_to("/dev/zero"),
        lambda path: path.symlink_to("none"),
        _socket,
        _readable,
    ],
    ids=["fifo", "directory", "link-to-device", "link-to-nothing", "socket", "others-may-read"],
)
def test_log_that_the_token_did_not_make_is_refused(
    path: Path, use: Callable[[Path], None], plant: Callable[[Path], None]
) -> None:
    plant(_beside(path, "-wal"))
    with pytest.raises(TokenFileInvalid, match=r"a\.token-wal is not of this token's making"):
        use(path)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give files away: run as root")
def test_log_of_another_user_is_refused(path: Path) -> None:
    log = _beside(path, "-wal")
    log.touch(0o600)
    os.chown(log, 65534, 65534)
    with pytest.raises(TokenFileInvalid, match="not of this token's making"):
        Nvram.open(path)


def test_thiefs_pin_does_not_come_in_by_a_planted_log(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copy(path, copy)
    with Nvram.open(copy) as nvram:
        nvram.replace_secret(USER, SecretHash.of(THIEFS_PIN))
        log = _beside(copy, "-wal").read_bytes()
    _beside(path, "-wal").write_bytes(log)
    _beside(path, "-wal").chmod(0o644)
    before = path.read_bytes()
    with pytest.raises(TokenFileInvalid, match="not of this token's making"):
        Nvram.open(path)
    assert path.read_bytes() == before


def test_there_is_no_moment_to_plant_a_log_in(path: Path) -> None:
    def plant(opened: str) -> NvramConnection:
        with pytest.raises(FileExistsError):
            os.mkfifo(_beside(path, "-wal"))
        return connect_sqlite(opened)

    Nvram.open(path, connect=plant).close()
    assert remaining(path) == {path.name}


def test_opening_that_fails_leaves_no_empty_log(path: Path) -> None:
    def fail(opened: str) -> NvramConnection:
        raise sqlite3.OperationalError(opened)

    with pytest.raises(TokenFileInvalid):
        Nvram.open(path, connect=fail)
    assert remaining(path) == {path.name}


def test_database_of_another_program_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "notes.db"
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE note (text)")
    path.chmod(0o600)
    before = path.read_bytes()
    for use in (_open, _look):
        with pytest.raises(TokenFileInvalid, match="another program's"):
            use(path)
    assert path.read_bytes() == before
    assert remaining(path) == {path.name}


def test_rollback_journal_is_never_played_back(path: Path) -> None:
    _beside(path, "-journal").touch()
    with pytest.raises(TokenFileInvalid, match=r"a\.token-journal is not of this token's making"):
        Nvram.open(path)


def test_second_name_is_refused_because_the_log_has_only_one(path: Path) -> None:
    second = path.with_name("b.token")
    os.link(path, second)
    for name in (path, second):
        for use in (_open, _look):
            with pytest.raises(TokenFileInvalid, match="2 names") as refusal:
                use(name)
            assert "-samefile" in refusal.value.remedy
    second.unlink()
    _open(path)


@pytest.mark.parametrize("name", ["a\0b", "\ud800"])
def test_what_names_no_file_is_refused(name: str) -> None:
    for use in (_open, _look, make_memory):
        with pytest.raises(TokenFileInvalid, match="names no file"):
            use(Path(name))


def test_name_too_long_for_a_file_makes_none(tmp_path: Path) -> None:
    with pytest.raises(TokenFileInvalid, match="cannot be created"):
        make_memory(tmp_path / ("x" * 300))


def test_file_put_in_the_place_of_an_open_one_does_not_get_its_log(
    path: Path, tmp_path: Path
) -> None:
    other = make_memory(tmp_path / "other")
    with Nvram.open(path) as nvram:
        nvram.count_power_up()
        other.replace(path)
        with pytest.raises(TokenBusy):
            Nvram.open(path)


def test_memory_whose_log_was_removed_takes_no_write_that_would_be_lost(path: Path) -> None:
    with Nvram.open(path) as nvram:
        _beside(path, "-wal").unlink()
        for _ in range(2):
            with pytest.raises(StorageFailed, match="log"):
                nvram.count_power_up()


def test_forked_children_get_no_tries_of_their_own(path: Path) -> None:
    with Nvram.open(path) as nvram:
        pins = PinStore(nvram, RULES)
        child = os.fork()
        if not child:
            try:
                pins.verify(USER, WRONG_PIN)
            except TokenBusy:
                os._exit(0)
            except PinIncorrect:
                os._exit(1)
            os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert pins.state(USER).tries_left == MAX_TRIES
        with pytest.raises(PinIncorrect):
            pins.verify(USER, WRONG_PIN)


def test_forked_child_does_not_keep_a_closed_token_busy(path: Path) -> None:
    nvram = Nvram.open(path)
    child = os.fork()
    if not child:
        time.sleep(60)
        os._exit(0)
    try:
        nvram.close()
        _open(path)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_child_that_ends_takes_nothing_of_its_parents_token_along(path: Path) -> None:
    with Nvram.open(path) as nvram:
        nvram.count_power_up()
        child = os.fork()
        if not child:
            nvram.close()  # as a normal exit of the interpreter does
            os._exit(0)
        os.waitpid(child, 0)
        with pytest.raises(StorageFailed):
            nvram.count_power_up()
    with Nvram.open(path) as nvram:
        assert nvram.counters().power_ups == 1
