"""Power cut below SQLite: after every request to the file system, whatever then survives of what
was not synchronised, the memory is exactly as one of its commits left it, and never an older one.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.virtual.apsw_disk import Disk, Step, Survival, connect_through, image_after
from tests.virtual.memory import contents, make_memory
from tests.virtual.operations import OPERATIONS, Operation, furnish
from ushield.virtual.nvram import Nvram, NvramConnection

_names = map("recording-{}".format, itertools.count())
LOG = "-wal"
LOG_ROOM = 512 * 1024
Image = dict[str, bytes]
"""The database and its log, by the end of their names: "" and "-wal"."""


@pytest.fixture(scope="module")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Image:
    path = make_memory(tmp_path_factory.mktemp("furnished") / "token", profile="lenient")
    with Nvram.open(path) as nvram:
        furnish(nvram)
    return {"": path.read_bytes()}


def restore(path: Path, image: Image) -> None:
    for suffix in ("", LOG):
        file = Path(f"{path}{suffix}")
        file.unlink(missing_ok=True)
        if suffix in image:
            file.touch(mode=0o600)
            file.write_bytes(image[suffix])


@dataclass
class Recording:
    """What the disk was asked, and how the memory was after each commit among that."""

    start: Image
    steps: list[Step]
    states: list[tuple[object, ...]]
    marks: list[int]

    def allowed(self, cut: int) -> list[tuple[object, ...]]:
        """The memories that a power cut after ``cut`` requests may leave."""
        commits = sum(mark <= cut for mark in self.marks)
        return self.states[commits : commits + 2]


Connect = Callable[[str], NvramConnection]


def plainly(connect: Connect) -> Connect:
    return connect


def record(
    path: Path,
    image: Image,
    run: Callable[[Nvram], object],
    wrapped: Callable[[Connect], Connect] = plainly,
) -> Recording:
    """Open the memory, let it ``run``, close it."""
    restore(path, image)
    disk = Disk(next(_names))
    states: list[tuple[object, ...]] = []
    marks: list[int] = []

    def committed() -> None:
        marks.append(len(disk.steps))
        states.append(contents(nvram))

    nvram = Nvram.open(path, connect=wrapped(connect_through(disk, committed)))
    states.append(contents(nvram))
    run(nvram)
    nvram.close()
    disk.unregister()
    return Recording(image, disk.steps, states, marks)


def images(
    path: Path, recording: Recording, survivals: Iterable[Survival] = Survival
) -> Iterator[tuple[Image, list[tuple[object, ...]]]]:
    """Each different disk that a power cut can leave, with the memories it may hold."""
    start = {f"{path}{suffix}": data for suffix, data in recording.start.items()}
    seen: list[tuple[Image, int]] = []
    survivals = tuple(survivals)
    for cut in range(len(recording.steps) + 1):
        allowed = recording.allowed(cut)
        commits = recording.states.index(allowed[0])
        for survival in survivals:
            found = image_after(start, recording.steps[:cut], survival)
            image = {name.removeprefix(str(path)): data for name, data in found.items()}
            if (image, commits) not in seen:
                seen.append((image, commits))
                yield image, allowed


def with_log_room(image: Image) -> Image:
    """The same disk, where the room that was taken for the log survived too."""
    return image | {LOG: image.get(LOG, b"").ljust(LOG_ROOM, b"\0")}


def violations(path: Path, recording: Recording) -> list[Image]:
    """The disks after a power cut whose memory is none that it may be."""
    wrong = []
    for image, allowed in images(path, recording):
        for found in (image, with_log_room(image)):
            restore(path, found)
            with Nvram.open(path) as nvram:
                if contents(nvram) not in allowed:
                    wrong.append(found)
    return wrong


@pytest.mark.parametrize("operation", OPERATIONS, ids=str)
def test_after_any_power_cut_the_memory_is_as_a_commit_left_it(
    tmp_path: Path, furnished: Image, operation: Operation
) -> None:
    recording = record(tmp_path / "token", furnished, operation.run)
    assert len(recording.states) > 1
    assert len(list(images(tmp_path / "token", recording))) > len(recording.marks) * 4
    assert not violations(tmp_path / "token", recording)


def sign_often(nvram: Nvram) -> None:
    """Past the first checkpoint, so that the log begins anew over its own old frames."""
    for number in range(14):
        nvram.record_signature(1, bytes((number,)) * 100, number)


def test_checkpoints_and_a_log_begun_anew_lose_nothing(tmp_path: Path, furnished: Image) -> None:
    recording = record(tmp_path / "token", furnished, sign_often)
    writes_to_database = [
        step for step in recording.steps if step.data and not step.path.endswith(LOG)
    ]
    assert recording.steps.index(writes_to_database[0]) < recording.marks[-1]
    assert not violations(tmp_path / "token", recording)


def test_power_cut_while_recovering_from_a_power_cut(tmp_path: Path, furnished: Image) -> None:
    path = tmp_path / "token"
    change = next(each for each in OPERATIONS if each.name == "change")
    first = record(path, furnished, change.run)
    recoveries = 0
    for image, allowed in list(images(path, first, (Survival.ALL, Survival.NONE))):
        second = record(path, image, lambda nvram: None)
        for again, _ in images(path, second, (Survival.NONE, Survival.ODD)):
            restore(path, again)
            with Nvram.open(path) as nvram:
                assert contents(nvram) in allowed
            recoveries += 1
    assert recoveries > 20


class Unsynchronised:
    """A connection that is told to synchronise and does not."""

    def __init__(self, connection: NvramConnection) -> None:
        self._connection = connection

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> Iterable[Any]:
        sql = sql.replace("synchronous = FULL", "synchronous = OFF")
        return self._connection.execute(sql, parameters)

    def close(self) -> None:
        self._connection.close()


def test_these_tests_notice_a_memory_that_does_not_synchronise(
    tmp_path: Path, furnished: Image
) -> None:
    verify = next(each for each in OPERATIONS if each.name == "verify-wrong")
    recording = record(
        tmp_path / "token",
        furnished,
        verify.run,
        lambda connect: lambda path: Unsynchronised(connect(path)),
    )
    assert violations(tmp_path / "token", recording)
